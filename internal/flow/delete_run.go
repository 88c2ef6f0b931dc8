package flow

import (
	"context"
	"errors"
	"regexp"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// runForm is the UID of a run. Part of one would find the snapshots of another run.
var runForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// checkRun refuses to delete what another run has made than the one that is named, if one is.
func (d *deletion) checkRun(ctx context.Context) error {
	run, name := d.object.Spec.Run, d.object.Spec.BackupName
	if run == "" {
		return nil
	}
	if !runForm.MatchString(run) {
		return coffer.Errorf(coffer.CodeInvalid, "run is %.60q, and no UID of a Backup", run)
	}
	location, owner, err := d.runs.NameOfRun(ctx, run)
	if err != nil {
		return err
	}
	if owner != "" && (owner != name || location != d.object.Spec.StorageLocation) {
		return coffer.Errorf(coffer.CodeInvalid, "run %s is the Backup %s, and not %s", run, owner, name)
	}
	made, err := d.madeBy(ctx)
	if err != nil {
		return err
	}
	if made != "" && made != run {
		return coffer.Errorf(coffer.CodeBackupInUse, "what is under the name %s was made by the Backup with UID %s, and not %s", name, made, run).
			WithHint("look again at what is to be deleted")
	}
	return nil
}

// madeBy is the run that has made what is under the name; empty if nothing is.
func (d *deletion) madeBy(ctx context.Context) (string, error) {
	manifest, _, err := readManifest(ctx, d.location, d.object.Spec.BackupName)
	if err == nil {
		return manifest.UID, nil
	}
	if coffer.CodeOf(err) != coffer.CodeBackupNotFound {
		return "", err
	}
	var claim recoverypoint.Claim
	err = getJSON(ctx, d.location.Container, d.layout.Claim(), &claim)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return "", nil
	}
	return claim.Backup, err
}

// left are the snapshots of the run that is named whose API objects are there.
func (d *deletion) left(ctx context.Context) ([]coffer.SnapshotState, error) {
	if d.object.Spec.Run == "" {
		return nil, nil
	}
	states, err := d.Snapshots.Observe(ctx, d.object.Spec.Run)
	if coffer.CodeOf(err) == coffer.CodeSnapshotAPIUnavailable {
		return nil, nil
	}
	return states, err
}

// deleteLeft deletes the snapshots of the run that is named, so many, with their API objects.
func (d *deletion) deleteLeft(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	err := pollUntil(ctx, d.CutTimeout, "delete the snapshots of the run, which takes the csi-snapshotter of their driver and the snapshot-controller",
		func(ctx context.Context) (bool, error) { return d.Snapshots.Discard(ctx, d.object.Spec.Run, nil) })
	if err != nil {
		return err
	}
	d.update(func() { d.object.Status.SnapshotsDeleted += n })
	return d.save(ctx)
}
