package service

import (
	"net"
	"strconv"

	"github.com/coffer-backup/coffer/lab/internal/component"
)

func azuriteServer(s *Set, addresses []string) (component.Spec, error) {
	host, port, err := net.SplitHostPort(addresses[0])
	return component.Spec{
		Program: s.program("azurite"),
		Args: []string{"--blobHost", host, "--blobPort", port, "--location", s.Path(Azurite),
			// Accounts are the first part of the path, whatever the host is called.
			"--disableProductStyleUrl", "--skipApiVersionCheck", "--disableTelemetry"},
		Health: component.Health{Address: addresses[0]},
	}, err
}

func s3Server(s *Set, addresses []string) (component.Spec, error) {
	// Where no bucket can be.
	const health = "/-/healthy"
	return component.Spec{
		Program: s.program("versitygw"),
		Args: []string{"--port", addresses[0], "--region", s3Region, "--health", health,
			"posix", "--versioning-dir", s.Path(S3, "versions"), s.Path(S3, "buckets")},
		Env:    []string{"ROOT_ACCESS_KEY_ID=" + s3AccessKey, "ROOT_SECRET_ACCESS_KEY=" + s3SecretKey},
		Health: component.Health{URL: "http://" + addresses[0] + health},
	}, nil
}

func gcsServer(s *Set, addresses []string) (component.Spec, error) {
	return component.Spec{
		Program: s.program("lab-gcs"),
		Args:    []string{"--listen", addresses[0], "--folder", s.Path(GCS)},
		Health:  component.Health{URL: "http://" + addresses[0] + "/_internal/healthcheck"},
	}, nil
}

// faultServer has the address of its administration, and one for each store.
func faultServer(s *Set, addresses []string) (component.Spec, error) {
	spec := component.Spec{
		Program: s.program("lab-fault"),
		Args:    []string{"--admin", addresses[0]},
		Health:  component.Health{URL: "http://" + addresses[0] + "/rules"},
	}
	for i, store := range stores {
		spec.Args = append(spec.Args, "--store", store.name+"="+addresses[1+i]+"=http://"+store.address(s))
	}
	return spec, nil
}

// address is where an endpoint answers pods.
func (e endpoint) address(s *Set) string { return s.Address() + ":" + strconv.Itoa(e.port) }
