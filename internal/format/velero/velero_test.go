package velero

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestClaimIsChangedInOneAnnotationOnly(t *testing.T) {
	for name, c := range map[string]struct{ body, snapshot, want string }{
		"no annotations": {
			`{"kind":"PersistentVolumeClaim","metadata":{"name":"a","big":12345678901234567890},"spec":{"z":1,"a":2}}`, "s",
			`{"kind":"PersistentVolumeClaim","metadata":{"annotations":{"velero.io/volume-snapshot-name":"s"},"big":12345678901234567890,"name":"a"},"spec":{"z":1,"a":2}}`,
		},
		"another snapshot's name is replaced": {
			`{"metadata":{"annotations":{"velero.io/volume-snapshot-name":"old","x":"y"}}}`, "new",
			`{"metadata":{"annotations":{"velero.io/volume-snapshot-name":"new","x":"y"}}}`,
		},
		"a stale name is removed": {
			`{"metadata":{"annotations":{"velero.io/volume-snapshot-name":"old","x":"y"}}}`, "", `{"metadata":{"annotations":{"x":"y"}}}`,
		},
		"the finalizer of a backup goes, the others stay": {
			`{"metadata":{"finalizers":["kubernetes.io/pvc-protection","snapshot.storage.kubernetes.io/pvc-as-source-protection"]}}`, "",
			`{"metadata":{"finalizers":["kubernetes.io/pvc-protection"]}}`,
		},
		"nothing to say leaves every byte": {`{ "metadata" : {"annotations":null} }`, "", `{ "metadata" : {"annotations":null} }`},
		"null annotations":                 {`{"metadata":{"annotations":null}}`, "s", `{"metadata":{"annotations":{"velero.io/volume-snapshot-name":"s"}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Claim([]byte(c.body), c.snapshot)
			if err != nil || string(got) != c.want {
				t.Errorf("Claim = %s, %v, want %s", got, err, c.want)
			}
		})
	}
	for _, bad := range []string{"", "[]", `{"metadata":1}`, `{"metadata":null}`, `{"metadata":{"annotations":[]}}`, `{}`} {
		if got, err := Claim([]byte(bad), "s"); err == nil {
			t.Errorf("Claim(%s) = %s", bad, got)
		}
	}
}

func TestReasonsForVolumesThatCannotBeRestored(t *testing.T) {
	for name, c := range map[string]struct{ info, want string }{
		"a CSI snapshot":              {`{"backupMethod":"CSISnapshot","csiSnapshotInfo":{"snapshotHandle":"h","driver":"d"}}`, ""},
		"a CSI snapshot not recorded": {`{"backupMethod":"CSISnapshot"}`, "no handle"},
		"moved data":                  {`{"backupMethod":"CSISnapshot","snapshotDataMoved":true,"csiSnapshotInfo":{"snapshotHandle":"h","driver":"d"}}`, "moved the data"},
		"files":                       {`{"backupMethod":"PodVolumeBackup"}`, "file by file"},
		"a native snapshot":           {`{"backupMethod":"NativeSnapshot"}`, "plugin of Velero's"},
		"skipped":                     {`{"skipped":true,"skippedReason":"because"}`, "because"},
		"nothing":                     {`{}`, "no snapshot of it"},
	} {
		t.Run(name, func(t *testing.T) {
			var info VolumeInfo
			if err := json.Unmarshal([]byte(c.info), &info); err != nil {
				t.Fatal(err)
			}
			if got := info.Reason(); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("Reason = %q, want %q", got, c.want)
			}
		})
	}
}

func TestVolumesOfAnArchive(t *testing.T) {
	claim := coffer.ObjectRef{GroupResource: claims, Namespace: "n", Name: "c"}
	const named = `{"metadata":{"annotations":{"velero.io/volume-snapshot-name":"s"}},"spec":{"volumeName":"pv","volumeMode":"Block"}}`
	base := coffer.Volume{Namespace: "n", Claim: "c", PersistentVolume: "pv", VolumeMode: "Block"}
	with := func(change func(*coffer.Volume)) coffer.Volume {
		v := base
		v.Result = coffer.VolumeCaptured
		change(&v)
		return v
	}
	skipped := func(reason string) coffer.Volume {
		return with(func(v *coffer.Volume) {
			v.Result, v.Code, v.Reason = coffer.VolumeSkipped, coffer.CodeSnapshotUnsupported, reason
		})
	}
	for name, c := range map[string]struct {
		snapshot, content, infos string
		want                     coffer.Volume
	}{
		"the annotations of the snapshot count first": {
			`{"metadata":{"annotations":{"velero.io/csi-volumesnapshot-handle":"h","velero.io/csi-driver-name":"d","velero.io/csi-volumesnapshot-restore-size":"1Ki"}},"status":{"boundVolumeSnapshotContentName":"x"}}`,
			`{"spec":{"driver":"other"},"status":{"snapshotHandle":"other"}}`, `[]`,
			with(func(v *coffer.Volume) { v.Handle, v.Driver, v.Content, v.RestoreSize = "h", "d", "x", 1024 }),
		},
		"then the content's status": {
			`{"status":{"boundVolumeSnapshotContentName":"x"}}`, `{"spec":{"driver":"d"},"status":{"snapshotHandle":"h","restoreSize":7}}`, `[]`,
			with(func(v *coffer.Volume) { v.Handle, v.Driver, v.Content, v.RestoreSize = "h", "d", "x", 7 }),
		},
		"then the list": {
			`{}`, `{}`, `[{"pvcNamespace":"n","pvcName":"c","backupMethod":"CSISnapshot","csiSnapshotInfo":{"snapshotHandle":"h","driver":"d","vscName":"y","size":-5}}]`,
			with(func(v *coffer.Volume) { v.Handle, v.Driver, v.Content = "h", "d", "y" }),
		},
		"data that was moved is not the snapshot's": {
			`{"metadata":{"annotations":{"velero.io/csi-volumesnapshot-handle":"h","velero.io/csi-driver-name":"d"}}}`, `{}`,
			`[{"pvcNamespace":"n","pvcName":"c","backupMethod":"CSISnapshot","snapshotDataMoved":true}]`,
			skipped("Velero moved the data of its snapshot into a kopia repository, which Coffer does not read: restore this volume with Velero"),
		},
		"nothing is known": {`{}`, `{}`, `[]`, skipped("Velero's backup has no snapshot of it")},
	} {
		t.Run(name, func(t *testing.T) {
			var volumes Volumes
			for ref, body := range map[coffer.ObjectRef]string{
				claim: named,
				{GroupResource: snapshots, Namespace: "n", Name: "s"}:                            c.snapshot,
				{GroupResource: contents, Name: "x"}:                                             c.content,
				{GroupResource: coffer.GroupResource{Resource: "pods"}, Name: "not read at all"}: "nonsense",
			} {
				if err := volumes.Add(ref, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
			var infos []VolumeInfo
			if err := json.Unmarshal([]byte(c.infos), &infos); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]coffer.Volume{c.want}, volumes.All(infos)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzWhatABucketBrings(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"n"}}`))
	f.Add([]byte(`[{"pvcName":"a"}]`))
	f.Add([]byte(`{"metadata":{"annotations":{"velero.io/volume-snapshot-name":"s"}},"status":{"restoreSize":"1Gi"}}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = DecodeBackup("n", data)
		_, _ = ReadVolumeInfo(bytes.NewReader(data))
		var zipped bytes.Buffer
		out := gzip.NewWriter(&zipped)
		_, _ = out.Write(data)
		_ = out.Close()
		infos, _ := ReadVolumeInfo(&zipped)
		var volumes Volumes
		for _, t := range []coffer.GroupResource{claims, snapshots, contents} {
			_ = volumes.Add(coffer.ObjectRef{GroupResource: t, Namespace: "n", Name: "s"}, data)
		}
		_ = volumes.All(infos)
		_ = Unclaimed(infos)
		_, _ = Claim(data, "s")
	})
}

func TestAHostileListOfVolumesIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"a million empty volumes": "[" + strings.Repeat("{},", 1_000_000) + "{}]",
		"a million brackets":      strings.Repeat("[", 1_000_000),
	} {
		var buf bytes.Buffer
		w := gzip.NewWriter(&buf)
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadVolumeInfo(&buf); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("%s: ReadVolumeInfo = %v", name, err)
		}
	}
}
