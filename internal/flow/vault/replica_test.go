package vault_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

// replicaOf is a replica with its links.
type replicaOf struct {
	*vault.Replicas
	joining *vault.Joining
	links   *vaultworld.Links
	closed  []catalogue.ID
}

func (w *joinWorld) newReplica(name string) *replicaOf {
	w.t.Helper()
	r := &replicaOf{joining: w.replica(name), links: vaultworld.NewLinks()}
	var err error
	r.Replicas, err = vault.NewReplicas(vault.ReplicasConfig{
		Database: w.Database, Joining: r.joining, Clusters: r.links, Close: func(c catalogue.ID) { r.closed = append(r.closed, c); r.links.Set(c, nil) },
		URL: "https://" + name, NowFunc: w.Clock.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := r.Begin(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (r *replicaOf) look(t *testing.T) {
	t.Helper()
	if err := r.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestTheClustersOfAReplicaThatHasDiedAreNotConnected(t *testing.T) {
	w := newJoinWorld(t)
	one, two := w.newReplica("one"), w.newReplica("two")
	c := newConnector(t, "uid-1")
	w.mustBeLinked(testCluster, c)
	one.links.Set(testCluster, vaultworld.NewAPIServer(t, infoOf(c.hello)))
	if url, err := two.Elsewhere(t.Context(), testCluster); url != "https://one" || err != nil {
		t.Errorf("it is at %q: %v", url, err)
	}
	if url, err := one.Elsewhere(t.Context(), testCluster); url != "" || err != nil {
		t.Errorf("it is here, and at %q: %v", url, err)
	}
	// As long as it renews its row, the clock of the other one may be anything.
	for range 3 {
		one.look(t)
		two.look(t)
		w.Clock.Move(45 * time.Second)
	}
	if f := w.facts(testCluster); f.State != vault.ClusterConnected {
		t.Errorf("it is %+v", f)
	}
	// It dies.
	one.look(t)
	two.look(t)
	w.Clock.Move(59 * time.Second)
	two.look(t)
	if f := w.facts(testCluster); f.State != vault.ClusterConnected {
		t.Errorf("before a minute has passed, it is %+v", f)
	}
	w.Clock.Move(time.Second)
	two.look(t)
	if f := w.facts(testCluster); f.State != vault.ClusterDisconnected || f.LinkedBy != "" {
		t.Errorf("after a minute, it is %+v", f)
	}
	if url, err := two.Elsewhere(t.Context(), testCluster); url != "" || err != nil {
		t.Errorf("it is nowhere, and at %q: %v", url, err)
	}
	// It was not dead: what it holds is known again.
	one.look(t)
	if f := w.facts(testCluster); f.State != vault.ClusterConnected || f.LinkedBy != "one" {
		t.Errorf("it is %+v", f)
	}
}

func TestAReplicaThatBeginsHasNoLinks(t *testing.T) {
	w := newJoinWorld(t)
	w.newReplica("one")
	w.mustBeLinked(testCluster, newConnector(t, "uid-1"))
	// It is killed, and comes again.
	again := w.newReplica("one")
	if f := w.facts(testCluster); f.State != vault.ClusterDisconnected {
		t.Errorf("it is %+v", f)
	}
	w.mustBeLinked(otherCluster, newConnector(t, "uid-2"))
	if err := again.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f := w.facts(otherCluster); f.State != vault.ClusterDisconnected {
		t.Errorf("once it has ended, it is %+v", f)
	}
}

func TestWhatIsRecordedOfLinksIsMended(t *testing.T) {
	w := newJoinWorld(t)
	one := w.newReplica("one")
	c, d := newConnector(t, "uid-1"), newConnector(t, "uid-2")
	// The database was away when the link came, and when it went.
	w.mustJoin(c, testCluster)
	one.links.Set(testCluster, vaultworld.NewAPIServer(t, infoOf(c.hello)))
	w.mustBeLinked(otherCluster, d)
	one.look(t)
	if f := w.facts(testCluster); f.State != vault.ClusterConnected {
		t.Errorf("linked, it is %+v", f)
	}
	if f := w.facts(otherCluster); f.State != vault.ClusterDisconnected {
		t.Errorf("not linked, it is %+v", f)
	}
	// Somebody lets it leave at another replica, and somebody deletes it.
	one.links.Set(otherCluster, vaultworld.NewAPIServer(t, infoOf(d.hello)))
	one.look(t)
	if _, err := w.joining.Leave(t.Context(), w.owner, testCluster); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.keeper.Delete(t.Context(), w.owner, otherCluster, catalogue.Condition{}); err != nil {
		t.Fatal(err)
	}
	one.look(t)
	if len(one.closed) != 2 {
		t.Errorf("links that were ended: %v", one.closed)
	}
}

func TestAReplicaThatBeginsTakesNoShareOfThoseThatItFinds(t *testing.T) {
	w := newJoinWorld(t)
	one := w.newReplica("one")
	two := w.newReplica("two")
	shares := func() (ofOne, ofBoth, ofTwo int) {
		for n := range 100 {
			switch id := testCluster.Child("shares", fmt.Sprint(n)); {
			case one.Mine(id) && two.Mine(id):
				ofBoth++
			case one.Mine(id):
				ofOne++
			case two.Mine(id):
				ofTwo++
			}
		}
		return ofOne, ofBoth, ofTwo
	}
	if ofOne, ofBoth, ofTwo := shares(); ofOne < 20 || ofBoth < 20 || ofTwo != 0 {
		t.Errorf("before the first one looks, it has %d, both have %d, the second one has %d", ofOne, ofBoth, ofTwo)
	}
	one.look(t)
	if ofOne, ofBoth, ofTwo := shares(); ofOne < 20 || ofBoth != 0 || ofOne+ofTwo != 100 {
		t.Errorf("the first one has %d, both have %d, the second one has %d", ofOne, ofBoth, ofTwo)
	}
}
