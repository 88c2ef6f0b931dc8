package flow

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/format/velero"
)

// What of a container of Velero's is shown; it is kept in one object of the API server.
const (
	maxVeleroBackups    = 200
	maxVeleroNamespaces = 20
	maxVeleroSkipped    = 10
	maxVeleroText       = 200
	parallelVeleroReads = 8
	// maxVeleroShown bounds all of it, in bytes of JSON. An object has 1.5 MiB, and this one has other fields, and may be
	// kept twice.
	maxVeleroShown = 512 << 10
)

// VeleroBackups describes the newest of Velero's backups in a container, at most 200 and no more than an object of the API
// server has room for, newest first, and counts all. What Coffer has made is left out. A backup that cannot be read is listed
// with its problem.
func VeleroBackups(ctx context.Context, c coffer.Container) (newest []v1alpha1.VeleroBackup, total int64, err error) {
	var found []veleroFound
	ours := ""
	for info, err := range c.List(ctx, recoverypoint.Root) {
		if err != nil {
			return nil, 0, err
		}
		folder, blob := path.Split(info.Key)
		name := path.Base(folder)
		if recoverypoint.LayoutOf(name).Prefix() != folder {
			continue
		}
		switch blob {
		case "manifest.json":
			// It comes before the other, for keys come in order.
			ours = folder
		case "velero-backup.json":
			if folder == ours {
				continue
			}
			total++
			if found = append(found, veleroFound{name, info.Modified}); len(found) == 2*maxVeleroBackups {
				found = newestOf(found)
			}
		}
	}
	found = newestOf(found)
	newest = make([]v1alpha1.VeleroBackup, len(found))
	reads, readCtx := newGroup(ctx, parallelVeleroReads)
	var decoding sync.Mutex
	for i, f := range found {
		reads.Go(func() (err error) {
			newest[i], err = describeVelero(readCtx, c, f.name, &decoding)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return nil, 0, err
	}
	newest, err = fitting(newest, maxVeleroShown)
	return newest, total, err
}

// veleroFound is a backup in a listing.
type veleroFound struct {
	name     string
	modified time.Time
}

// newestOf are the newest of them, as many as are shown.
func newestOf(found []veleroFound) []veleroFound {
	slices.SortFunc(found, func(a, b veleroFound) int {
		return cmp.Or(b.modified.Compare(a.modified), strings.Compare(a.name, b.name))
	})
	return found[:min(len(found), maxVeleroBackups)]
}

// fitting are the first ones that have room in so many bytes of JSON.
func fitting(all []v1alpha1.VeleroBackup, room int) ([]v1alpha1.VeleroBackup, error) {
	for i := range all {
		text, err := json.Marshal(&all[i])
		if err != nil {
			return nil, fmt.Errorf("encode what is shown of %s: %w", all[i].Name, err)
		}
		if room -= len(text) + 1; room < 0 {
			return all[:i], nil
		}
	}
	return all, nil
}

// describeVelero describes one backup. What it has been sent is decoded by one caller at a time: it may be large.
func describeVelero(ctx context.Context, c coffer.Container, name string, decoding *sync.Mutex) (v1alpha1.VeleroBackup, error) {
	shown := v1alpha1.VeleroBackup{Name: name}
	layout := recoverypoint.LayoutOf(name)
	data, err := getAll(ctx, c, layout.VeleroBackup(), velero.MaxBackupSize)
	var list io.ReadCloser
	if err == nil {
		list, err = openVeleroVolumes(ctx, c, layout.VolumeInfo())
	}
	var backup velero.Backup
	var infos []velero.VolumeInfo
	if err == nil {
		decoding.Lock()
		defer decoding.Unlock()
		infos, _, err = readVeleroVolumes(list)
		var backupErr error
		if backup, backupErr = velero.DecodeBackup(name, data); backupErr != nil {
			err = backupErr
		}
	}
	switch {
	case coffer.CodeOf(err) == coffer.CodeArchiveCorrupt || errors.Is(err, coffer.ErrBlobNotFound):
		shown.Problem = shortened(err.Error(), maxVeleroText)
		return shown, nil
	case err != nil:
		return shown, err
	}
	shown.Phase, shown.Objects = shortened(backup.Status.Phase, maxVeleroText), backup.Status.Progress.Items
	shown.Errors, shown.Warnings = backup.Status.Errors, backup.Status.Warnings
	for _, ns := range backup.Spec.IncludedNamespaces[:min(len(backup.Spec.IncludedNamespaces), maxVeleroNamespaces)] {
		shown.IncludedNamespaces = append(shown.IncludedNamespaces, shortened(ns, maxVeleroText))
	}
	shown.StartTime, shown.CompletionTime = metaTime(backup.Status.Started), metaTime(backup.Status.Completed)
	for _, i := range infos {
		reason := i.Reason()
		if reason == "" {
			shown.VolumesCaptured++
			continue
		}
		shown.VolumesSkipped++
		if len(shown.Skipped) == maxVeleroSkipped {
			continue
		}
		volume := i.Namespace + "/" + i.Claim
		if i.Claim == "" && i.PodVolume != nil {
			volume = i.PodVolume.Namespace + "/" + i.PodVolume.Pod + ": " + i.PodVolume.Name
		}
		shown.Skipped = append(shown.Skipped, v1alpha1.VeleroSkippedVolume{Volume: shortened(volume, maxVeleroText), Reason: shortened(reason, maxVeleroText)})
	}
	return shown, nil
}

func metaTime(t *time.Time) *metav1.Time {
	if t == nil {
		return nil
	}
	return &metav1.Time{Time: t.Truncate(time.Second)}
}

// openVeleroVolumes opens Velero's list of volumes; nil if there is none, as in backups of Velero before 1.13.
func openVeleroVolumes(ctx context.Context, c coffer.Container, key string) (io.ReadCloser, error) {
	blob, err := c.Get(ctx, key, 0, velero.MaxVolumeInfoSize)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return nil, nil
	}
	return blob, err
}

// readVeleroVolumes reads what openVeleroVolumes has opened, closes it, and answers the digest of its bytes, too.
func readVeleroVolumes(blob io.ReadCloser) ([]velero.VolumeInfo, []byte, error) {
	if blob == nil {
		return nil, nil, nil
	}
	sum := sha256.New()
	in := &source{r: blob}
	infos, err := velero.ReadVolumeInfo(io.TeeReader(in, sum))
	if in.err != nil {
		err = in.err
	}
	return infos, sum.Sum(nil), errors.Join(err, blob.Close())
}
