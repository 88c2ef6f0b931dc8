package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/orphan"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/internal/inbound/reader"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

// store is the storage location of a cluster, and what its extension finds beside it.
type store struct {
	archives map[string]flow.Archive
	left     []coffer.RunSnapshots
	readOnly bool
	// broken ends the answer in the middle.
	broken error
}

// newStore has the extension of a cluster tell what is in a store.
func (w *world) newStore(in *vaultworld.Cluster) *store {
	s := &store{archives: map[string]flow.Archive{}}
	in.Read(reader.New(reader.Config{Holdings: func(_ context.Context, _ string, to flow.HoldingsTo) error {
		if err := to.Location(s.readOnly); err != nil {
			return err
		}
		for _, left := range s.left {
			if err := to.Snapshots(left); err != nil {
				return err
			}
		}
		for _, name := range slices.Sorted(maps.Keys(s.archives)) {
			a := s.archives[name]
			if uid, ok := in.Get("backups", name, "metadata", "uid").(string); ok {
				owner, _ := in.Get("backups", name, "metadata", "labels", job.VaultLabel).(string)
				phase, _ := in.Get("backups", name, "status", "phase").(string)
				a.Backup = &flow.BackupRun{UID: uid, Vault: owner, Final: v1alpha1.RunPhase(phase).Final()}
			}
			if err := to.Archive(a); err != nil {
				return err
			}
			if s.broken != nil {
				return s.broken
			}
		}
		return s.broken
	}}))
	return s
}

var stored = time.Date(2026, 5, 4, 12, 0, 5, 0, time.UTC)

// put stores an archive, whole or not.
func (s *store) put(name string, sealed bool) {
	s.archives[name] = flow.Archive{Name: name, Sealed: sealed, Blobs: 3, Bytes: 100, Modified: stored}
}

// askHoldings asks the extension's own reader.
var askHoldings = vault.Holdings{
	At:   func(location string) *url.URL { return content.Holdings{StorageLocation: location}.URL() },
	Read: content.Read[orphan.Holding],
}

// orphans are all of the vault, as words, and their ids; what could not be asked is among the words.
func (w *world) orphans(limit int) (words, ids []string) {
	w.t.Helper()
	for q := (vault.OrphanQuery{Vault: vaultID, Limit: limit}); ; {
		page, err := w.jobs.Orphans(w.t.Context(), q, askHoldings, true)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, o := range page.Orphans {
			words = append(words, fmt.Sprintf("%s %s: %s", o.Kind, o.Name, o.Reason))
			ids = append(ids, o.ID)
		}
		for _, n := range page.NotAsked {
			words = append(words, "not asked "+n.Cluster.Name()+": "+n.Why.Error())
		}
		if q.After = page.Next; q.After == "" {
			return words, ids
		}
	}
}

// remove asks for the removal of orphans of a cluster, and answers what became of each.
func (w *world) removeOrphans(cluster catalogue.ID, ids ...string) string {
	w.t.Helper()
	body, err := json.Marshal(arm.RemoveOrphansRequest{ClusterID: string(cluster), IDs: ids})
	if err != nil {
		w.t.Fatal(err)
	}
	removed, err := w.jobs.RemoveOrphans(w.t.Context(), w.by, vaultID, body, askHoldings)
	if err != nil {
		return string(coffer.CodeOf(err))
	}
	var words []string
	for _, r := range removed {
		words = append(words, string(r.Outcome))
	}
	return strings.Join(words, " ")
}

// lost is a backup that has ended, and whose recovery point the catalogue has no more, but nobody knows why.
func (w *world) lost() string {
	w.t.Helper()
	name := w.backedUp()
	w.update(func(ctx context.Context, tx catalogue.Tx) error { return tx.DeletePoint(ctx, instanceID, name) })
	return name
}

func (w *world) mustFind(want ...string) []string {
	w.t.Helper()
	words, ids := w.orphans(100)
	if !slices.EqualFunc(words, want, strings.HasPrefix) {
		w.t.Fatalf("orphans are\n%s\nwant\n%s", strings.Join(words, "\n"), strings.Join(want, "\n"))
	}
	return ids
}

func TestOrphansAreFoundAndRemovedOnRequest(t *testing.T) {
	w := newWorld(t)
	here, other := w.newStore(w.cluster), w.newStore(w.other)
	known, kept, lost := w.backedUp(), w.backedUp(), w.lost()
	here.put(known, true)
	here.put(lost, true)
	// A person's, another vault's, one of nobody, one of this vault in the other cluster's location, and one that is under way.
	w.cluster.Put("backups", "mine", nil)
	w.cluster.Put("backups", "theirs", map[string]string{job.VaultLabel: "vault-other"})
	for _, name := range []string{"mine", "theirs", "nobodys"} {
		here.put(name, true)
	}
	for _, name := range []string{"mine", "theirs"} {
		w.cluster.SetStatus("backups", name, completed)
	}
	other.put(lost, true)
	underway := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	here.put(underway, false)
	ids := w.mustFind("Archive "+lost+": it was in the catalogue", "RecoveryPoint "+kept+": its archive is not in the storage location")

	before := w.audited("Coffer.Backup/orphans/remove/action")
	if got := w.removeOrphans(clusterID, ids...); got != "ToBeDeleted Removed" {
		t.Fatalf("removed: %s", got)
	}
	if got := w.audited("Coffer.Backup/orphans/remove/action") - before; got != 1 {
		t.Errorf("%d entries of the audit log", got)
	}
	// It is a pending deletion, and no orphan meanwhile.
	w.mustFind()
	if owed := w.owed(); len(owed) != 1 || owed[0].Point != lost || !owed[0].Instance.Is(instanceID) || owed[0].Bytes != 100 {
		t.Fatalf("deletions: %+v", owed)
	}
	if points := w.points(); len(points) != 1 || points[0].Name != known {
		t.Errorf("recovery points: %+v", points)
	}
	w.look()
	runs := w.cluster.Names("deletebackups")
	if len(runs) != 1 || w.cluster.Get("deletebackups", runs[0], "spec", "backupName") != lost ||
		w.cluster.Get("deletebackups", runs[0], "spec", "run") != w.cluster.Get("backups", lost, "metadata", "uid") {
		t.Fatalf("runs: %v", runs)
	}
	w.cluster.SetStatus("deletebackups", runs[0], `{"phase":"Completed"}`)
	delete(here.archives, lost)
	w.cluster.Remove("backups", lost)
	w.look()
	if owed := w.owed(); len(owed) != 0 {
		t.Errorf("in the end, deletions: %+v", owed)
	}
	w.mustFind()
}

func TestWhatABackupThatDiedHasLeftIsFound(t *testing.T) {
	w := newWorld(t)
	here := w.newStore(w.cluster)
	w.newStore(w.other)
	var names, uids []string
	for range 3 {
		name := w.begin(w.jobs.BeginBackup, backupRequest)
		w.look()
		names, uids = append(names, name), append(uids, w.cluster.Get("backups", name, "metadata", "uid").(string))
		// Somebody has removed its finalizer, and its object.
		w.cluster.Remove("backups", name)
		w.look()
		if got := w.job(name).Status; got != job.Failed {
			t.Fatalf("the job is %s", got)
		}
	}
	// The first has left blobs and snapshots, the second snapshots, and the third a whole recovery point whose snapshots were not released.
	here.put(names[0], false)
	here.put(names[2], true)
	for _, uid := range append(uids, "0a1b2c3d-0000-4000-8000-0000000000ff") {
		here.left = append(here.left, coffer.RunSnapshots{Run: uid, Snapshots: 2, Bytes: 1 << 30, Created: stored})
	}
	ids := w.mustFind("Archive "+names[2], "Remains "+names[0], "Snapshots "+names[1])
	if got := w.removeOrphans(clusterID, ids...); got != "ToBeDeleted ToBeDeleted ToBeDeleted" {
		t.Fatalf("removed: %s", got)
	}
	w.look()
	for _, run := range w.cluster.Names("deletebackups") {
		i := slices.Index(names, w.cluster.Get("deletebackups", run, "spec", "backupName").(string))
		if i < 0 || w.cluster.Get("deletebackups", run, "spec", "run") != uids[i] {
			t.Errorf("the run %s is of %d", run, i)
		}
	}
}

func TestWhatIsNotAsItWasListedIsNotRemoved(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(w *world, here *store, name string)
		want   string
	}{
		"nothing has changed":           {func(*world, *store, string) {}, "ToBeDeleted"},
		"it has another blob":           {func(_ *world, here *store, name string) { a := here.archives[name]; a.Blobs++; here.archives[name] = a }, "Refused"},
		"it is gone":                    {func(_ *world, here *store, name string) { delete(here.archives, name) }, "Refused"},
		"the location is read-only now": {func(_ *world, here *store, _ string) { here.readOnly = true }, "Refused"},
		"it is a recovery point again": {func(w *world, _ *store, name string) {
			w.update(func(ctx context.Context, tx catalogue.Tx) error {
				return tx.PutPoint(ctx, catalogue.Point{Instance: instanceID, Name: name, Time: stored, Body: []byte("{}")})
			})
		}, "Refused"},
		"it is to be deleted already": {func(w *world, _ *store, name string) {
			w.update(func(ctx context.Context, tx catalogue.Tx) error {
				return tx.PutDeletion(ctx, catalogue.Deletion{Vault: vaultID, Instance: instanceID, Point: name, Cluster: clusterID, Since: stored, Next: stored, Work: []byte("{}")})
			})
		}, "Refused"},
		"a person has it": {func(w *world, _ *store, name string) {
			w.cluster.Remove("backups", name)
			w.cluster.Put("backups", name, nil)
		}, "Refused"},
		"the vault is immutable": {func(w *world, _ *store, _ string) { w.putVault("Off", "Unlocked") }, "Refused"},
		"the answer was cut off": {func(_ *world, here *store, _ string) { here.broken = errors.New("the container does not answer") }, string(coffer.CodeClusterNotReachable)},
		"another cluster has joined under its id": {func(w *world, _ *store, _ string) {
			w.cluster = vaultworld.NewCluster(w.t, w.Clock.Now, catalogue.ClusterInfo{UID: "stranger", Namespace: "coffer", VaultsNamespace: "coffer-vaults"})
			w.cluster.Bind(w.identity, true)
			w.clusters.Set(clusterID, w.cluster)
			w.newStore(w.cluster)
		}, "Refused"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			here := w.newStore(w.cluster)
			w.newStore(w.other)
			lost := w.lost()
			here.put(lost, true)
			ids := w.mustFind("Archive " + lost)
			tt.change(w, here, lost)
			if got := w.removeOrphans(clusterID, ids...); got != tt.want {
				t.Errorf("it is %s, want %s", got, tt.want)
			}
		})
	}
}

func TestOnlyOrphansThatAreNamedAreRemoved(t *testing.T) {
	w := newWorld(t)
	here := w.newStore(w.cluster)
	w.newStore(w.other)
	known, lost := w.backedUp(), w.lost()
	here.put(lost, true)
	here.put(known, true)
	ids := w.mustFind("Archive " + lost)
	mark := ids[0][strings.LastIndex(ids[0], "/"):]
	for _, id := range []string{"all", "*", "", "Archive"} {
		if got := w.removeOrphans(clusterID, id); got != string(coffer.CodeInvalidInput) {
			t.Errorf("%q: %s", id, got)
		}
	}
	for _, id := range []string{"Archive/" + known + mark, "Remains/" + lost + mark, "Snapshots/" + lost + mark, "RecoveryPoint/" + known + "/one", "RecoveryPoint/" + lost + "/one", "Archive/none/x"} {
		if got := w.removeOrphans(clusterID, id); got != "Refused" {
			t.Errorf("%q: %s", id, got)
		}
	}
	if got := w.removeOrphans(clusterID); got != string(coffer.CodeInvalidInput) {
		t.Errorf("none: %s", got)
	}
	if got := w.removeOrphans(otherID, ids...); got != "Refused" {
		t.Errorf("of another cluster: %s", got)
	}
	if got := w.removeOrphans("production", ids...); got != string(coffer.CodeInvalidInput) {
		t.Errorf("of no cluster: %s", got)
	}
	if got := w.removeOrphans(clusterID, ids[0], ids[0]); got != "ToBeDeleted" {
		t.Errorf("named twice: %s", got)
	}
	if len(w.owed()) != 1 || len(w.points()) != 1 {
		t.Errorf("deletions %v, recovery points %v", w.owed(), w.points())
	}
}

func TestAClusterThatCannotBeAskedIsToldOf(t *testing.T) {
	w := newWorld(t)
	here, other := w.newStore(w.cluster), w.newStore(w.other)
	known, lost := w.backedUp(), w.lost()
	here.put(lost, true)
	other.broken = errors.New("the container does not answer")
	words := func() string { found, _ := w.orphans(1); return strings.Join(found, "\n") }
	if got := words(); !strings.Contains(got, "Archive "+lost) || !strings.Contains(got, "RecoveryPoint "+known) || !strings.Contains(got, "not asked aks2: ") || strings.Count(got, "\n") != 2 {
		t.Errorf("found:\n%s", got)
	}
	// Of an answer that was cut off, nothing is believed: least of all that something is not there.
	here.broken = other.broken
	if got := words(); !strings.HasPrefix(got, "not asked aks1: ") || strings.Count(got, "\n") != 1 {
		t.Errorf("with answers that were cut off:\n%s", got)
	}
	here.broken, other.broken = nil, nil
	w.clusters.Close(clusterID)
	if got := words(); !strings.HasPrefix(got, "not asked aks1: ") || strings.Contains(got, "aks2") {
		t.Errorf("with a cluster that is away:\n%s", got)
	}
	if got := w.removeOrphans(clusterID, "Archive/"+lost+"/x"); got != string(coffer.CodeClusterNotReachable) {
		t.Errorf("removed in a cluster that is away: %s", got)
	}
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		return tx.DeleteResource(ctx, clusterID+"/trustedAccessRoleBindings/b1", catalogue.Condition{})
	})
	if got := words(); !strings.HasPrefix(got, "not asked aks1: the vault has no trusted access") {
		t.Errorf("with a cluster that lets it in no more:\n%s", got)
	}
}

func TestWhatADeletedInstanceHasIsNoOrphanAsLongAsItCanBeHadAgain(t *testing.T) {
	w := newWorld(t)
	here := w.newStore(w.cluster)
	w.newStore(w.other)
	names := w.softDeleted("On")
	for _, name := range names {
		here.put(name, true)
	}
	w.mustFind()
	delete(here.archives, names[0])
	w.mustFind("RecoveryPoint " + names[0])
	here.put(names[0], true)
	if _, err := w.jobs.Purge(t.Context(), w.by, deletedID, true); err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	left := ": the backup instance one was deleted, and its recovery points were left where they are"
	w.mustFind("Archive "+names[0]+left, "Archive "+names[1]+left)
}

func TestARecoveryPointThatIsHeldStaysInTheCatalogueWithoutItsArchive(t *testing.T) {
	w := newWorld(t)
	w.newStore(w.cluster)
	w.newStore(w.other)
	name := w.backedUp()
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		p, err := tx.Point(ctx, instanceID, name)
		p.Held = true
		if err != nil {
			return err
		}
		return tx.PutPoint(ctx, p)
	})
	w.look()
	ids := w.mustFind("RecoveryPoint " + name)
	if got := w.removeOrphans(clusterID, ids...); got != "Refused" || len(w.points()) != 1 {
		t.Errorf("removed: %s", got)
	}
}
