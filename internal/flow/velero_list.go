package flow

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"golang.org/x/sync/errgroup"

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
)

// VeleroBackups describes the newest of Velero's backups in a container, at most 200, newest first, and counts all. What
// Coffer has made is left out. A backup that cannot be read is listed with its problem.
func VeleroBackups(ctx context.Context, c coffer.Container) (newest []v1alpha1.VeleroBackup, total int64, err error) {
	modified := map[string]time.Time{}
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
		case "velero-backup.json":
			if _, ours := modified[name]; !ours {
				modified[name] = info.Modified
			}
		case "manifest.json":
			modified[name] = time.Time{}
		}
	}
	var names []string
	for name, at := range modified {
		if !at.IsZero() {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if by := modified[b].Compare(modified[a]); by != 0 {
			return by
		}
		return strings.Compare(a, b)
	})
	total = int64(len(names))
	names = names[:min(len(names), maxVeleroBackups)]
	newest = make([]v1alpha1.VeleroBackup, len(names))
	reads, readCtx := errgroup.WithContext(ctx)
	reads.SetLimit(parallelVeleroReads)
	for i, name := range names {
		reads.Go(func() (err error) {
			newest[i], err = describeVelero(readCtx, c, name)
			return err
		})
	}
	return newest, total, reads.Wait()
}

func describeVelero(ctx context.Context, c coffer.Container, name string) (v1alpha1.VeleroBackup, error) {
	shown := v1alpha1.VeleroBackup{Name: name}
	layout := recoverypoint.LayoutOf(name)
	data, err := getAll(ctx, c, layout.VeleroBackup(), velero.MaxBackupSize)
	var backup velero.Backup
	if err == nil {
		backup, err = velero.DecodeBackup(name, data)
	}
	var infos []velero.VolumeInfo
	if err == nil {
		infos, _, err = readVeleroVolumes(ctx, c, layout.VolumeInfo())
	}
	switch {
	case coffer.CodeOf(err) == coffer.CodeArchiveCorrupt || errors.Is(err, coffer.ErrBlobNotFound):
		shown.Problem = shortened(err.Error())
		return shown, nil
	case err != nil:
		return shown, err
	}
	shown.Phase, shown.Objects = shortened(backup.Status.Phase), backup.Status.Progress.Items
	shown.Errors, shown.Warnings = backup.Status.Errors, backup.Status.Warnings
	for _, ns := range backup.Spec.IncludedNamespaces[:min(len(backup.Spec.IncludedNamespaces), maxVeleroNamespaces)] {
		shown.IncludedNamespaces = append(shown.IncludedNamespaces, shortened(ns))
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
		shown.Skipped = append(shown.Skipped, v1alpha1.VeleroSkippedVolume{Volume: shortened(volume), Reason: shortened(reason)})
	}
	return shown, nil
}

func metaTime(t *time.Time) *metav1.Time {
	if t == nil {
		return nil
	}
	return &metav1.Time{Time: t.Truncate(time.Second)}
}

// shortened bounds a text that a container brought.
func shortened(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if runes := []rune(text); len(runes) > maxVeleroText {
		return string(runes[:maxVeleroText]) + "…"
	}
	return text
}

// readVeleroVolumes reads Velero's list of volumes, and the digest of its bytes. Backups of Velero before 1.13 have none.
func readVeleroVolumes(ctx context.Context, c coffer.Container, key string) ([]velero.VolumeInfo, []byte, error) {
	blob, err := c.Get(ctx, key, 0, velero.MaxVolumeInfoSize)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.New()
	in := &source{r: blob}
	infos, err := velero.ReadVolumeInfo(io.TeeReader(in, sum))
	if in.err != nil {
		err = in.err
	}
	return infos, sum.Sum(nil), errors.Join(err, blob.Close())
}
