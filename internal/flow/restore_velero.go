package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/velero"
)

// readPoint reads and verifies what is to be restored: one of Coffer's recovery points, or, in a container that Velero
// writes to, a backup of Velero's. It answers the digest by which a later process knows it again.
func (r *restore) readPoint(ctx context.Context) (digest string, err error) {
	digest, err = r.open(ctx)
	if errors.Is(err, errOfVelero) {
		return r.readVelero(ctx)
	}
	if err != nil {
		return "", err
	}
	if before := r.object.Status.ManifestDigest; before != "" && before != digest {
		return "", changedMeanwhile(r.name)
	}
	if err := r.readKeys(ctx); err != nil {
		return "", err
	}
	return digest, r.verify(ctx)
}

func changedMeanwhile(name string) error {
	return coffer.Errorf(coffer.CodeArchiveCorrupt, "recovery point %s was changed while it was being restored", name)
}

// readVelero reads a backup of Velero's: its tar once from the beginning to the end. Its digest is of all that a restore
// goes by.
func (r *restore) readVelero(ctx context.Context) (string, error) {
	all := sha256.New()
	backup, err := r.openVelero(ctx, all)
	if err != nil {
		return "", err
	}
	list, err := openVeleroVolumes(ctx, r.location.Container, r.layout.VolumeInfo())
	if err != nil {
		return "", err
	}
	infos, infosDigest, err := readVeleroVolumes(list)
	if err != nil {
		return "", err
	}
	_, _ = all.Write(infosDigest)
	var volumes velero.Volumes
	at := map[coffer.ObjectRef]int{}
	items, index := []plan.Item{}, archive.Index{}
	err = r.streamVelero(ctx, all, func(o archive.Object) error {
		item, err := plan.Read(o.ObjectRef, o.Body)
		if err != nil {
			return err
		}
		if err := volumes.Add(o.ObjectRef, o.Body); err != nil {
			return err
		}
		entry := archive.Entry{ObjectRef: o.ObjectRef, Size: int64(len(o.Body)), SHA256: sumOf(o.Body)}
		if i, again := at[o.ObjectRef]; again {
			items[i], index[i] = item, entry
			return nil
		}
		at[o.ObjectRef] = len(items)
		items, index = append(items, item), append(index, entry)
		return nil
	})
	if err != nil {
		return "", err
	}
	digest := "sha256:" + hexSum(all)
	if before := r.object.Status.ManifestDigest; before != "" && before != digest {
		return "", changedMeanwhile(r.name)
	}
	r.manifest = coffer.Manifest{Name: r.name, Volumes: volumes.All(infos)}
	r.items, r.index, r.streamed = items, index, true
	r.warnOfVelero(backup, infos)
	return digest, nil
}

// warnOfVelero says what the backup lacks, once.
func (r *restore) warnOfVelero(backup velero.Backup, infos []velero.VolumeInfo) {
	if r.object.Status.ManifestDigest != "" {
		return
	}
	if backup.PartiallyFailed() {
		r.warn(coffer.CodeTypeNotCaptured, "", fmt.Sprintf(
			"Velero's backup %s is PartiallyFailed, with %d errors: something is missing from it; `velero backup logs %s` says what",
			backup.Metadata.Name, backup.Status.Errors, backup.Metadata.Name))
	}
	for _, v := range velero.Unclaimed(infos) {
		r.warn(coffer.CodeVolumeRestoredEmpty, "pods "+v[0], fmt.Sprintf(
			"volume %q: its files were copied into a repository of Velero's, which Coffer does not read", v[1]))
	}
}

func sumOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// errAllFound ends the reading of a tar of which nothing more is needed.
var errAllFound = errors.New("everything was found")

// createStreamed is createAll for an archive without an index: it is read from its beginning once for each order, and
// never held. What differs from what the plan was made of is left out, and missed at the end.
func (a *application) createStreamed(ctx context.Context, steps []plan.Step) error {
	wanted := map[coffer.ObjectRef]plan.Step{}
	for _, s := range steps {
		if s.Action != plan.Skip {
			wanted[a.index[s.Item].ObjectRef] = s
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	creates, createCtx := errgroup.WithContext(ctx)
	creates.SetLimit(parallelCreates)
	readErr := a.streamVelero(createCtx, io.Discard, func(o archive.Object) error {
		s, ok := wanted[o.ObjectRef]
		if !ok || sumOf(o.Body) != a.index[s.Item].SHA256 {
			return createCtx.Err()
		}
		delete(wanted, o.ObjectRef)
		creates.Go(func() error { return a.create(createCtx, s, o.Body) })
		if len(wanted) == 0 {
			return errAllFound
		}
		return createCtx.Err()
	})
	// An error of a create cancels the reading: it is the one to report.
	if err := creates.Wait(); err != nil {
		return err
	}
	if readErr != nil && !errors.Is(readErr, errAllFound) {
		return readErr
	}
	if len(wanted) > 0 {
		return changedMeanwhile(a.name)
	}
	return nil
}
