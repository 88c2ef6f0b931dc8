// Package service runs test servers that all clusters of a lab folder reach: object stores, a database, the product's own server, a faulty
// line.
//
// All of them are processes of one network namespace, which hangs on the clusters' switch. Pods reach a service at an
// address that is always the same, programs on the host at a port of 127.0.0.1 that a forwarder listens on.
package service

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/component"
)

// The names of the services.
const (
	Azurite  = "azurite"
	S3       = "s3"
	GCS      = "gcs"
	Postgres = "postgres"
	Vault    = "vault"
	Fault    = "fault"
)

// stores are the services that the fault proxy has an endpoint for, and the ports of these.
var stores = []endpoint{{Azurite, 10000}, {S3, 10001}, {GCS, 10002}}

// endpoint is one port that a service answers on.
type endpoint struct {
	name string
	port int
}

// kind is one service there can be.
type kind struct {
	name      string
	endpoints []endpoint
	// program is the one beside the lab's that it is, "" if it is the machine's.
	program string
	// folders are made in the service's folder before the server is started; "" is that folder itself.
	folders []string
	// prepare makes what the server needs before it is started, which may be for the first time or after it was killed.
	prepare func(ctx context.Context, s *Set) error
	// server is how it is started, to answer at an address for each endpoint. Its name, the marks of its environment and
	// its network are filled in.
	server func(s *Set, addresses []string) (component.Spec, error)
	// environment is what clients need to know, beside the addresses.
	environment []variable
	// files are those of the service's folder that clients need: the value is a name in it.
	files []variable
}

// variable is one line of an environment. Its name lacks what all have in common.
type variable struct{ name, value string }

// What clients of the stores sign with. The account is the one that every Azure client knows as the emulator's.
const (
	azuriteAccount = "devstoreaccount1"
	azuriteKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	s3AccessKey    = "coffer-lab"
	s3SecretKey    = "coffer-lab-secret" //nolint:gosec // Of a server that nobody else reaches.
	// s3Region is the region that signatures name.
	s3Region     = "us-east-1"
	postgresUser = "coffer"
)

// kinds are all services, in the order in which they are started and listed.
var kinds = []kind{
	{
		name: Azurite, folders: []string{""}, program: "azurite", endpoints: stores[0:1], server: azuriteServer,
		environment: []variable{{"AZURITE_ACCOUNT", azuriteAccount}, {"AZURITE_KEY", azuriteKey}},
	},
	{
		name: S3, folders: []string{"buckets", "versions"}, program: "versitygw", endpoints: stores[1:2], server: s3Server,
		environment: []variable{{"S3_ACCESS_KEY", s3AccessKey}, {"S3_SECRET_KEY", s3SecretKey}, {"S3_REGION", s3Region}},
	},
	{name: GCS, folders: []string{""}, program: "lab-gcs", endpoints: stores[2:3], server: gcsServer},
	{name: Postgres, folders: []string{""}, endpoints: []endpoint{{Postgres, 5432}}, prepare: preparePostgres, server: postgresServer},
	{
		name: Vault, folders: []string{""}, program: "coffer-server", server: vaultServer,
		endpoints: []endpoint{{Vault, 8443}, {vaultLink, 8445}, {vaultStatus, 8444}},
		files:     []variable{{"VAULT_CREDENTIALS", "data/admin.json"}, {"VAULT_CA", "data/ca.pem"}},
	},
	{
		name: Fault, program: "lab-fault", server: faultServer,
		endpoints: []endpoint{{"fault-admin", 10009}, {"fault-" + Azurite, 10010}, {"fault-" + S3, 10011}, {"fault-" + GCS, 10012}},
	},
}

// Names lists the services there can be.
func Names() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// Ports are the ports that a service answers on, as pods see them. They are none for a name that is no service's.
func Ports(name string) []int {
	var ports []int
	if k, err := find(name); err == nil {
		for _, e := range k.endpoints {
			ports = append(ports, e.port)
		}
	}
	return ports
}

func find(name string) (kind, error) {
	at := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if at < 0 {
		return kind{}, fmt.Errorf("there is no service %q: there are %s", name, strings.Join(Names(), ", "))
	}
	return kinds[at], nil
}

// marker is an environment entry of the processes of one service.
func (k kind) marker(s *Set) string { return "COFFER_LAB_SERVICE=" + s.Path(k.name) }

func (k kind) forwarder() string { return k.name + "-forwarder" }

// components are the server and its forwarder.
func (k kind) components(s *Set) (server, forwarder component.Spec, err error) {
	var addresses []string
	for _, e := range k.endpoints {
		addresses = append(addresses, e.address(s))
	}
	server, err = k.server(s, addresses)
	if err != nil {
		return server, forwarder, err
	}
	forwarder = component.Spec{Program: s.program("lab"), Args: []string{"forward", "--fd=3"}}
	for i, e := range k.endpoints {
		forwarder.Args = append(forwarder.Args, "--to="+addresses[i])
		forwarder.Listen = append(forwarder.Listen, s.HostPorts[e.name])
	}
	server.Name, forwarder.Name = k.name, k.forwarder()
	for _, spec := range []*component.Spec{&server, &forwarder} {
		spec.Env = append(spec.Env, cluster.Marker(s.root, cluster.ServicesName), k.marker(s))
		spec.Network = s.networkPath()
	}
	return server, forwarder, nil
}
