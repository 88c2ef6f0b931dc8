package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/component"
	"github.com/coffer-backup/coffer/lab/internal/network"
)

const recordFile = "services.json"

// ErrNone is returned by Load where a lab folder has no services.
var ErrNone = errors.New("no service is up")

// Set is the services of a lab folder, as recorded there.
type Set struct {
	// Index tells the services of lab folders on one machine apart in their addresses. Zero until the network exists.
	Index int `json:"index"`
	// HostPorts are the ports of 127.0.0.1 where the endpoints of the services that are there answer.
	HostPorts map[string]int `json:"hostPorts"`
	BinDir    string         `json:"binDir"`

	root cluster.Root
}

// Load reads the record of a lab folder's services.
func Load(root cluster.Root) (*Set, error) {
	s := &Set{root: root, HostPorts: map[string]int{}}
	content, err := os.ReadFile(s.Path(recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err == nil {
		err = json.Unmarshal(content, s)
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of the services: %w", err)
	}
	return s, nil
}

func (s *Set) save() error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the record of the services: %w", err)
	}
	return cluster.WriteFile(s.Path(recordFile), append(content, '\n'), 0o644)
}

// Has reports whether the service of that name is there, running or dead.
func (s *Set) Has(name string) bool {
	k, err := find(name)
	return err == nil && s.has(k)
}

// has reports whether a service is there, running or dead.
func (s *Set) has(k kind) bool {
	_, known := s.HostPorts[k.endpoints[0].name]
	return known
}

// Address is where pods reach all services.
func (s *Set) Address() string { return network.ServicesAddress(s.Index) }

// Namespace is the network namespace of the services.
func (s *Set) Namespace() string { return network.ServicesNamespace(s.Index) }

func (s *Set) networkPath() string { return cluster.NamespacePath(s.Namespace()) }

// Path is a path inside the services' folder.
func (s *Set) Path(elem ...string) string {
	return filepath.Join(append([]string{s.root.Dir(cluster.ServicesName)}, elem...)...)
}

// Log is the log file of a component.
func (s *Set) Log(name string) string { return s.Path("log", name+".log") }

func (s *Set) program(name string) string { return filepath.Join(s.BinDir, name) }

// The states of a service.
const (
	Running = "running"
	Dead    = "dead"
)

// Status is what is seen of one service.
type Status struct {
	Name string `json:"name"`
	// State is Dead if the server or its forwarder does not run.
	State string `json:"state"`
	PID   int    `json:"pid,omitempty"`
	// Endpoints are its addresses.
	Endpoints []EndpointStatus `json:"endpoints"`
}

// EndpointStatus is where one endpoint of a service answers.
type EndpointStatus struct {
	Name string `json:"name"`
	// Host and Inside are the address for programs of the host, and for pods.
	Host   string `json:"host"`
	Inside string `json:"inside"`
}

// Statuses lists the services that are up, or died.
func (s *Set) Statuses() ([]Status, error) {
	var all []Status
	for _, k := range kinds {
		if !s.has(k) {
			continue
		}
		server, err := component.Load(s, k.name)
		if err != nil {
			return nil, err
		}
		forwarder, err := component.Load(s, k.forwarder())
		if err != nil {
			return nil, err
		}
		status := Status{Name: k.name, State: Dead}
		if server.Alive() && forwarder.Alive() {
			status.State, status.PID = Running, server.PID
		}
		for _, e := range k.endpoints {
			host := fmt.Sprintf("127.0.0.1:%d", s.HostPorts[e.name])
			status.Endpoints = append(status.Endpoints, EndpointStatus{Name: e.name, Host: host, Inside: e.address(s)})
		}
		all = append(all, status)
	}
	return all, nil
}
