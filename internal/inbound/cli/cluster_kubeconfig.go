package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/coffer-backup/coffer/internal/decide/kubeconfig"
)

// joinedByKubeconfig is of a cluster that its server dials.
const joinedByKubeconfig = "Kubeconfig"

// errBindingsByKubeconfig is of a cluster that has nobody in it who could give access for the server.
var errBindingsByKubeconfig = errors.New("--allow-bindings-by-owner is of a connector, and a cluster that joins by a kubeconfig has none: leave it out; " +
	"the cluster's owner approves each vault with `coffer trusted-access rolebinding approve`")

// readKubeconfig is the text of the kubeconfig that the server is to have; empty if none is named. One that the server would not take is refused
// before anything is done.
func (f joinFlags) readKubeconfig() (string, error) {
	if f.kubeconfig == "" {
		return "", nil
	}
	if f.bindingsByOwner {
		return "", usageError{errBindingsByKubeconfig}
	}
	if f.server != "" {
		return "", usageError{errors.New("--link-server is of a connector, and there is none with --server-kubeconfig")}
	}
	if f.settingsByOwner {
		return "", usageError{errors.New("--allow-settings-by-owner lets a connector, and there is none with --server-kubeconfig: `coffer cluster join` alone changes where recovery points are written to")}
	}
	file, err := os.Open(f.kubeconfig)
	if err != nil {
		return "", fmt.Errorf("--server-kubeconfig: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, kubeconfig.MaxSize+1))
	if err == nil {
		_, err = kubeconfig.Read(text)
	}
	if err != nil {
		return "", fmt.Errorf("--server-kubeconfig %s: %w", f.kubeconfig, err)
	}
	return string(text), nil
}

// mustJoinTheSameWay refuses to join a cluster in another way than it has, before its extension is changed.
func (f joinFlags) mustJoinTheSameWay(v clusterView) error {
	l := v.Properties.Coffer
	dialled, changes := l.JoinedBy == joinedByKubeconfig, f.kubeconfig != ""
	switch {
	case l.State != clusterPending && dialled && f.bindingsByOwner:
		return usageError{errBindingsByKubeconfig}
	case l.State == clusterPending || dialled == changes:
		return nil
	case changes:
		return fmt.Errorf("the cluster %s has joined by its connector; to have the server dial it, let it leave first with `coffer cluster leave %s`", v.Name, v.ID)
	case l.State != clusterConnected:
		return fmt.Errorf("the cluster %s has joined by a kubeconfig, and the server does not reach it (%s); give it another one with --server-kubeconfig, "+
			"or let it leave with `coffer cluster leave %s`", v.Name, l.Message, v.ID)
	}
	return nil
}

// giveKubeconfig has the server dial a cluster.
func (s session) giveKubeconfig(ctx context.Context, v clusterView, namespace, text string) error {
	body := map[string]any{"kubeconfig": text, "namespace": namespace}
	if _, err := s.send(ctx, http.MethodPost, string(v.ID)+ownProvider+"kubeconfig", body); err != nil {
		return fmt.Errorf("have the server dial cluster %s: %w", v.Name, err)
	}
	return nil
}
