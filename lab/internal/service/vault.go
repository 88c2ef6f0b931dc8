package service

import (
	"fmt"
	"net"

	"github.com/coffer-backup/coffer/lab/internal/component"
	"github.com/coffer-backup/coffer/lab/internal/network"
)

// The endpoints of the vault's server beside the one for its clients: clusters that joined keep a link to the one, and health and
// metrics are at the other.
const (
	vaultLink   = Vault + "-link"
	vaultStatus = Vault + "-status"
)

// vaultServer is the product's server of Backup vaults. Clients are programs of the host, so that its url is there, and clusters dial
// it where pods do.
func vaultServer(s *Set, addresses []string) (component.Spec, error) {
	inside, _, err := net.SplitHostPort(addresses[0])
	return component.Spec{
		Program: s.program("coffer-server"),
		Args: []string{
			"--data-dir", s.Path(Vault, "data"), "--listen", addresses[0], "--status-listen", addresses[2],
			"--link-listen", addresses[1], "--link-address", addresses[1],
			// The clusters of the lab, for those that join by a kubeconfig.
			"--kubeconfig-networks", network.Nodes,
			// Journeys have no time for policies by the day.
			"--short-policies",
			"--url", fmt.Sprintf("https://127.0.0.1:%d", s.HostPorts[Vault]), "--hostname", "127.0.0.1,localhost," + inside,
		},
		Health: component.Health{URL: "http://" + addresses[2] + "/readyz"},
	}, err
}
