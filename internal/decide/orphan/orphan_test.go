package orphan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/orphan"
)

const (
	vault = "vault-mine"
	run   = "0a1b2c3d-0000-4000-8000-000000000001"
)

// The cases that every other one differs from in one thing: what a cluster has, and what the vault knows.
func sealed() orphan.Found {
	return orphan.Found{Name: "p", Sealed: true, Blobs: 9, Bytes: 100, Modified: time.Unix(1e9, 0), Backup: &orphan.Backup{UID: run, Vault: vault, Final: true}}
}

func knowing() orphan.Known {
	return orphan.Known{Identity: vault, Job: &orphan.Job{Here: true, Ended: true, Status: "Failed", Run: run, Instance: "one"}}
}

func TestWhatIsAnOrphanOfAVault(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(f *orphan.Found, k *orphan.Known)
		// kind is empty for what is none.
		kind               orphan.Kind
		reason, kept, made string
	}{
		{"a job that was given up, and whose run went on", func(*orphan.Found, *orphan.Known) {}, orphan.Archive, "its job ended as Failed", "", run},
		{"its Backup object was deleted by kubectl", func(f *orphan.Found, _ *orphan.Known) { f.Backup = nil }, orphan.Archive, "its job ended as Failed", "", run},
		{"a catalogue that was restored from a copy", func(_ *orphan.Found, k *orphan.Known) { k.Job = nil }, orphan.Archive, "its catalogue does not know the job", "", run},
		{"an instance that was deleted, and its data retained", func(_ *orphan.Found, k *orphan.Known) { k.Job.Status, k.Job.Gone = "Completed", true }, orphan.Archive, "the backup instance one was deleted, and its recovery points were left", "", run},
		{"a deletion that was given up", func(_ *orphan.Found, k *orphan.Known) { k.Job.Status = "CompletedWithWarnings" }, orphan.Archive, "its deletion was given up", "", run},
		{"a backup that died, and left blobs", func(f *orphan.Found, _ *orphan.Known) { f.Sealed, f.Blobs = false, 2 }, orphan.Remains, "made no recovery point", "", run},
		{"and whose object is gone", func(f *orphan.Found, _ *orphan.Known) { f.Sealed, f.Blobs, f.Backup = false, 1, nil }, orphan.Remains, "made no recovery point", "", run},
		{"snapshots alone", func(f *orphan.Found, _ *orphan.Known) { *f = orphan.Found{Name: "p", Left: 2, LeftBy: run} }, orphan.Snapshots, "its Backup object is gone", "", run},
		{"snapshots alone, where the location is read-only", func(f *orphan.Found, _ *orphan.Known) {
			*f = orphan.Found{Name: "p", Left: 2, LeftBy: run, ReadOnly: true}
		}, orphan.Snapshots, "", "", run},
		{"a read-only location", func(f *orphan.Found, _ *orphan.Known) { f.ReadOnly = true }, orphan.Archive, "", "read-only", run},
		{"an immutable vault", func(_ *orphan.Found, k *orphan.Known) { k.Immutable = true }, orphan.Archive, "", "immutable", run},
		{"an immutable vault, and what was never a recovery point", func(f *orphan.Found, k *orphan.Known) { f.Sealed, k.Immutable = false, true }, orphan.Remains, "", "", run},

		{"a recovery point", func(_ *orphan.Found, k *orphan.Known) { k.Point = true }, "", "", "", ""},
		{"one that is to be deleted", func(_ *orphan.Found, k *orphan.Known) { k.Deletion = true }, "", "", "", ""},
		{"a backup under way", func(f *orphan.Found, k *orphan.Known) { f.Sealed, f.Backup.Final, k.Job.Ended = false, false, false }, "", "", "", ""},
		{"a run that goes on though its job was given up", func(f *orphan.Found, _ *orphan.Known) { f.Sealed, f.Backup.Final = false, false }, "", "", "", ""},
		{"a run that has just ended, and whose job does not know yet", func(_ *orphan.Found, k *orphan.Known) { k.Job.Ended = false }, "", "", "", ""},
		{"a job whose Backup object is not made yet", func(f *orphan.Found, k *orphan.Known) { f.Backup, f.Sealed, k.Job.Ended = nil, false, false }, "", "", "", ""},
		{"another vault's", func(f *orphan.Found, k *orphan.Known) { f.Backup.Vault, k.Job = "vault-other", nil }, "", "", "", ""},
		{"another vault's, under a name that this one has had", func(f *orphan.Found, _ *orphan.Known) { f.Backup.Vault = "vault-other" }, "", "", "", ""},
		{"one that a person made with kubectl", func(f *orphan.Found, k *orphan.Known) { f.Backup.Vault, k.Job = "", nil }, "", "", "", ""},
		{"one that a person made under a name that the vault has had", func(f *orphan.Found, _ *orphan.Known) { f.Backup.Vault = "" }, "", "", "", ""},
		{"one of nobody known", func(f *orphan.Found, k *orphan.Known) { f.Backup, k.Job = nil, nil }, "", "", "", ""},
		{"of a vault that is nobody", func(f *orphan.Found, k *orphan.Known) { f.Backup.Vault, k.Identity = "", "" }, "", "", "", ""},
		{"one that was made in another cluster", func(f *orphan.Found, k *orphan.Known) { f.Backup, k.Job.Here = nil, false }, "", "", "", ""},
		{"nothing at all", func(f *orphan.Found, _ *orphan.Known) { *f = orphan.Found{Name: "p"} }, "", "", "", ""},
		{"snapshots of another run", func(f *orphan.Found, _ *orphan.Known) { *f = orphan.Found{Name: "p", Left: 2, LeftBy: "other"} }, "", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, k := sealed(), knowing()
			tt.change(&f, &k)
			o, found := orphan.Judge(f, k)
			if found != (tt.kind != "") || o.Kind != tt.kind || o.Run != tt.made && found {
				t.Fatalf("it is %+v, found %v; want %q of run %q", o, found, tt.kind, tt.made)
			}
			if !strings.Contains(o.Reason, tt.reason) || !strings.Contains(o.Kept, tt.kept) || (o.Kept == "") != (tt.kept == "") {
				t.Errorf("reason %q, kept for %q", o.Reason, o.Kept)
			}
			if named, err := orphan.ParseID(o.ID); found && (err != nil || named.Kind != tt.kind || named.Name != "p") {
				t.Errorf("its id %q says %+v, %v", o.ID, named, err)
			}
		})
	}
}

func TestTheIDIsAnotherOnceAnythingIs(t *testing.T) {
	first, _ := orphan.Judge(sealed(), knowing())
	for name, change := range map[string]func(f *orphan.Found){
		"a blob more": func(f *orphan.Found) { f.Blobs++ }, "larger": func(f *orphan.Found) { f.Bytes++ }, "later": func(f *orphan.Found) { f.Modified = f.Modified.Add(time.Second) },
		"another run": func(f *orphan.Found) { f.Backup.UID = "other" }, "not sealed": func(f *orphan.Found) { f.Sealed = false },
	} {
		f := sealed()
		change(&f)
		if o, found := orphan.Judge(f, knowing()); !found || o.ID == first.ID {
			t.Errorf("%s: %q, as before", name, o.ID)
		}
	}
	if again, _ := orphan.Judge(sealed(), knowing()); again.ID != first.ID {
		t.Errorf("of the same it is %q and %q", first.ID, again.ID)
	}
}

func TestWhatKeepsARecoveryPointWithoutAnArchive(t *testing.T) {
	now := time.Unix(1e9, 0)
	for name, tt := range map[string]struct {
		m    orphan.Missing
		kept string
	}{
		"nothing":                                {orphan.Missing{}, ""},
		"a legal hold":                           {orphan.Missing{Held: true}, "legal hold"},
		"an immutable vault":                     {orphan.Missing{Immutable: true, Expires: now.Add(1)}, "immutable"},
		"an immutable vault, and no end":         {orphan.Missing{Immutable: true}, "immutable"},
		"an immutable vault, after its time":     {orphan.Missing{Immutable: true, Expires: now}, ""},
		"a copy in the vault tier":               {orphan.Missing{Elsewhere: true}, "vault tier"},
		"a restore that reads what is not there": {orphan.Missing{Read: "the job j"}, "the job j reads it"},
	} {
		tt.m.Now, tt.m.Instance, tt.m.Name = now, "one", "p"
		if o := orphan.JudgeMissing(tt.m); !strings.Contains(o.Kept, tt.kept) || (o.Kept == "") != (tt.kept == "") || o.ID != "RecoveryPoint/p/one" || o.Kind != orphan.RecoveryPoint {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestOnlyIDsOfOrphansAreTaken(t *testing.T) {
	for _, id := range []string{"", "all", "*", "Archive/p", "Archive//x", "Archive/p/", "Everything/p/x", "Archive/p/x/y", "Archive/" + strings.Repeat("p", 600) + "/x"} {
		if _, err := orphan.ParseID(id); coffer.CodeOf(err) != coffer.CodeInvalidInput {
			t.Errorf("%q: %v", id, err)
		}
	}
}
