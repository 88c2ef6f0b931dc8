package service

import (
	"slices"
	"strings"
)

const environmentPrefix = "COFFER_SERVICE_"

// Environment is what clients need to know of the services that run, as NAME=VALUE: addresses for programs of the host
// and, with _INSIDE, for pods, and what they sign with.
func (s *Set) Environment() ([]string, error) {
	statuses, err := s.Statuses()
	if err != nil {
		return nil, err
	}
	running := map[string]bool{}
	for _, status := range statuses {
		running[status.Name] = status.State == Running
	}
	var lines []string
	add := func(name, value string) { lines = append(lines, environmentPrefix+name+"="+value) }
	for _, status := range statuses {
		if !running[status.Name] {
			continue
		}
		for _, e := range status.Endpoints {
			store, disturbed := strings.CutPrefix(e.Name, Fault+"-")
			if disturbed && slices.ContainsFunc(stores, func(s endpoint) bool { return s.name == store }) && !running[store] {
				continue
			}
			name := strings.ToUpper(strings.ReplaceAll(e.Name, "-", "_"))
			add(name, url(e.Name, e.Host))
			add(name+"_INSIDE", url(e.Name, e.Inside))
		}
		k, err := find(status.Name)
		if err != nil {
			return nil, err
		}
		for _, v := range k.environment {
			add(v.name, v.value)
		}
		for _, f := range k.files {
			add(f.name, s.Path(k.name, f.value))
		}
	}
	return lines, nil
}

// url is how clients write an endpoint's address.
func url(endpoint, address string) string {
	switch endpoint {
	case Postgres:
		return "postgres://" + postgresUser + "@" + address + "/" + postgresUser + "?sslmode=disable"
	case Vault:
		return "https://" + address
	case vaultLink:
		return address
	}
	return "http://" + address
}
