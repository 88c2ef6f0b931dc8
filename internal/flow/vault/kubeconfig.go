package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/kubeconfig"
)

// KubeconfigRequest is what a cluster joins by that the server dials itself. It is a secret.
type KubeconfigRequest struct {
	// Kubeconfig is the text of one, as package kubeconfig takes it.
	Kubeconfig string `json:"kubeconfig"`
	// Namespace is the extension's; empty is the one that it is usually in.
	Namespace string `json:"namespace"`
	// AllowBindingsByOwner is of a connector, and refused: what this server is given may let no vault in. See errBindingsByKubeconfig.
	AllowBindingsByOwner bool `json:"allowBindingsByOwner"`
}

const (
	// kubeconfigSecret is how the secret of a cluster that is its kubeconfig is named.
	kubeconfigSecret = "kubeconfig"
	// kubeconfigKept is the target of catalogue.LinkKubeconfig.
	kubeconfigKept = "kept"
)

// kubeconfigPurpose binds a sealed kubeconfig to one joining of one cluster.
func kubeconfigPurpose(cluster catalogue.ID, joining string) string {
	return "kubeconfig " + cluster.Key() + " " + joining
}

// errBindingsByKubeconfig is why no kubeconfig is taken by which vaults could be let in. A connector that may bind does so in the cluster, vaults and
// nobody else; RBAC cannot bound whom a kubeconfig's user binds, and what was bound by one that is stolen outlives it.
func errBindingsByKubeconfig() error {
	return coffer.Errorf(coffer.CodeInvalidInput, "allowBindingsByOwner is of a connector: a cluster that joins by a kubeconfig has nobody in it who could give a vault access").
		WithHint("join without it; the cluster's owner approves each vault with a kubeconfig of their own: coffer trusted-access rolebinding approve")
}

// JoinByKubeconfig takes a cluster in that this server dials, or gives one that has joined so another kubeconfig. The cluster is asked by it
// which one it is: what does not answer does not join.
func (j *Joining) JoinByKubeconfig(ctx context.Context, by Caller, cluster catalogue.ID, asked KubeconfigRequest) (r catalogue.Resource, err error) {
	if j.config.AskFunc == nil {
		return r, coffer.Errorf(coffer.CodeInvalidInput, "this server dials no clusters").
			WithHint("join the cluster by its connector; or start coffer-server with --kubeconfig-networks, the networks of the API servers that it may dial")
	}
	if asked.AllowBindingsByOwner {
		return r, errBindingsByKubeconfig()
	}
	namespace := cmp.Or(asked.Namespace, v1alpha1.DefaultNamespace)
	k := catalogue.Kubeconfig{
		Text: []byte(asked.Kubeconfig), Namespace: namespace, VaultsNamespace: namespace + "-vaults",
	}
	if !namespaceForm.MatchString(k.Namespace) || !namespaceForm.MatchString(k.VaultsNamespace) {
		return r, coffer.Errorf(coffer.CodeInvalidInput, "the extension's namespace is %.80q, which is no name of one with 56 characters at most", asked.Namespace)
	}
	if _, err := kubeconfig.Read(k.Text); err != nil {
		return r, err
	}
	err = j.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		found, f, err := clusterAt(ctx, v, cluster)
		k.Cluster = found.ID
		if err != nil {
			return err
		}
		return mustJoinBy(found.ID, f, JoinedByKubeconfig)
	})
	if err != nil {
		return r, err
	}
	info, err := j.config.AskFunc(ctx, k)
	if err == nil {
		err = checkInfo(info)
	}
	if err != nil {
		return r, err
	}
	return j.keepKubeconfig(ctx, by, k, info)
}

// keepKubeconfig records that a cluster has joined by a kubeconfig.
func (j *Joining) keepKubeconfig(ctx context.Context, by Caller, k catalogue.Kubeconfig, info catalogue.ClusterInfo) (r catalogue.Resource, err error) {
	var fresh [16]byte
	if _, err := io.ReadFull(j.config.Random, fresh[:]); err != nil {
		return r, fmt.Errorf("make the number of a joining: %w", err)
	}
	k.Version = hex.EncodeToString(fresh[:])
	sealed, err := j.config.Sealer.Seal(ctx, kubeconfigPurpose(k.Cluster, k.Version), facts(k))
	if err != nil {
		return r, fmt.Errorf("seal a kubeconfig: %w", err)
	}
	now := j.now()
	err = j.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		before, err := tx.Resource(ctx, k.Cluster)
		if err != nil {
			return err
		}
		f, err := joins(ctx, tx, before, info, now, k.Version, JoinedByKubeconfig)
		if err != nil {
			return err
		}
		// Whoever holds a session by the one before sees that there is another.
		f.Joining = k.Version
		if f.State != ClusterConnected {
			f.Message, f.Command = "the cluster has joined, and is about to be dialled", ""
		}
		if err := tx.PutSecret(ctx, catalogue.Secret{Owner: before.ID, Name: kubeconfigSecret, Sealed: sealed}); err != nil {
			return err
		}
		if r, err = putCluster(ctx, tx, before, f); err != nil {
			return err
		}
		return appendEntry(ctx, tx, by.entry(now, access.ActionKubeconfig, r.ID, http.StatusOK), &before, &r)
	})
	return r, err
}

// dropKubeconfig deletes the kubeconfig of a cluster, if there is one.
func dropKubeconfig(ctx context.Context, tx catalogue.Tx, cluster catalogue.ID) error {
	all, err := tx.Secrets(ctx, cluster)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Name == kubeconfigSecret {
			return tx.DeleteSecret(ctx, cluster, s.Name)
		}
	}
	return nil
}

// Kubeconfigs are those of the clusters that this replica holds, and of those that nobody does.
func (j *Joining) Kubeconfigs(ctx context.Context) (found []catalogue.KubeconfigRef, err error) {
	err = j.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		found = nil
		q := catalogue.ResourceQuery{Type: typeCluster, Linked: &catalogue.Link{Relation: catalogue.LinkKubeconfig, Target: kubeconfigKept}}
		return each(ctx, v, q, func(r catalogue.Resource) error {
			f, err := ClusterFactsOf(r)
			if err == nil && (f.State != ClusterConnected || f.LinkedBy == j.config.Replica) {
				found = append(found, catalogue.KubeconfigRef{Cluster: r.ID, Version: f.Joining})
			}
			return err
		})
	})
	return found, err
}

// Kubeconfig is one of them, opened. One that was replaced or has left since is an error with coffer.CodeJoinRefused.
func (j *Joining) Kubeconfig(ctx context.Context, ref catalogue.KubeconfigRef) (k catalogue.Kubeconfig, err error) {
	var sealed []byte
	err = j.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		sealed = nil
		_, f, err := clusterAt(ctx, v, ref.Cluster)
		if missing(err) || err == nil && (f.JoinedBy != JoinedByKubeconfig || f.Joining != ref.Version) {
			return coffer.Errorf(coffer.CodeJoinRefused, "the cluster %s has left, or has another kubeconfig", ref.Cluster)
		}
		if err != nil {
			return err
		}
		all, err := v.Secrets(ctx, ref.Cluster)
		for _, s := range all {
			if s.Name == kubeconfigSecret {
				sealed = s.Sealed
			}
		}
		return err
	})
	if err != nil {
		return k, err
	}
	text, err := j.config.Sealer.Open(ctx, kubeconfigPurpose(ref.Cluster, ref.Version), sealed)
	if err != nil {
		return k, fmt.Errorf("open the kubeconfig of %s: %w", ref.Cluster, err)
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&k); err != nil {
		return k, fmt.Errorf("read the kubeconfig of %s: %w", ref.Cluster, err)
	}
	return k, nil
}

// mustBeFirst refuses this replica a cluster that another one dials.
func (j *Joining) mustBeFirst(id catalogue.ID, f ClusterFacts) error {
	if f.JoinedBy != JoinedByKubeconfig || f.State != ClusterConnected || f.LinkedBy == j.config.Replica {
		return nil
	}
	return coffer.Errorf(coffer.CodeJoinRefused, "the cluster %s is dialled by another replica of this server", id)
}

// Unreachable records that this replica does not reach a cluster by its kubeconfig, and why, which is one line for people. Of a cluster that another
// replica dials, nothing is changed.
func (j *Joining) Unreachable(ctx context.Context, cluster catalogue.ID, why string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlinkedTime)
	defer cancel()
	now := j.now()
	err := j.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		r, f, err := clusterAt(ctx, tx, cluster)
		if missing(err) || err == nil && (f.JoinedBy != JoinedByKubeconfig || j.mustBeFirst(r.ID, f) != nil) {
			return nil //nolint:nilerr // Whose it is, is not changed.
		}
		if err != nil || f.State == ClusterDisconnected && f.Message == why {
			return err
		}
		if f.State != ClusterDisconnected {
			f.State, f.Since = ClusterDisconnected, now
		}
		f.LinkedBy, f.Message, f.Command = "", why, ""
		_, err = putCluster(ctx, tx, r, f)
		return err
	})
	if err != nil {
		j.config.Log.Error("it is not recorded yet that a cluster is not reached", "cluster", cluster, "error", err)
	}
}
