package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// linkSecret is where the connector keeps its key and its certificate.
const linkSecret = "coffer-link"

func (p *program) newClusterLeave() *cobra.Command {
	var at scopeFlags
	var yes, keep bool
	cmd := &cobra.Command{
		Use: "leave CLUSTER", Short: "End a cluster's link to the server; recovery points and the Backup extension stay", Args: oneCluster, ValidArgsFunction: p.completeClusters,
		Long: `End a cluster's link to the server: its certificates are good for nothing any more, and it, or another one, may join under its id again.

If the kubeconfig leads to that cluster, its connector is removed. Recovery points, hooks and the Backup extension stay.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, id, err := p.atCluster(cmd.Context(), at, args[0])
			if err != nil {
				return err
			}
			before, _, there, err := readAs[clusterView](cmd.Context(), s, id)
			switch {
			case err != nil:
				return err
			case !there:
				return fmt.Errorf("there is no cluster %s; `coffer cluster list` shows them", id)
			}
			if !yes {
				if err := p.confirm(fmt.Sprintf("End the link of cluster %s? Vaults reach it no more.", before.Name)); err != nil {
					return err
				}
			}
			if _, err := s.send(cmd.Context(), http.MethodPost, id+ownProvider+"leave", map[string]any{}); err != nil {
				return fmt.Errorf("let cluster %s leave: %w", before.Name, err)
			}
			p.told("Cluster %s has left.", before.Name)
			if keep {
				return nil
			}
			return p.removeConnector(cmd.Context(), before)
		},
	}
	at.bindGroup(p, cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&keep, "keep-extension", false, "change nothing in the cluster")
	return p.onBoth(cmd)
}

// removeConnector takes the connector out of the cluster that has left, if the kubeconfig leads there.
func (p *program) removeConnector(ctx context.Context, left clusterView) error {
	how := fmt.Sprintf("with a kubeconfig of it, `coffer extension install -n %s --set connector.enabled=false` removes its connector",
		cmp.Or(left.Properties.Coffer.Namespace, p.target.Namespace))
	c, err := p.client()
	uid := ""
	if err == nil {
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		uid, err = uidOf(short, c)
	}
	switch {
	case left.Properties.Coffer.ClusterUID == "":
		return nil // It never joined.
	case err != nil:
		p.told("The cluster cannot be reached from here (%v): %s.", err, how)
		return nil
	case !strings.EqualFold(uid, left.Properties.Coffer.ClusterUID):
		p.told("The kubeconfig leads to another cluster, which was left as it is: %s.", how)
		return nil
	case left.Properties.Coffer.Namespace != p.target.Namespace:
		p.told("Its extension is in namespace %s: %s.", left.Properties.Coffer.Namespace, how)
		return nil
	}
	// What this server was let do is not kept for the next one.
	off := map[string]any{"enabled": false, "joinTokenDigest": "", "allowBindingsByOwner": false, "link": true}
	o := InstallOptions{Values: map[string]any{"connector": off}, Timeout: 5 * time.Minute}
	if err := p.Installer.Install(ctx, p.target, o); err != nil {
		return fmt.Errorf("remove the connector: %w", err)
	}
	// Its certificate is good for nothing, and its key is a secret all the same.
	for _, name := range []string{linkSecret, joinSecret} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}}
		if err := c.Delete(ctx, secret, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete Secret %s: %w", name, err)
		}
	}
	p.told("Its connector is removed; the Backup extension stays. `coffer extension uninstall` removes that.")
	return nil
}
