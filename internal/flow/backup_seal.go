package flow

import (
	"bytes"
	"context"
	"io"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/volume"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// awaitVolumes waits until every snapshot that was cut can be restored from, and says of each claim in scope what
// became of it. What was not cut or does not become usable in time is skipped, with a warning that says why.
func (b *backup) awaitVolumes(ctx context.Context) ([]coffer.Volume, error) {
	decisions, err := b.decideVolumes(ctx)
	if err != nil {
		return nil, err
	}
	var states map[string]coffer.SnapshotState
	shown := -1
	_, err = poll(ctx, b.ReadyTimeout, func(ctx context.Context) (bool, error) {
		if states, err = b.states(ctx); err != nil {
			return false, err
		}
		ready, waiting := 0, 0
		for _, s := range states {
			if s.Ready {
				ready++
			} else if s.Cut {
				waiting++
			}
		}
		b.update(func() { b.object.Status.Progress.VolumesReady = ready })
		if ready != shown {
			shown = ready
			if err := b.save(ctx); err != nil {
				return false, err
			}
		}
		return waiting == 0, nil
	})
	if err != nil {
		return nil, err
	}
	return b.recordVolumes(decisions, states), nil
}

func (b *backup) recordVolumes(decisions []volume.Decision, states map[string]coffer.SnapshotState) []coffer.Volume {
	volumes := make([]coffer.Volume, 0, len(decisions))
	skipped, bytes := 0, int64(0)
	for _, d := range decisions {
		v := b.recordVolume(d, states)
		if v.Result == coffer.VolumeSkipped {
			skipped++
			if v.Code != "" {
				b.skipVolume(v, v.Code, v.Reason)
			}
		}
		bytes += v.RestoreSize
		volumes = append(volumes, v)
	}
	b.update(func() {
		b.object.Status.Progress.VolumesTotal = len(volumes)
		b.object.Status.Progress.VolumesSkipped = skipped
		b.object.Status.Progress.VolumesReady = len(volumes) - skipped
		b.object.Status.Progress.SnapshotBytes = bytes
	})
	return volumes
}

func (b *backup) recordVolume(d volume.Decision, states map[string]coffer.SnapshotState) coffer.Volume {
	v := d.Volume
	if v.Result == coffer.VolumeSkipped {
		return v
	}
	s, exists := states[snapshotKey(v)]
	problem := s.Problem
	if problem == "" {
		problem = "the CSI driver said nothing"
	}
	skip := func(reason string) coffer.Volume {
		v.Result, v.Code, v.Reason = coffer.VolumeSkipped, coffer.CodeSnapshotTimeout, reason
		return v
	}
	switch {
	case !exists:
		return skip("there is no snapshot of it: the claim came after the snapshots were cut, or its namespace is going away")
	case !s.Cut:
		return skip("the snapshot was not cut within " + b.CutTimeout.String() + ": " + problem)
	case !s.Ready || s.Handle == "":
		return skip("the snapshot was not usable within " + b.ReadyTimeout.String() + ": " + problem)
	}
	cut := s.CutTime
	v.Driver, v.Handle, v.Content, v.RestoreSize, v.CutTime = s.Driver, s.Handle, s.Content, s.RestoreSize, &cut
	return v
}

// seal writes everything beside the archive, and the manifest last: with it, the recovery point exists.
func (b *backup) seal(ctx context.Context, c *collection, archived coffer.BlobDigest, volumes []coffer.Volume) error {
	blobs := []coffer.BlobDigest{archived}
	completed := b.Now().UTC()
	ledger := c.ledger(volumes)
	b.update(func() { b.object.Status.Progress.Namespaces = int64(len(ledger.Namespaces)) })
	captured, partial := 0, len(ledger.Gaps) > 0
	for _, o := range ledger.SkippedObjects {
		partial = partial || o.Code != ""
	}
	for _, v := range volumes {
		if v.Result == coffer.VolumeCaptured {
			captured++
		}
		partial = partial || v.Code != ""
	}
	for _, blob := range []struct {
		key   string
		write func(io.Writer) error
	}{
		{b.layout.Index(), func(w io.Writer) error { _, err := c.index.WriteIndex(w); return err }},
		{b.layout.Coverage(), func(w io.Writer) error { return recoverypoint.WriteZippedJSON(w, ledger) }},
		{b.layout.ResourceList(), func(w io.Writer) error { return recoverypoint.WriteResourceList(w, c.resources) }},
		{b.layout.VolumeInfo(), func(w io.Writer) error { return recoverypoint.WriteVolumeInfo(w, volumes) }},
		{b.layout.Results(), func(w io.Writer) error { return recoverypoint.WriteResults(w, b.warnings()) }},
		{b.layout.VeleroBackup(), func(w io.Writer) error {
			return recoverypoint.WriteVeleroBackup(w, recoverypoint.VeleroBackup{
				Name: b.object.Name, StorageLocation: b.location.Name,
				Filters: b.veleroFilters(),
				Started: b.object.Status.StartTime.UTC(), Completed: completed,
				Objects: c.objects, Warnings: b.object.Status.WarningCount, SnapshotsCompleted: captured,
			})
		}},
	} {
		digest, err := b.put(ctx, blob.key, blob.write)
		if err != nil {
			return err
		}
		blobs = append(blobs, digest)
	}
	if b.Transcript != nil {
		digest, err := b.put(ctx, b.layout.Logs(), func(w io.Writer) error {
			_, err := w.Write(b.Transcript())
			return err
		})
		if err != nil {
			return err
		}
		blobs = append(blobs, digest)
	}
	cluster, err := b.clusterUID(ctx)
	if err != nil {
		return err
	}
	formatVersion, encryption := b.encryption()
	manifest, digest, err := recoverypoint.EncodeManifest(coffer.Manifest{
		FormatVersion: formatVersion, Encryption: encryption,
		Name: b.object.Name, UID: b.run(), Cluster: cluster, Producer: "coffer " + b.Version,
		Started: b.object.Status.StartTime.UTC(), Completed: completed,
		Objects: c.objects, Whole: b.scope.Whole(), Partial: partial,
		Volumes: volumes, Blobs: blobs,
	})
	if err != nil {
		return err
	}
	// What would be refused when it is needed is not made: a blob that went out plain beside encrypted ones, say.
	if _, _, err := recoverypoint.DecodeManifest(b.object.Name, manifest); err != nil {
		return err
	}
	key, err := b.Settings.SigningKey(ctx)
	if err != nil {
		return err
	}
	signature, err := recoverypoint.Sign(key, manifest)
	if err != nil {
		return err
	}
	if _, err := b.location.Container.Put(ctx, b.layout.Signature(), bytes.NewReader(signature)); err != nil {
		return err
	}
	b.update(func() { b.object.Status.Sealing = true })
	if err := b.save(ctx); err != nil {
		return err
	}
	if _, err := b.location.Container.Put(ctx, b.layout.Manifest(), bytes.NewReader(manifest)); err != nil {
		// The store may have kept what it then failed to confirm.
		if _, kept, getErr := readManifest(ctx, b.location, b.object.Name); getErr != nil || kept != digest {
			return err
		}
	}
	b.Log.Info("recovery point sealed", "objects", c.objects, "volumes", captured, "manifest", digest)
	b.update(func() { b.object.Status.ManifestDigest = digest })
	return nil
}

func (b *backup) warnings() []string {
	var lines []string
	for _, w := range b.object.Status.Warnings {
		lines = append(lines, w.Resource+": "+w.Message)
	}
	return lines
}
