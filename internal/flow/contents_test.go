package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// read answers what there is to see, as RESOURCE.GROUP NAMESPACE/NAME.
func read(t *testing.T, w *world, change ...func(*ContentsRequest)) ([]string, error) {
	t.Helper()
	q := ContentsRequest{StorageLocation: "default", BackupName: "one"}
	for _, c := range change {
		c(&q)
	}
	var found []string
	err := NewReader(w.config()).Contents(t.Context(), q, func(o ContentsItem) error {
		if o.Size <= 0 || (o.Body != nil) != q.Bodies || q.Bodies && int64(len(o.Body)) != o.Size {
			t.Errorf("%s has %d bytes, and %d are there", o.ObjectRef, o.Size, len(o.Body))
		}
		if q.Bodies {
			var h coffer.Header
			if err := json.Unmarshal(o.Body, &h); err != nil || h.Metadata.Name != o.Name || h.Metadata.Namespace != o.Namespace {
				t.Errorf("%s is %+v, %v", o.ObjectRef, h, err)
			}
		}
		found = append(found, o.ObjectRef.String())
		return nil
	})
	return found, err
}

func bodies(q *ContentsRequest) { q.Bodies = true }

func TestContentsAreThoseAskedFor(t *testing.T) {
	plain := newShop(t)
	plain.add("secrets", "shop", "password", map[string]any{"data": map[string]any{"password": marker}})
	encrypted, _ := newEncryptedShop(t)
	for _, w := range []*world{plain, encrypted} {
		backUp(t, w, keep(t, w, newBackupObject()))
	}
	for name, w := range map[string]*world{"plain": plain, "encrypted": encrypted, "of Velero's": newVeleroWorld(t, newVeleroPoint())} {
		t.Run(name, func(t *testing.T) {
			all, err := read(t, w)
			if err != nil || len(all) < 5 || !slices.Contains(all, "configmaps shop/settings") || !slices.Contains(all, "namespaces shop") {
				t.Fatalf("%q, %v", all, err)
			}
			for _, tt := range []struct {
				name string
				ask  func(*ContentsRequest)
				has  func(ref string) bool
			}{
				{"everything", func(*ContentsRequest) {}, func(string) bool { return true }},
				{"a namespace", func(q *ContentsRequest) { q.Namespace = "shop" }, func(ref string) bool { return strings.Contains(ref, " shop/") }},
				{"a type, by its kind", func(q *ContentsRequest) { q.Type = "ConfigMap" }, func(ref string) bool { return strings.HasPrefix(ref, "configmaps ") }},
				{"a type, by its version", func(q *ContentsRequest) { q.Type = "v1/configmaps" }, func(ref string) bool { return strings.HasPrefix(ref, "configmaps ") }},
				{"types, by a pattern", func(q *ContentsRequest) { q.Type = "*maps" }, func(ref string) bool { return strings.HasPrefix(ref, "configmaps ") }},
				{"a type that is cluster-scoped", func(q *ContentsRequest) { q.Type = "namespace" }, func(ref string) bool { return strings.HasPrefix(ref, "namespaces ") }},
				{"a name", func(q *ContentsRequest) { q.Name = "settings" }, func(ref string) bool { return strings.HasSuffix(ref, "/settings") }},
				{"all of these", func(q *ContentsRequest) { q.Namespace, q.Type, q.Name = "shop", "configmap", "settings" }, func(ref string) bool { return ref == "configmaps shop/settings" }},
				{"a namespace that is not there", func(q *ContentsRequest) { q.Namespace = "none" }, func(string) bool { return false }},
				{"a type that is elsewhere", func(q *ContentsRequest) { q.Type = "DaemonSet" }, func(string) bool { return false }},
			} {
				want := slices.DeleteFunc(slices.Clone(all), func(ref string) bool { return !tt.has(ref) })
				for _, also := range []func(*ContentsRequest){func(*ContentsRequest) {}, bodies} {
					got, err := read(t, w, tt.ask, also)
					if err != nil || !slices.Equal(got, want) {
						t.Errorf("%s: %q, %v; want %q", tt.name, got, err, want)
					}
				}
			}
		})
	}
}

func TestContentsOfTypesThatTheClusterDoesNotServe(t *testing.T) {
	w := newShop(t)
	w.extra = []coffer.ResourceType{
		{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "rockets"}, Version: "v1", Kind: "Rocket", Namespaced: true},
		{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "factories"}, Version: "v1", Kind: "Factory", Namespaced: true},
	}
	w.add("rockets.acme.io", "shop", "r", nil)
	w.add("factories.acme.io", "shop", "f", nil)
	backUp(t, w, keep(t, w, newBackupObject()))
	w.extra = nil
	for text, want := range map[string]string{
		"Rocket": "rockets.acme.io shop/r", "acme.io/v1/Factory": "factories.acme.io shop/f", "rockets.acme.io": "rockets.acme.io shop/r",
	} {
		got, err := read(t, w, func(q *ContentsRequest) { q.Type = text })
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestContentsThatAreRefused(t *testing.T) {
	same := func(m []byte) []byte { return m }
	for _, tt := range []struct {
		name string
		ask  func(*ContentsRequest)
		harm func(t *testing.T, w *world)
		code coffer.Code
		says string
	}{
		{"a name that is a path", func(q *ContentsRequest) { q.BackupName = "../../coffer" }, nil, coffer.CodeInvalid, "cannot be the name of a recovery point"},
		{"a location that is a path", func(q *ContentsRequest) { q.StorageLocation = "a/b" }, nil, coffer.CodeInvalid, "cannot be the name of a storage location"},
		{"a recovery point that is not there", func(q *ContentsRequest) { q.BackupName = "two" }, nil, coffer.CodeBackupNotFound, "coffer backup list"},
		{"a type that cannot be one", func(q *ContentsRequest) { q.Type = "a/b/c/d" }, nil, coffer.CodeInvalid, "not a resource type"},
		{"a type with a typing error", func(q *ContentsRequest) { q.Type = "ConfgMap" }, nil, coffer.CodeInvalid, "did you mean configmaps?"},
		{"a type that is nothing", func(q *ContentsRequest) { q.Type = "spaceships" }, nil, coffer.CodeInvalid, "the recovery point has configmaps, "},
		{"a stranger's", nil, func(t *testing.T, w *world) { forge(t, w, same, true) }, coffer.CodeSignerNotTrusted, "coffer storage-location trust"},
		{"an altered manifest", nil, func(t *testing.T, w *world) {
			forge(t, w, func(m []byte) []byte { return append(m, ' ') }, false)
		}, coffer.CodeArchiveCorrupt, "altered"},
		{"no signature", nil, func(t *testing.T, w *world) {
			if err := w.container.Delete(t.Context(), recoverypoint.LayoutOf("one").Signature()); err != nil {
				t.Fatal(err)
			}
		}, coffer.CodeSignerNotTrusted, "not signed"},
		{"an altered index", nil, func(t *testing.T, w *world) {
			key := recoverypoint.LayoutOf("one").Index()
			data, err := getAll(t.Context(), w.container, key, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 1
			w.put(t, key, data)
		}, coffer.CodeArchiveCorrupt, "is refused: backups/one/index.json.gz"},
		{"no index", nil, func(t *testing.T, w *world) {
			if err := w.container.Delete(t.Context(), recoverypoint.LayoutOf("one").Index()); err != nil {
				t.Fatal(err)
			}
		}, coffer.CodeArchiveCorrupt, "it is missing"},
		{"Velero's, not imported", nil, func(t *testing.T, w *world) {
			if err := w.container.Delete(t.Context(), recoverypoint.LayoutOf("one").Manifest()); err != nil {
				t.Fatal(err)
			}
		}, coffer.CodeBackupNotFound, "made by Velero"},
		{"Velero's, not trusted", nil, func(t *testing.T, w *world) {
			for key, body := range newVeleroPoint().blobs(t) {
				w.put(t, key, body)
			}
			if err := w.container.Delete(t.Context(), recoverypoint.LayoutOf("one").Manifest()); err != nil {
				t.Fatal(err)
			}
			w.velero = true
		}, coffer.CodeSignerNotTrusted, "--trust-unsigned"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newShop(t)
			backUp(t, w, keep(t, w, newBackupObject()))
			ask := func(*ContentsRequest) {}
			if tt.ask != nil {
				ask = tt.ask
			}
			if tt.harm != nil {
				tt.harm(t, w)
			}
			for _, also := range []func(*ContentsRequest){func(*ContentsRequest) {}, bodies} {
				got, err := read(t, w, ask, also)
				if coffer.CodeOf(err) != tt.code || !strings.Contains(fmt.Sprint(err), tt.says) {
					t.Errorf("%v (%s), want %s with %q", err, coffer.CodeOf(err), tt.code, tt.says)
				}
				if len(got) > 0 {
					t.Errorf("%q was shown of what is refused", got)
				}
			}
		})
	}
}

func TestContentsOfAPointThatCannotBeDecrypted(t *testing.T) {
	w, _ := newEncryptedShop(t)
	backUp(t, w, keep(t, w, newBackupObject()))
	stranger := newIdentity(t)
	w.secret = map[string][]byte{"recipients": recipientsOf(stranger), "identities": identitiesOf(stranger)}
	got, err := read(t, w)
	if coffer.CodeOf(err) != coffer.CodeDecryptionKeyMissing || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestObjectsThatWereAlteredAreNotShown(t *testing.T) {
	w := newCity(t, 10)
	backUpCity(t, w)
	damage(t, w, coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "configmaps"}, Namespace: "ns-05", Name: "map-2"})
	// One member has several of them, and those before the damage are shown: each is compared with the index.
	got, err := read(t, w, bodies, func(q *ContentsRequest) { q.Namespace, q.Name = "ns-05", "map-2" })
	if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
		t.Errorf("%q, %v", got, err)
	}
	got, err = read(t, w, bodies)
	if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt || slices.ContainsFunc(got, func(o string) bool { return strings.Contains(err.Error(), o+" ") }) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := read(t, w, bodies, func(q *ContentsRequest) { q.Namespace = "ns-01" }); err != nil || len(got) != 4 {
		t.Errorf("what is whole: %q, %v", got, err)
	}
}

func TestLittleMoreIsReadThanIsShown(t *testing.T) {
	for name, encrypted := range map[string]bool{"plain": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) {
			w := newCity(t, 40)
			layout := recoverypoint.LayoutOf("one")
			if encrypted {
				w.encrypt()
				layout = layout.Encrypted()
			}
			backUpCity(t, w)
			clear(w.read)
			if got, err := read(t, w); err != nil || len(got) < 160 || w.read[layout.Archive()] > 0 {
				t.Errorf("%d objects listed, %v, and %d bytes of the archive read", len(got), err, w.read[layout.Archive()])
			}
			info, err := w.container.Stat(t.Context(), layout.Archive())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := read(t, w, bodies, func(q *ContentsRequest) { q.Name, q.Namespace = "map-1", "ns-20" }); err != nil || len(got) != 1 {
				t.Errorf("%q, %v", got, err)
			}
			if part := w.read[layout.Archive()] * 100 / info.Size; part == 0 || part > 20 {
				t.Errorf("for one object, %d %% of the archive were read", part)
			}
		})
	}
}

func TestTheLaterOfTwoObjectsOfVelerosIsShown(t *testing.T) {
	p := newVeleroPoint()
	p.objects = append(p.objects, veleroObject{folder: "configmaps", namespace: "shop", name: "settings", body: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings", "namespace": "shop"}, "data": map[string]any{"a": "later"},
	}})
	w := newVeleroWorld(t, p)
	var bodies []string
	err := NewReader(w.config()).Contents(t.Context(), ContentsRequest{StorageLocation: "default", BackupName: "one", Name: "settings", Bodies: true}, func(o ContentsItem) error {
		bodies = append(bodies, string(o.Body))
		return nil
	})
	if err != nil || len(bodies) != 1 || !strings.Contains(bodies[0], "later") {
		t.Errorf("%q, %v", bodies, err)
	}
}

func TestAnArchiveOfVelerosThatChangesWhileItIsReadIsSaid(t *testing.T) {
	w := newVeleroWorld(t, newVeleroPoint())
	other := newVeleroPoint()
	other.objects[2].body["data"] = map[string]any{"a": "c"}
	// The cluster is asked for its types between the two readings.
	swap := &swapping{world: w, swap: func() { w.put(t, recoverypoint.LayoutOf("one").Archive(), other.tar(t)) }}
	c := w.config()
	c.Cluster = swap
	err := NewReader(c).Contents(t.Context(), ContentsRequest{StorageLocation: "default", BackupName: "one", Type: "configmaps"}, func(ContentsItem) error { return nil })
	if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
		t.Error(err)
	}
}

type swapping struct {
	*world
	swap func()
}

// Types implements coffer.Cluster.
func (s *swapping) Types(ctx context.Context) ([]coffer.ResourceType, []coffer.TypeGap, error) {
	s.swap()
	return s.world.Types(ctx)
}

func TestWhoStopsListeningEndsTheReading(t *testing.T) {
	city := newCity(t, 20)
	backUpCity(t, city)
	gone := errors.New("gone")
	for name, w := range map[string]*world{"a recovery point": city, "a backup of Velero's": newVeleroWorld(t, newVeleroPoint())} {
		for _, withBodies := range []bool{false, true} {
			n := 0
			err := NewReader(w.config()).Contents(t.Context(), ContentsRequest{StorageLocation: "default", BackupName: "one", Bodies: withBodies}, func(ContentsItem) error {
				n++
				return gone
			})
			if !errors.Is(err, gone) || n != 1 {
				t.Errorf("%s: %v after %d objects", name, err, n)
			}
			ctx, cancel := context.WithCancel(t.Context())
			err = NewReader(w.config()).Contents(ctx, ContentsRequest{StorageLocation: "default", BackupName: "one", Bodies: withBodies}, func(ContentsItem) error {
				cancel()
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestReadingAPointIsBoundedInMemory(t *testing.T) {
	const objects = 60_000
	w := newWorld(t)
	w.add("namespaces", "", "many", nil)
	for i := range objects {
		w.add("configmaps", "many", fmt.Sprintf("map-%06d", i), map[string]any{"data": map[string]any{"text": strings.Repeat(fmt.Sprint(i), 50)}})
	}
	backUpCity(t, w)
	w.objects = nil
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	for _, withBodies := range []bool{false, true} {
		n, peak := 0, uint64(0)
		err := NewReader(w.config()).Contents(t.Context(), ContentsRequest{StorageLocation: "default", BackupName: "one", Bodies: withBodies}, func(ContentsItem) error {
			if n++; n%10_000 == 0 {
				peak = max(peak, live())
			}
			return nil
		})
		if err != nil || n < objects {
			t.Fatalf("%d objects, %v", n, err)
		}
		// A whole index would be 20 MiB, and the objects are as many.
		if grown := int64(peak) - int64(before); grown > 8<<20 {
			t.Errorf("bodies %t: %d MiB were held", withBodies, grown>>20)
		} else {
			t.Logf("bodies %t: %d KiB were held", withBodies, grown>>10)
		}
	}
}
