package vault_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const testKubeconfig = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://api.example'}}]\n" +
	"users: [{name: u, user: {token: s3cret}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"

// dialling is a replica that dials clusters, all of which have one UID.
func (w *joinWorld) dialling(name string, uid *string) *vault.Joining {
	w.t.Helper()
	j, err := vault.NewJoining(vault.JoiningConfig{
		Database: w.Database, Sealer: w.Sealer, Authority: w.authority, NowFunc: w.Clock.Now, Random: rand.Reader, Replica: name, Log: slog.New(slog.DiscardHandler),
		AskFunc: func(_ context.Context, k catalogue.Kubeconfig) (catalogue.ClusterInfo, error) {
			if *uid == "" {
				return catalogue.ClusterInfo{}, coffer.Errorf(coffer.CodeClusterNotReachable, "it does not answer")
			}
			return catalogue.ClusterInfo{UID: *uid, Namespace: k.Namespace, VaultsNamespace: k.VaultsNamespace, KubernetesVersion: "v1.34.1"}, nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

func (w *joinWorld) byKubeconfig(j *vault.Joining, cluster catalogue.ID, text string) error {
	w.t.Helper()
	_, err := j.JoinByKubeconfig(w.t.Context(), w.owner, cluster, vault.KubeconfigRequest{Kubeconfig: text})
	return err
}

// refs are the kubeconfigs that a replica looks after.
func (w *joinWorld) refs(j *vault.Joining) []catalogue.KubeconfigRef {
	w.t.Helper()
	refs, err := j.Kubeconfigs(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return refs
}

// mustSay fails unless an error has a code and says all of that, and nothing of a kubeconfig.
func mustSay(t *testing.T, err error, words ...string) {
	t.Helper()
	if coffer.CodeOf(err) == "" || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error is %v", err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q says nothing of %s", err, word)
		}
	}
}

func TestAClusterJoinsByAKubeconfigThatAnswers(t *testing.T) {
	w := newJoinWorld(t)
	uid := ""
	one := w.dialling("one", &uid)
	mustSay(t, w.byKubeconfig(w.joining, testCluster, testKubeconfig), "dials no clusters", "--kubeconfig-networks")
	mustSay(t, w.byKubeconfig(one, testCluster, testKubeconfig), "does not answer")
	uid = "not a uid"
	mustSay(t, w.byKubeconfig(one, testCluster, testKubeconfig), "UID")
	uid = "uid-1"
	mustSay(t, w.byKubeconfig(one, testCluster, strings.Replace(testKubeconfig, "token: s3cret", "tokenFile: /s3cret", 1)), "tokenFile")
	if _, err := one.JoinByKubeconfig(t.Context(), w.owner, testCluster, vault.KubeconfigRequest{Kubeconfig: testKubeconfig, Namespace: "../x"}); coffer.CodeOf(err) != coffer.CodeInvalidInput {
		t.Errorf("%v", err)
	}
	if err := w.byKubeconfig(one, testCluster+"x", testKubeconfig); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		t.Errorf("%v", err)
	}
	if f := w.facts(testCluster); f.State != vault.ClusterPending || len(w.refs(one)) != 0 {
		t.Fatalf("%+v, %v", f, w.refs(one))
	}
	if err := w.byKubeconfig(one, testCluster, testKubeconfig); err != nil {
		t.Fatal(err)
	}
	if f := w.facts(testCluster); f.State != vault.ClusterDisconnected || f.JoinedBy != vault.JoinedByKubeconfig || f.ClusterUID != "uid-1" || f.Namespace != "dataprotection-microsoft" {
		t.Errorf("%+v", f)
	}
	ref := w.refs(one)[0]
	k, err := one.Kubeconfig(t.Context(), ref)
	if err != nil || string(k.Text) != testKubeconfig || k.KubeconfigRef != ref || k.VaultsNamespace != "dataprotection-microsoft-vaults" {
		t.Errorf("%+v, %v", k, err)
	}
	// Another kubeconfig of it is in the place of the first; another cluster's is not.
	if err := w.byKubeconfig(one, testCluster, strings.Replace(testKubeconfig, "s3cret", "other", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Kubeconfig(t.Context(), ref); coffer.CodeOf(err) != coffer.CodeJoinRefused {
		t.Errorf("the first one: %v", err)
	}
	if again := w.refs(one); len(again) != 1 || again[0].Version == ref.Version {
		t.Errorf("%v", again)
	}
	mustBeRefused(t, w.byKubeconfig(one, otherCluster, testKubeconfig), "has joined already, as")
	uid = "uid-2"
	mustBeRefused(t, w.byKubeconfig(one, testCluster, testKubeconfig), "is another cluster")
	// It leaves, and the kubeconfig is gone.
	if _, err := one.Leave(t.Context(), w.owner, testCluster); err != nil {
		t.Fatal(err)
	}
	err = w.Database.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
		all, err := v.Secrets(ctx, testCluster)
		if len(all) != 0 {
			t.Errorf("%d secrets are left", len(all))
		}
		return err
	})
	if err != nil || len(w.refs(one)) != 0 {
		t.Errorf("%v, %v", w.refs(one), err)
	}
	if err := w.byKubeconfig(one, testCluster, testKubeconfig); err != nil {
		t.Errorf("another cluster in its place: %v", err)
	}
}

func TestAKubeconfigGivesNoVaultAccess(t *testing.T) {
	w := newJoinWorld(t)
	uid := "uid-1"
	one := w.dialling("one", &uid)
	_, err := one.JoinByKubeconfig(t.Context(), w.owner, testCluster, vault.KubeconfigRequest{Kubeconfig: testKubeconfig, AllowBindingsByOwner: true})
	mustSay(t, err, "allowBindingsByOwner", "coffer trusted-access rolebinding approve")
	if f := w.facts(testCluster); f.State != vault.ClusterPending || len(w.refs(one)) != 0 {
		t.Errorf("it has joined all the same: %+v", f)
	}
}

func TestAClusterJoinsInOneWayAtATime(t *testing.T) {
	w := newJoinWorld(t)
	uid := "uid-1"
	one := w.dialling("one", &uid)
	c := newConnector(t, uid)
	w.mustJoin(c, testCluster)
	mustBeRefused(t, w.byKubeconfig(one, testCluster, testKubeconfig), "by its connector already", "coffer cluster leave")
	certificate := w.mustJoin(c, testCluster)
	if _, err := w.joining.Leave(t.Context(), w.owner, testCluster); err != nil {
		t.Fatal(err)
	}
	if err := w.byKubeconfig(one, testCluster, testKubeconfig); err != nil {
		t.Fatal(err)
	}
	_, err := w.join(c, w.secret(testCluster))
	mustBeRefused(t, err, "by a kubeconfig already", "coffer cluster leave")
	if _, err := w.joining.Admit(t.Context(), certificate, c.hello); coffer.CodeOf(err) != coffer.CodeJoinRefused {
		t.Errorf("its connector of before: %v", err)
	}
}

func TestOneReplicaDialsACluster(t *testing.T) {
	w := newJoinWorld(t)
	uid := "uid-1"
	one, two := w.dialling("one", &uid), w.dialling("two", &uid)
	if err := w.byKubeconfig(one, testCluster, testKubeconfig); err != nil {
		t.Fatal(err)
	}
	info := catalogue.ClusterInfo{UID: uid, Namespace: "coffer", VaultsNamespace: "coffer-vaults"}
	if err := two.Linked(t.Context(), testCluster, info); err != nil {
		t.Fatal(err)
	}
	if err := one.Linked(t.Context(), testCluster, info); coffer.CodeOf(err) != coffer.CodeJoinRefused {
		t.Errorf("both dial it: %v", err)
	}
	if f := w.facts(testCluster); f.LinkedBy != "two" || len(w.refs(one)) != 0 || len(w.refs(two)) != 1 {
		t.Errorf("%+v, %v, %v", f, w.refs(one), w.refs(two))
	}
	// What the one has to say of it does not count.
	one.Unreachable(t.Context(), testCluster, "nobody there")
	if f := w.facts(testCluster); f.State != vault.ClusterConnected {
		t.Errorf("%+v", f)
	}
	two.Unreachable(t.Context(), testCluster, "its token has ended")
	if f := w.facts(testCluster); f.State != vault.ClusterDisconnected || f.Message != "its token has ended" || f.LinkedBy != "" || len(w.refs(one)) != 1 {
		t.Errorf("%+v", f)
	}
	// Nothing is written where nothing has changed: it is tried again and again.
	version := w.get(testCluster).Version
	two.Unreachable(t.Context(), testCluster, "its token has ended")
	if now := w.get(testCluster).Version; now != version {
		t.Errorf("version %d became %d", version, now)
	}
	// A kubeconfig is opened as that of its own cluster only.
	uid = "uid-2"
	ref := w.refs(one)[0]
	if err := w.byKubeconfig(one, otherCluster, testKubeconfig); err != nil {
		t.Fatal(err)
	}
	err := w.Database.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		all, err := tx.Secrets(ctx, otherCluster)
		if err != nil {
			return err
		}
		all[0].Owner = testCluster
		return tx.PutSecret(ctx, all[0])
	})
	if err != nil {
		t.Fatal(err)
	}
	if k, err := one.Kubeconfig(t.Context(), ref); err == nil {
		t.Errorf("another cluster's kubeconfig was opened: %+v", k.Cluster)
	}
}
