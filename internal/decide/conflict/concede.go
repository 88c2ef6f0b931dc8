package conflict

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// concessions are what an object can do without if the API server does not accept it, by type: each answers whether it knows the
// refused field, and takes it out.
var concessions = map[coffer.GroupResource]func(object map[string]any, refused string) (note string, ok bool){
	{Resource: "services"}: concedePort,
}

// Concede is an object to be created without the fields that the API server has refused, if it can do without them all.
func Concede(t coffer.GroupResource, text []byte, refused []coffer.RefusedField) (conceded []byte, note string, ok bool) {
	concede := concessions[t]
	if concede == nil || len(refused) == 0 {
		return nil, "", false
	}
	object, err := decode(text)
	if err != nil {
		return nil, "", false
	}
	var notes []string
	for _, f := range refused {
		n, ok := concede(object, f.Path)
		if !ok {
			return nil, "", false
		}
		if n = fmt.Sprintf("%s (%s)", n, f.Reason); !slices.Contains(notes, n) {
			notes = append(notes, n)
		}
	}
	conceded, err = json.Marshal(object)
	if err != nil {
		return nil, "", false
	}
	return conceded, strings.Join(notes, "; "), true
}

var nodePort = regexp.MustCompile(`^spec\.ports\[([0-9]{1,4})\]\.nodePort$`)

// concedePort lets the cluster allot another node port where the Service's own is taken, or out of the cluster's range.
func concedePort(object map[string]any, refused string) (note string, ok bool) {
	spec, _ := object["spec"].(map[string]any)
	if refused == "spec.healthCheckNodePort" {
		had := spec["healthCheckNodePort"]
		delete(spec, "healthCheckNodePort")
		return fmt.Sprintf("the cluster allotted another health check node port than %v", had), had != nil
	}
	match := nodePort.FindStringSubmatch(refused)
	if match == nil {
		return "", false
	}
	ports, _ := spec["ports"].([]any)
	at, err := strconv.Atoi(match[1])
	if err != nil || at >= len(ports) {
		return "", false
	}
	port, _ := ports[at].(map[string]any)
	had, has := port["nodePort"]
	delete(port, "nodePort")
	return fmt.Sprintf("the cluster allotted another node port than %v", had), has
}
