package flow

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/format/velero"
)

// veleroPoint is a backup as Velero 1.18 writes it: one gzip stream, every object twice, and lists beside it.
type veleroPoint struct {
	phase   string
	objects []veleroObject
	infos   []map[string]any
}

type veleroObject struct {
	folder, namespace, name string
	body                    map[string]any
	// copies are what it is at other versions, if Velero was asked for them.
	copies map[string]map[string]any
}

func newVeleroPoint() *veleroPoint {
	claim := map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolumeClaim",
		"metadata": map[string]any{
			"name": "data", "namespace": "shop", "uid": "u1",
			"annotations": map[string]any{"velero.io/volume-snapshot-name": "velero-data-x", "keep": "me"},
			"labels":      map[string]any{"velero.io/volume-snapshot-name": "velero-data-x"},
		},
		"spec": map[string]any{"volumeName": "pv-1", "storageClassName": "lab"},
	}
	return &veleroPoint{
		phase: "Completed",
		objects: []veleroObject{
			{"namespaces", "", "shop", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop", "uid": "u0"}}, nil},
			{"persistentvolumeclaims", "shop", "data", claim, nil},
			{"configmaps", "shop", "settings", map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings", "namespace": "shop", "uid": "u2"}, "data": map[string]any{"a": "b"}}, nil},
			{"volumesnapshots.snapshot.storage.k8s.io", "shop", "velero-data-x", map[string]any{
				"metadata": map[string]any{"name": "velero-data-x", "namespace": "shop", "annotations": map[string]any{
					"velero.io/csi-volumesnapshot-handle": "theirs", "velero.io/csi-driver-name": "disk", "velero.io/csi-volumesnapshot-restore-size": "1Mi",
				}},
				"status": map[string]any{"boundVolumeSnapshotContentName": "snapcontent-1", "restoreSize": "1Mi"},
			}, nil},
			{"volumesnapshotcontents.snapshot.storage.k8s.io", "", "snapcontent-1", map[string]any{
				"metadata": map[string]any{"name": "snapcontent-1"},
				"spec":     map[string]any{"driver": "disk"},
				"status":   map[string]any{"snapshotHandle": "theirs", "restoreSize": 1 << 20},
			}, nil},
		},
		infos: []map[string]any{{
			"pvcName": "data", "pvcNamespace": "shop", "pvName": "pv-1", "backupMethod": "CSISnapshot", "result": "succeeded",
			"csiSnapshotInfo": map[string]any{"snapshotHandle": "theirs", "size": 1 << 20, "driver": "disk", "vscName": "snapcontent-1"},
		}},
	}
}

func (p *veleroPoint) tar(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	zipped := gzip.NewWriter(&buf)
	out := tar.NewWriter(zipped)
	add := func(path string, body []byte) {
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Size: int64(len(body)), Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	add("metadata/version", []byte("1.1.0\n"))
	for _, o := range p.objects {
		body, err := json.Marshal(o.body)
		if err != nil {
			t.Fatal(err)
		}
		place := "cluster/" + o.name + ".json"
		if o.namespace != "" {
			place = "namespaces/" + o.namespace + "/" + o.name + ".json"
		}
		add("resources/"+o.folder+"/"+place, body)
		// The copy is not to be taken: it would be another object if it were.
		add("resources/"+o.folder+"/v1-preferredversion/"+place, []byte(`{"metadata":{"name":"wrong"}}`))
		for version, copied := range o.copies {
			body, err := json.Marshal(copied)
			if err != nil {
				t.Fatal(err)
			}
			add("resources/"+o.folder+"/"+version+"/"+place, body)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func (p *veleroPoint) blobs(t *testing.T) map[string][]byte {
	t.Helper()
	layout := recoverypoint.LayoutOf("one")
	backup, err := json.Marshal(map[string]any{
		"apiVersion": "velero.io/v1", "kind": "Backup", "metadata": map[string]any{"name": "one"},
		"spec": map[string]any{"includedNamespaces": []any{"shop"}}, "status": map[string]any{"phase": p.phase, "errors": 2, "progress": map[string]any{"itemsBackedUp": 5}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var infos bytes.Buffer
	if err := recoverypoint.WriteZippedJSON(&infos, p.infos); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{layout.VeleroBackup(): backup, layout.VolumeInfo(): infos.Bytes(), layout.Archive(): p.tar(t)}
}

// newVeleroWorld is an empty cluster beside a bucket of Velero's, with the snapshot on the storage.
func newVeleroWorld(t *testing.T, p *veleroPoint) *world {
	t.Helper()
	w := newWorld(t)
	w.readOnly, w.velero, w.trustUnsigned = true, true, true
	w.disks["theirs"] = true
	for key, body := range p.blobs(t) {
		w.put(t, key, body)
	}
	return w
}

func (w *world) put(t *testing.T, key string, body []byte) {
	t.Helper()
	if err := w.container.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := w.container.Put(t.Context(), key, bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
}

func newVeleroRestore() *v1alpha1.Restore {
	r := newRestoreObject()
	r.Spec.RestoreHookReferences = nil
	return r
}

func (w *world) restoreOnce(t *testing.T, k *kept[v1alpha1.Restore]) (*v1alpha1.Restore, error) {
	t.Helper()
	return k.run(func(r *v1alpha1.Restore, persist func(context.Context) error) error {
		return Restore(t.Context(), w.config(), r, persist)
	})
}

func (w *world) keys(t *testing.T) []string {
	t.Helper()
	var keys []string
	for info, err := range w.container.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, fmt.Sprint(info.Key, info.Size, info.Modified))
	}
	return keys
}

func TestRestoreOfAVeleroBackupSurvivesEveryCrash(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newVeleroWorld(t, newVeleroPoint())
		before := w.keys(t)
		k := keep(t, w, newVeleroRestore())
		w.dieAfter(dieAt)
		r, err := w.restoreOnce(t, k)
		calls := w.calls
		if err != nil {
			w.revive()
			if r, err = w.restoreOnce(t, k); err != nil {
				t.Fatal(err)
			}
		}
		w.revive()
		if r.Status.Phase != v1alpha1.RunCompleted {
			t.Fatalf("phase %s: %s, %v", r.Status.Phase, r.Status.Message, r.Status.Warnings)
		}
		claim := w.objects[objectKey("persistentvolumeclaims", "shop", "data")]
		text := string(w.encode(claim))
		if !strings.Contains(text, `"dataSource"`) || strings.Contains(text, "velero.io") || !strings.Contains(text, `"keep":"me"`) {
			t.Errorf("the claim is %s", text)
		}
		if w.objects[objectKey("configmaps", "shop", "settings")] == nil || r.Status.Progress.VolumesBound != 1 {
			t.Errorf("objects %v, status %+v", w.objects, r.Status)
		}
		if !w.disks["theirs"] || len(w.snapshots) != 0 {
			t.Errorf("snapshots on the storage %v, objects %v", w.disks, w.snapshots)
		}
		if after := w.keys(t); !slices.Equal(after, before) {
			t.Errorf("the bucket was written to: %v, before %v", after, before)
		}
		return calls
	})
}

func TestVeleroBackupsThatAreRefused(t *testing.T) {
	layout := recoverypoint.LayoutOf("one")
	for name, c := range map[string]struct {
		change func(t *testing.T, w *world, p *veleroPoint)
		code   coffer.Code
		words  string
	}{
		"nobody has said that it may be trusted": {
			func(_ *testing.T, w *world, _ *veleroPoint) { w.trustUnsigned = false }, coffer.CodeSignerNotTrusted, "coffer velero import default --trust-unsigned",
		},
		"the location is not said to be Velero's": {
			func(_ *testing.T, w *world, _ *veleroPoint) { w.velero = false }, coffer.CodeBackupNotFound, "made by Velero",
		},
		"it is not complete": {func(t *testing.T, w *world, p *veleroPoint) {
			p.phase = "Finalizing"
			w.put(t, layout.VeleroBackup(), p.blobs(t)[layout.VeleroBackup()])
		}, coffer.CodeBackupNotFound, "phase \"Finalizing\""},
		"its archive is missing": {func(t *testing.T, w *world, _ *veleroPoint) {
			if err := w.container.Delete(t.Context(), layout.Archive()); err != nil {
				t.Fatal(err)
			}
		}, coffer.CodeArchiveCorrupt, "it is missing"},
		"its archive is cut short": {func(t *testing.T, w *world, p *veleroPoint) {
			body := p.tar(t)
			w.put(t, layout.Archive(), body[:len(body)-20])
		}, coffer.CodeArchiveCorrupt, "archive"},
		"its archive leads out of its folder": {func(t *testing.T, w *world, p *veleroPoint) {
			p.objects[2].name = "../../../etc/passwd"
			w.put(t, layout.Archive(), p.tar(t))
		}, coffer.CodeArchiveCorrupt, "not a plain relative path"},
		"it is that of another name": {func(t *testing.T, w *world, p *veleroPoint) {
			w.put(t, layout.VeleroBackup(), bytes.ReplaceAll(p.blobs(t)[layout.VeleroBackup()], []byte(`"one"`), []byte(`"two"`)))
		}, coffer.CodeArchiveCorrupt, "two"},
		"its list of volumes is no list": {func(t *testing.T, w *world, _ *veleroPoint) {
			w.put(t, layout.VolumeInfo(), []byte("nothing"))
		}, coffer.CodeArchiveCorrupt, "list of volumes"},
		"there is none": {func(t *testing.T, w *world, _ *veleroPoint) {
			if err := w.container.Delete(t.Context(), layout.VeleroBackup()); err != nil {
				t.Fatal(err)
			}
		}, coffer.CodeBackupNotFound, "no backup named"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newVeleroPoint()
			w := newVeleroWorld(t, p)
			c.change(t, w, p)
			before := len(w.objects)
			r, err := w.restoreOnce(t, keep(t, w, newVeleroRestore()))
			if err != nil || r.Status.Reason != string(c.code) || !strings.Contains(r.Status.Message, c.words) {
				t.Errorf("Restore = %v, reason %s: %s", err, r.Status.Reason, r.Status.Message)
			}
			if len(w.objects) != before {
				t.Errorf("the refused restore made %d objects", len(w.objects)-before)
			}
		})
	}
}

func TestAVeleroBackupThatChangesWhileItIsRestoredIsRefused(t *testing.T) {
	p := newVeleroPoint()
	w := newVeleroWorld(t, p)
	k := keep(t, w, newVeleroRestore())
	// The process dies while it creates objects.
	for n := 10; ; n++ {
		w.dieAfter(n)
		_, err := w.restoreOnce(t, k)
		w.revive()
		if err == nil {
			t.Fatal("the restore never died after its plan was made")
		}
		if strings.Contains(string(k.saved), "sha256:") {
			break
		}
	}
	p.objects[2].body["data"] = map[string]any{"a": "evil"}
	w.put(t, recoverypoint.LayoutOf("one").Archive(), p.tar(t))
	r, err := w.restoreOnce(t, k)
	if err != nil || r.Status.Reason != string(coffer.CodeArchiveCorrupt) || !strings.Contains(r.Status.Message, "changed while") {
		t.Errorf("Restore = %v, reason %s: %s", err, r.Status.Reason, r.Status.Message)
	}
}

func TestWhatCofferCannotRestoreOfVeleroIsSaid(t *testing.T) {
	p := newVeleroPoint()
	p.phase = "PartiallyFailed"
	p.objects = p.objects[:3]
	metadata := p.objects[1].body["metadata"].(map[string]any)
	delete(metadata, "annotations")
	p.infos = []map[string]any{
		{"pvcName": "data", "pvcNamespace": "shop", "pvName": "pv-1", "backupMethod": "PodVolumeBackup", "pvbInfo": map[string]any{"uploaderType": "kopia"}},
		{"backupMethod": "PodVolumeBackup", "pvbInfo": map[string]any{"podName": "web", "podNamespace": "shop", "volumeName": "scratch"}},
	}
	w := newVeleroWorld(t, p)
	r, err := w.restoreOnce(t, keep(t, w, newVeleroRestore()))
	if err != nil || r.Status.Phase != v1alpha1.RunCompletedWithWarnings {
		t.Fatalf("Restore = %v, %+v", err, r.Status)
	}
	text := fmt.Sprint(r.Status.Warnings)
	for _, words := range []string{"PartiallyFailed, with 2 errors", "shop/data", "file by file into a kopia", "pods shop/web", `"scratch"`} {
		if !strings.Contains(text, words) {
			t.Errorf("the warnings do not say %q: %s", words, text)
		}
	}
	shown, total, err := VeleroBackups(t.Context(), w.container)
	if err != nil || total != 1 || len(shown) != 1 || shown[0].VolumesSkipped != 2 || shown[0].Skipped[1].Volume != "shop/web: scratch" || shown[0].Objects != 5 {
		t.Errorf("VeleroBackups = %+v, %d, %v", shown, total, err)
	}
}

// What Coffer writes for Velero is read here as what Velero writes is.
func TestARecoveryPointHoldsWhatVeleroFindsItsVolumesBy(t *testing.T) {
	w := newShop(t)
	stale := map[string]any{"velero.io/volume-snapshot-name": "long-gone"}
	w.add("persistentvolumeclaims", "shop", "local", map[string]any{
		"annotations": stale, "spec": map[string]any{"volumeName": "pv-local"}, "status": map[string]any{"phase": "Bound"},
	})
	w.add("persistentvolumes", "", "pv-local", map[string]any{"spec": map[string]any{
		"hostPath": map[string]any{"path": "/x"}, "claimRef": map[string]any{"namespace": "shop", "name": "local"},
	}})
	b := backUp(t, w, keep(t, w, newBackupObject()))
	if !b.Status.Phase.Succeeded() {
		t.Fatalf("%+v", b.Status)
	}
	manifest, _, err := readManifest(t.Context(), w.location(), "one")
	if err != nil {
		t.Fatal(err)
	}
	blob, err := w.container.Get(t.Context(), recoverypoint.LayoutOf("one").Archive(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blob.Close() }()
	var volumes velero.Volumes
	bodies := map[string]string{}
	objects := int64(0)
	err = archive.Stream(blob, func(o archive.Object) error {
		bodies[o.String()] = string(o.Body)
		if o.Group != "snapshot.storage.k8s.io" {
			objects++
		}
		return volumes.Add(o.ObjectRef, o.Body)
	})
	if err != nil {
		t.Fatal(err)
	}
	found := volumes.All(nil)
	if len(found) != 2 || len(manifest.Volumes) != 2 || objects != manifest.Objects {
		t.Fatalf("%d objects, want %d; volumes %+v, the manifest has %+v", objects, manifest.Objects, found, manifest.Volumes)
	}
	for _, want := range manifest.Volumes {
		at := slices.IndexFunc(found, func(v coffer.Volume) bool { return v.Claim == want.Claim })
		got := found[at]
		if got.Result != want.Result || got.Handle != want.Handle || got.Driver != want.Driver || got.RestoreSize != want.RestoreSize || got.PersistentVolume != want.PersistentVolume {
			t.Errorf("volume %+v, the manifest has %+v", got, want)
		}
	}
	for name, body := range bodies {
		if strings.Contains(body, "long-gone") {
			t.Errorf("%s names a snapshot that is none of this recovery point: %s", name, body)
		}
		if strings.Contains(name, "volumesnapshotcontents") && (!strings.Contains(body, `"deletionPolicy":"Retain"`) || strings.Contains(body, "velero.io/backup-name")) {
			t.Errorf("Velero would delete the snapshot of %s: %s", name, body)
		}
	}
}

// An object whose version the cluster does not serve is restored from a copy at one that it does, if Velero made one.
func TestAVeleroBackupIsRestoredAtAVersionThatIsServed(t *testing.T) {
	scaler := func(version string) map[string]any {
		return map[string]any{
			"apiVersion": "autoscaling/" + version, "kind": "HorizontalPodAutoscaler",
			"metadata": map[string]any{"name": "web", "namespace": "shop", "uid": "u9"}, "spec": map[string]any{"of": version},
		}
	}
	served := func(version string) coffer.ResourceType {
		return coffer.ResourceType{
			GroupResource: coffer.GroupResource{Group: "autoscaling", Resource: "horizontalpodautoscalers"}, Version: version, Kind: "HorizontalPodAutoscaler", Namespaced: true,
		}
	}
	for name, tt := range map[string]struct {
		serves []coffer.ResourceType
		copies []string
		// from is the version of the archived object that is restored, and to the one at which it is written.
		from, to string
		warned   bool
	}{
		"its own":                     {[]coffer.ResourceType{served("v1"), served("v2")}, []string{"v1"}, "v2", "autoscaling/v2", false},
		"a copy's":                    {[]coffer.ResourceType{served("v1")}, []string{"v1", "v2beta2"}, "v1", "autoscaling/v1", false},
		"another one, without a copy": {[]coffer.ResourceType{served("v1")}, []string{"v2beta2"}, "v2", "autoscaling/v1", true},
	} {
		t.Run(name, func(t *testing.T) {
			point := newVeleroPoint()
			copies := map[string]map[string]any{}
			for _, v := range tt.copies {
				copies[v] = scaler(v)
			}
			point.objects = append(point.objects, veleroObject{"horizontalpodautoscalers.autoscaling", "shop", "web", scaler("v2"), copies})
			w := newVeleroWorld(t, point)
			w.extra = tt.serves
			r, err := w.restoreOnce(t, keep(t, w, newVeleroRestore()))
			if err != nil || !r.Status.Phase.Succeeded() {
				t.Fatalf("%v, phase %s: %s", err, r.Status.Phase, r.Status.Message)
			}
			o := w.objects[objectKey("horizontalpodautoscalers.autoscaling", "shop", "web")]
			if o == nil || o["apiVersion"] != tt.to || o["spec"].(map[string]any)["of"] != tt.from {
				t.Errorf("restored: %v", o)
			}
			if warned := r.Status.WarningCount > 0; warned != tt.warned {
				t.Errorf("warnings %+v", r.Status.Warnings)
			}
		})
	}
}
