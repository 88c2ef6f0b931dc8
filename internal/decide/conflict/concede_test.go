package conflict

import (
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestConcede(t *testing.T) {
	const service = `{"spec":{"healthCheckNodePort":31000,"ports":[{"port":1,"nodePort":30001},{"port":2,"nodePort":30002},{"port":3}]}}`
	for name, c := range map[string]struct {
		resource string
		refused  []string
		want     string
		note     string
	}{
		"a node port": {
			"services", []string{"spec.ports[1].nodePort"},
			`{"spec":{"healthCheckNodePort":31000,"ports":[{"nodePort":30001,"port":1},{"port":2},{"port":3}]}}`,
			"the cluster allotted another node port than 30002 (taken)",
		},
		"two ports": {
			"services", []string{"spec.ports[0].nodePort", "spec.ports[1].nodePort"},
			`{"spec":{"healthCheckNodePort":31000,"ports":[{"port":1},{"port":2},{"port":3}]}}`,
			"the cluster allotted another node port than 30001 (taken); the cluster allotted another node port than 30002 (taken)",
		},
		"a health check port": {
			"services", []string{"spec.healthCheckNodePort"},
			`{"spec":{"ports":[{"nodePort":30001,"port":1},{"nodePort":30002,"port":2},{"port":3}]}}`,
			"the cluster allotted another health check node port than 31000 (taken)",
		},
		"a port that the Service does not ask for":   {"services", []string{"spec.ports[2].nodePort"}, "", ""},
		"a port that the Service does not have":      {"services", []string{"spec.ports[3].nodePort"}, "", ""},
		"a port and something else":                  {"services", []string{"spec.ports[0].nodePort", "spec.type"}, "", ""},
		"something that the API server does not say": {"services", nil, "", ""},
		"another type": {"configmaps", []string{"spec.ports[0].nodePort"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var refused []coffer.RefusedField
			for _, path := range c.refused {
				refused = append(refused, coffer.RefusedField{Path: path, Reason: "taken"})
			}
			got, note, ok := Concede(coffer.ParseGroupResource(c.resource), []byte(service), refused)
			if string(got) != c.want || note != c.note || ok != (c.want != "") {
				t.Errorf("Concede = %s, %q, %v", got, note, ok)
			}
		})
	}
}

func TestConcedeRefusesGarbage(t *testing.T) {
	for _, text := range []string{``, `[]`, `{}`, `{"spec":[]}`, `{"spec":{"ports":{}}}`, `{"spec":{"ports":[7]}}`} {
		for _, path := range []string{"spec.ports[0].nodePort", "spec.healthCheckNodePort"} {
			if got, _, ok := Concede(coffer.GroupResource{Resource: "services"}, []byte(text), []coffer.RefusedField{{Path: path}}); ok {
				t.Errorf("%s without %s is %s", text, path, got)
			}
		}
	}
}
