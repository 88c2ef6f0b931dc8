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
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/content"
)

// What a cluster that leaves has for nobody any more: the connector keeps its key and its certificate in linkSecret, and the extension's reader, whom only a
// vault's server asks, those that it is known by in readerSecret.
const (
	linkSecret   = "coffer-link"
	readerSecret = "coffer-reader-tls" //nolint:gosec // It is the name of a Secret.
)

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
	door, removed := "connector", "Its connector is removed"
	if left.Properties.Coffer.JoinedBy == joinedByKubeconfig {
		door, removed = "ServiceAccount coffer-vault-server", "Its ServiceAccount coffer-vault-server is removed, and the tokens of its kubeconfigs have ended"
	}
	how := fmt.Sprintf("with a kubeconfig of it, `coffer extension install -n %s --set connector.enabled=false` removes its %s",
		cmp.Or(left.Properties.Coffer.Namespace, p.target.Namespace), door)
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
	off := map[string]any{"enabled": false, "joinTokenDigest": "", "allowBindingsByOwner": false, "allowSettingsByOwner": false, "link": true}
	o := InstallOptions{Values: map[string]any{"connector": off}, Timeout: 5 * time.Minute}
	if err := p.Installer.Install(ctx, p.target, o); err != nil {
		return fmt.Errorf("remove its %s: %w", door, err)
	}
	// Its certificate is good for nothing, and its key is a secret all the same.
	at := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}
	}
	for _, o := range []client.Object{
		&corev1.Secret{ObjectMeta: at(linkSecret)}, &corev1.Secret{ObjectMeta: at(joinSecret)}, &corev1.Secret{ObjectMeta: at(readerSecret)},
		&corev1.ConfigMap{ObjectMeta: at(content.AuthorityConfigMap)},
	} {
		if err := c.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s, which was for the vault's server: %w", o.GetName(), err)
		}
	}
	p.told("%s; the Backup extension stays. `coffer extension uninstall` removes that.", removed)
	return p.tellConsents(ctx, c)
}

// tellConsents says how the trusted access that vaults have had in the cluster is taken away: it was given there, and would hold if the cluster joined again.
func (p *program) tellConsents(ctx context.Context, c client.Client) error {
	var all rbacv1.RoleBindingList
	if err := c.List(ctx, &all, client.InNamespace(p.target.Namespace)); err != nil {
		return fmt.Errorf("list the RoleBindings of vaults: %w", err)
	}
	var names []string
	for _, b := range all.Items {
		if b.RoleRef.Kind == "ClusterRole" && b.RoleRef.Name == operatorClusterRole {
			names = append(names, b.Name)
		}
	}
	if len(names) > 0 {
		p.told("Trusted access stays in the cluster, and holds if it joins again; `kubectl -n %s delete rolebinding %s` takes it away.", p.target.Namespace, strings.Join(names, " "))
	}
	return nil
}
