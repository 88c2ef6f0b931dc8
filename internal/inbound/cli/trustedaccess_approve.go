package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/link"
)

// operatorClusterRole is what the extension's chart calls the role of vaults.
const operatorClusterRole = "backup-operator"

var identityForm = regexp.MustCompile(link.IdentityPattern)

// bindingObject is what the RoleBinding of a vault's identity is called.
func bindingObject(identity string) string { return "coffer-" + identity }

func (p *program) newBindingApprove() *cobra.Command {
	var at bindingFlags
	var yes bool
	cmd := &cobra.Command{
		Use: "approve", Short: "Approve trusted access of a Backup vault, in the cluster of the kubeconfig", Args: noArgs,
		Long: `Approve trusted access of a Backup vault, in the cluster of the kubeconfig.

It binds the vault's identity to the ClusterRole backup-operator in the namespace of the Backup extension. The vault can have backups and restores
made then, and read what recovery points hold.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atBinding(cmd.Context(), at)
			if err != nil {
				return err
			}
			v, _, there, err := readAs[bindingView](cmd.Context(), s, id)
			switch {
			case err != nil:
				return err
			case !there:
				return fmt.Errorf("there is no trusted access role binding %s; make it with `coffer trusted-access rolebinding create`", at.name)
			}
			if !yes {
				if err := p.confirm(fmt.Sprintf("Let Backup vault %s back up and restore cluster %s, and read its recovery points?", v.Properties.SourceResourceID, v.ID.Parent().Name())); err != nil {
					return err
				}
			}
			text, err := p.approve(cmd.Context(), s, v)
			if err != nil {
				return err
			}
			return p.showOne(bindingNoun(), text)
		},
	}
	at.bind(p, cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return p.onBoth(cmd)
}

// approve binds the identity of a vault to its role in the cluster of the kubeconfig, and has the server look. That it is bound already is well.
func (p *program) approve(ctx context.Context, s session, v bindingView) (json.RawMessage, error) {
	c, err := p.client()
	if err != nil {
		return nil, err
	}
	cluster, _, _, err := readAs[clusterView](ctx, s, string(v.ID.Parent()))
	if err != nil {
		return nil, err
	}
	uid, err := uidOf(ctx, c)
	if err != nil {
		return nil, err
	}
	if cluster.Properties.Coffer.State == clusterPending {
		return nil, fmt.Errorf("cluster %s has not joined; join it first with `coffer cluster join %s`", cluster.Name, cluster.ID)
	}
	if err := mustBeThatCluster(cluster, uid); err != nil {
		return nil, err
	}
	binding, err := p.consent(v)
	if err != nil {
		return nil, err
	}
	if err := c.Create(ctx, binding); apierrors.IsAlreadyExists(err) {
		err = mustBindTheSame(ctx, c, binding)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, fmt.Errorf("bind the vault to its role: %w", err)
	}
	now, text, err := s.checkBinding(ctx, string(v.ID))
	if err == nil && now.Properties.Coffer.State != bindingApproved {
		err = fmt.Errorf("the role is bound in the cluster, but the vault was not let in: %s", now.Properties.Coffer.Message)
	}
	return text, err
}

// consent is the RoleBinding for what the server says of a vault. The server has no say in which role, or where: this is the cluster owner's
// own namespace, and an identity of vaults.
func (p *program) consent(v bindingView) (*rbacv1.RoleBinding, error) {
	state := v.Properties.Coffer
	switch {
	case !identityForm.MatchString(state.Identity):
		return nil, fmt.Errorf("the server says that the vault is %.80q in clusters, which is no identity of a vault", state.Identity)
	case state.Namespace != p.target.Namespace:
		return nil, fmt.Errorf("the Backup extension of the cluster is in namespace %.80q; say so with --namespace", state.Namespace)
	case state.VaultsNamespace != p.target.Namespace+"-vaults":
		return nil, fmt.Errorf("the server says that vaults are in namespace %.80q of the cluster; the extension has them in %s-vaults", state.VaultsNamespace, p.target.Namespace)
	}
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.target.Namespace, Name: bindingObject(state.Identity), Annotations: map[string]string{"coffer.dev/backup-vault": v.Properties.SourceResourceID},
		},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: operatorClusterRole},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: state.VaultsNamespace, Name: state.Identity}},
	}, nil
}

// mustBindTheSame refuses a RoleBinding of the name that binds something else.
func mustBindTheSame(ctx context.Context, c client.Client, wanted *rbacv1.RoleBinding) error {
	var found rbacv1.RoleBinding
	if err := c.Get(ctx, client.ObjectKeyFromObject(wanted), &found); err != nil {
		return fmt.Errorf("read the RoleBinding %s: %w", wanted.Name, err)
	}
	if found.RoleRef != wanted.RoleRef || len(found.Subjects) != 1 || found.Subjects[0] != wanted.Subjects[0] {
		return errors.New("the RoleBinding " + wanted.Name + " in namespace " + wanted.Namespace + " binds something else; delete it, and approve again")
	}
	return nil
}
