package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

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
	// copied says which of the items are copies at another version.
	var copied []bool
	err = r.streamVelero(ctx, archive.StreamVersions, all, func(o archive.Object) error {
		i, again := at[o.ObjectRef]
		if o.Version != "" && !r.serves(o.GroupResource, o.Version) {
			return nil
		}
		item, err := r.request.Read(o.ObjectRef, o.Body)
		if err != nil {
			return err
		}
		if o.Version == "" {
			if err := volumes.Add(o.ObjectRef, o.Body); err != nil {
				return err
			}
		}
		entry := archive.Entry{ObjectRef: o.ObjectRef, Size: int64(len(o.Body)), SHA256: sumOf(o.Body)}
		switch {
		case !again:
			at[o.ObjectRef] = len(items)
			items, index, copied = append(items, item), append(index, entry), append(copied, o.Version != "")
		case r.rather(item, o.Version != "", items[i], copied[i]):
			items[i], index[i], copied[i] = item, entry, o.Version != ""
		}
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

// serves says whether the cluster serves a type at a version.
func (r *restore) serves(g coffer.GroupResource, version string) bool {
	t := coffer.ResourceType{GroupResource: g, Version: version}
	_, exact, _ := r.served.For(g, t.APIVersion())
	return exact
}

// rather says which of two items for one object is restored: the object itself if the cluster serves its version, else a copy
// of which it does. Of two objects it is the later one, as where the tar is unpacked.
func (r *restore) rather(later plan.Item, isCopy bool, earlier plan.Item, wasCopy bool) bool {
	if isCopy == wasCopy {
		return !isCopy
	}
	object := earlier
	if wasCopy {
		object = later
	}
	_, exact, _ := r.served.For(object.GroupResource, object.APIVersion)
	return exact != isCopy
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

// eachStreamed is eachBody for an archive without an index: it is read from its beginning each time, and never held. What
// differs from what the plan was made of is left out, and missed at the end.
func (a *application) eachStreamed(ctx context.Context, steps []int, do func(ctx context.Context, i int, body []byte) error) error {
	wanted := make(map[coffer.ObjectRef]int, len(steps))
	for _, i := range steps {
		wanted[a.index[a.step(i).Item].ObjectRef] = i
	}
	work, workCtx := newGroup(ctx, parallelWrites)
	readErr := a.streamVelero(workCtx, archive.StreamVersions, io.Discard, func(o archive.Object) error {
		i, ok := wanted[o.ObjectRef]
		if !ok || sumOf(o.Body) != a.index[a.step(i).Item].SHA256 {
			return workCtx.Err()
		}
		delete(wanted, o.ObjectRef)
		work.Go(func() error { return do(workCtx, i, o.Body) })
		if len(wanted) == 0 {
			return errAllFound
		}
		return workCtx.Err()
	})
	// An error of the work cancels the reading: it is the one to report.
	if err := work.Wait(); err != nil {
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
