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
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/format/velero"
)

// readPoint reads and verifies what is to be restored: one of Coffer's recovery points, or, in a container that Velero
// writes to, a backup of Velero's. It answers the digest by which a later process knows it again.
func (r *restore) readPoint(ctx context.Context) (digest string, err error) {
	if r.location.Velero {
		_, err := r.location.Container.Stat(ctx, r.layout.Manifest())
		if errors.Is(err, coffer.ErrBlobNotFound) {
			return r.readVelero(ctx)
		}
		if err != nil {
			return "", err
		}
	}
	manifest, digest, err := readManifest(ctx, r.location, r.object.Spec.BackupName)
	if coffer.CodeOf(err) == coffer.CodeBackupNotFound && !r.location.Velero {
		return "", r.hintAtVelero(ctx, err)
	}
	if err != nil {
		return "", err
	}
	if before := r.object.Status.ManifestDigest; before != "" && before != digest {
		return "", changedMeanwhile(manifest.Name)
	}
	r.manifest, r.layout = manifest, recoverypoint.LayoutFor(manifest)
	if err := r.readKeys(ctx); err != nil {
		return "", err
	}
	return digest, r.verify(ctx)
}

func changedMeanwhile(name string) error {
	return coffer.Errorf(coffer.CodeArchiveCorrupt, "recovery point %s was changed while it was being restored", name)
}

// hintAtVelero says what to do if what is missing is there as a backup of Velero's.
func (r *restore) hintAtVelero(ctx context.Context, missing error) error {
	if _, err := r.location.Container.Stat(ctx, r.layout.VeleroBackup()); err != nil {
		return missing
	}
	return coffer.Errorf(coffer.CodeBackupNotFound, "%s in BackupStorageLocation %s was made by Velero", r.object.Spec.BackupName, r.location.Name).
		WithHint("register the container as Velero's with `coffer velero import`, and restore from there")
}

// readVelero reads a backup of Velero's: its tar once from the beginning to the end. Nothing vouches for it, so that an
// administrator must have said that it may be restored. Its digest is of all that a restore goes by.
func (r *restore) readVelero(ctx context.Context) (string, error) {
	name := r.object.Spec.BackupName
	data, err := getAll(ctx, r.location.Container, r.layout.VeleroBackup(), velero.MaxBackupSize)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return "", coffer.Errorf(coffer.CodeBackupNotFound, "there is no backup named %q in BackupStorageLocation %s", name, r.location.Name).
			WithHint("see `coffer velero list --storage-location %s`", r.location.Name)
	}
	if err != nil {
		return "", err
	}
	backup, err := velero.DecodeBackup(name, data)
	if err != nil {
		return "", err
	}
	if err := backup.Check(); err != nil {
		return "", err
	}
	if !r.location.TrustUnsigned {
		return "", coffer.Errorf(coffer.CodeSignerNotTrusted,
			"%s was made by Velero, which signs nothing: whoever can write to the container decides what is restored, and which snapshots", name).
			WithHint("if only those whom you trust can: `coffer velero import %s --trust-unsigned`", r.location.Name)
	}
	infos, infoData, err := r.veleroVolumes(ctx)
	if err != nil {
		return "", err
	}
	all := sha256.New()
	_, _ = all.Write(data)
	_, _ = all.Write(infoData)
	var volumes velero.Volumes
	at := map[coffer.ObjectRef]int{}
	items, index := []plan.Item{}, archive.Index{}
	// copied says which of the items are copies at another version.
	var copied []bool
	err = r.streamVelero(ctx, all, func(o archive.Object) error {
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
		return "", changedMeanwhile(name)
	}
	r.manifest = coffer.Manifest{Name: name, Volumes: volumes.All(infos)}
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

// veleroVolumes reads Velero's list of volumes. Backups of Velero before 1.13 have none.
func (r *restore) veleroVolumes(ctx context.Context) ([]velero.VolumeInfo, []byte, error) {
	return readVeleroVolumes(ctx, r.location.Container, r.layout.VolumeInfo())
}

// streamVelero reads the tar from its beginning, copies at other versions too, and everything that is read is also written to sum.
func (r *restore) streamVelero(ctx context.Context, sum io.Writer, each func(archive.Object) error) error {
	key := r.layout.Archive()
	blob, err := r.location.Container.Get(ctx, key, 0, -1)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return r.refuse(key, "it is missing")
	}
	if err != nil {
		return err
	}
	source := &source{r: blob}
	read := io.TeeReader(source, sum)
	err = archive.StreamVersions(read, each)
	if err == nil {
		_, err = io.Copy(io.Discard, read)
	}
	if source.err != nil {
		// The store failed to give the bytes: that says nothing against them, and passes.
		err = fmt.Errorf("read %s: %w", key, source.err)
	}
	return errors.Join(err, blob.Close())
}

// source remembers the error that its reader ended with, but for the end.
type source struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
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
		return changedMeanwhile(a.manifest.Name)
	}
	return nil
}
