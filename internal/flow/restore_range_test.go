package flow

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// newCity is a world of many namespaces whose ConfigMaps hardly shrink: about 200 KiB each.
func newCity(t *testing.T, namespaces int) *world {
	t.Helper()
	w := newWorld(t)
	random := rand.NewChaCha8([32]byte{1})
	for i := range namespaces {
		ns := fmt.Sprintf("ns-%02d", i)
		w.add("namespaces", "", ns, nil)
		for j := range 4 {
			noise := make([]byte, 50_000)
			_, _ = random.Read(noise)
			w.add("configmaps", ns, fmt.Sprintf("map-%d", j), map[string]any{"data": map[string]any{"noise": base64.StdEncoding.EncodeToString(noise)}})
		}
	}
	return w
}

func backUpCity(t *testing.T, w *world) *v1alpha1.Backup {
	t.Helper()
	b := backUp(t, w, keep(t, w, newBackupObject(func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces, s.BackupHookReferences = nil, nil })))
	if b.Status.Phase != v1alpha1.RunCompleted {
		t.Fatalf("phase %s: %s", b.Status.Phase, b.Status.Message)
	}
	return b
}

func restoreNamespaces(t *testing.T, w *world, namespaces ...string) *v1alpha1.Restore {
	t.Helper()
	return restoreOnce(t, w, func(s *v1alpha1.RestoreSpec) { s.IncludedNamespaces, s.RestoreHookReferences = namespaces, nil })
}

func TestARestoreReadsWhatItRestoresAndLittleMore(t *testing.T) {
	for name, encrypted := range map[string]bool{"plain": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) {
			w := newCity(t, 40)
			layout := recoverypoint.LayoutOf("one")
			if encrypted {
				w.encrypt()
				layout = layout.Encrypted()
			}
			backUpCity(t, w)
			info, err := w.container.Stat(t.Context(), layout.Archive())
			if err != nil {
				t.Fatal(err)
			}
			if info.Size < 6<<20 {
				t.Fatalf("the archive has %d bytes: too few to say anything", info.Size)
			}
			for _, tt := range []struct {
				namespaces []string
				// most is how much of the archive may be read, in percent, verifying and restoring together.
				most int64
			}{
				{[]string{"ns-07"}, 35},
				{[]string{"ns-07", "ns-08"}, 50},
				{nil, 210},
			} {
				for i := range 40 {
					w.removeNamespace(fmt.Sprintf("ns-%02d", i))
				}
				clear(w.read)
				r := restoreNamespaces(t, w, tt.namespaces...)
				if r.Status.Phase != v1alpha1.RunCompleted {
					t.Fatalf("phase %s: %s", r.Status.Phase, r.Status.Message)
				}
				want := 4 * max(len(tt.namespaces), 1)
				if tt.namespaces == nil {
					want = 160
				}
				if got := len(w.names("configmaps", "")); got != want {
					t.Errorf("%v: %d ConfigMaps, want %d", tt.namespaces, got, want)
				}
				part := w.read[layout.Archive()] * 100 / info.Size
				t.Logf("%v: %d bytes of the archive were read, %d %%", tt.namespaces, w.read[layout.Archive()], part)
				if part > tt.most || part == 0 {
					t.Errorf("%v: %d %% of the archive were read, want at most %d", tt.namespaces, part, tt.most)
				}
				if tt.namespaces == nil {
					continue
				}
				for _, unneeded := range []string{layout.Coverage(), layout.ResourceList(), layout.Results(), layout.VolumeInfo()} {
					if n := w.read[unneeded]; n > 0 {
						t.Errorf("%v: %d bytes of %s were read", tt.namespaces, n, unneeded)
					}
				}
			}
		})
	}
}

// damage flips a byte of the archive in the middle of the member that holds an object.
func damage(t *testing.T, w *world, ref coffer.ObjectRef) {
	t.Helper()
	layout := recoverypoint.LayoutOf("one")
	raw, err := getAll(t.Context(), w.container, layout.Index(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	index, err := archive.ReadIndex(bytes.NewReader(raw), archive.IndexLimits{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := getAll(t.Context(), w.container, layout.Archive(), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range index {
		if e.ObjectRef == ref {
			data[e.Offset+e.Length/2] ^= 1
			found = true
		}
	}
	if !found {
		t.Fatalf("there is no %v", ref)
	}
	if err := w.container.Delete(t.Context(), layout.Archive()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.container.Put(t.Context(), layout.Archive(), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
}

func TestARestoreOfAPartRefusesDamageToThatPart(t *testing.T) {
	w := newCity(t, 40)
	backUpCity(t, w)
	damage(t, w, coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "configmaps"}, Namespace: "ns-30", Name: "map-2"})
	w.removeNamespace("ns-30")
	w.removeNamespace("ns-02")
	before := len(w.objects)
	for _, namespaces := range [][]string{{"ns-30"}, nil} {
		r := restoreNamespaces(t, w, namespaces...)
		if r.Status.Phase != v1alpha1.RunFailed || r.Status.Reason != string(coffer.CodeArchiveCorrupt) {
			t.Errorf("%v: phase %s, reason %s: %s", namespaces, r.Status.Phase, r.Status.Reason, r.Status.Message)
		}
		if len(w.objects) != before {
			t.Errorf("%v: the refused restore made %d objects", namespaces, len(w.objects)-before)
		}
	}
	// What is not damaged can be brought back.
	if r := restoreNamespaces(t, w, "ns-02"); r.Status.Phase != v1alpha1.RunCompleted {
		t.Errorf("phase %s: %s", r.Status.Phase, r.Status.Message)
	}
}

func TestARestoreOfAPartSaysWhatTheRecoveryPointLacks(t *testing.T) {
	w := newCity(t, 10)
	w.list = func(r coffer.ResourceType, _ string, _ func(coffer.Page) error) (bool, error) {
		return r.Resource == "secrets", coffer.Errorf(coffer.CodeForbidden, "not for you")
	}
	b := backUp(t, w, keep(t, w, newBackupObject(func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces, s.BackupHookReferences = nil, nil })))
	if b.Status.Phase != v1alpha1.RunCompletedWithWarnings {
		t.Fatalf("phase %s: %s", b.Status.Phase, b.Status.Message)
	}
	w.removeNamespace("ns-07")
	r := restoreNamespaces(t, w, "ns-07")
	if r.Status.Phase != v1alpha1.RunCompletedWithWarnings || !slices.ContainsFunc(r.Status.Warnings, func(w v1alpha1.Warning) bool {
		return w.Resource == "secrets" && strings.Contains(w.Message, "lacks it") && strings.Contains(w.Message, "not for you")
	}) {
		t.Errorf("phase %s: %s, warnings %+v", r.Status.Phase, r.Status.Message, r.Status.Warnings)
	}
}

func TestAStoreThatLosesItsThreadIsAskedAgainAndNotCalledCorrupt(t *testing.T) {
	for name, encrypted := range map[string]bool{"plain": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) {
			w := newCity(t, 10)
			layout := recoverypoint.LayoutOf("one")
			if encrypted {
				w.encrypt()
				layout = layout.Encrypted()
			}
			backUpCity(t, w)
			for i := range 10 {
				w.removeNamespace(fmt.Sprintf("ns-%02d", i))
			}
			clear(w.read)
			w.hiccup = layout.Archive()
			r := newRestoreObject()
			r.Spec.RestoreHookReferences = nil
			k := keep(t, w, r)
			restore := func(r *v1alpha1.Restore, persist func(context.Context) error) error {
				return Restore(t.Context(), w.config(), r, persist)
			}
			if r, err := k.run(restore); err == nil || coffer.Final(err) || r.Status.Phase.Final() {
				t.Fatalf("the first attempt ends with %v in phase %s: %s", err, r.Status.Phase, r.Status.Message)
			}
			if r, err := k.run(restore); err != nil || r.Status.Phase != v1alpha1.RunCompleted {
				t.Errorf("the second attempt ends with %v in phase %s: %s", err, r.Status.Phase, r.Status.Message)
			}
		})
	}
}

func TestARestoreOfAPartSurvivesEveryCrash(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newCity(t, 12)
		w.encrypt()
		backUpCity(t, w)
		w.removeNamespace("ns-03")
		object := newRestoreObject()
		object.Spec.IncludedNamespaces, object.Spec.RestoreHookReferences = []string{"ns-03"}, nil
		w.dieAfter(dieAt)
		k := keep(t, w, object)
		run := func(r *v1alpha1.Restore, persist func(context.Context) error) error {
			return Restore(t.Context(), w.config(), r, persist)
		}
		r, err := k.run(run)
		calls := w.calls
		if err != nil {
			w.revive()
			if r, err = k.run(run); err != nil {
				t.Fatal(err)
			}
		}
		if r.Status.Phase != v1alpha1.RunCompleted || strings.Join(w.names("configmaps", "ns-03"), " ") != "map-0 map-1 map-2 map-3" {
			t.Errorf("phase %s: %s; %v", r.Status.Phase, r.Status.Message, w.names("configmaps", "ns-03"))
		}
		return calls
	})
}
