package flow

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// The steps of a DeleteBackup, as its status names them, beside those it shares with a Backup.
const (
	StepDeletingSnapshots = "DeletingSnapshots"
	StepDeletingArchive   = "DeletingArchive"
)

// Runs knows the run objects of the cluster that a deletion has to look at.
type Runs interface {
	// RestoresOf are the names of Restores and RestoreTests of a recovery point that are not final.
	RestoresOf(ctx context.Context, location, backup string) ([]string, error)
	// BackupUnderway says whether a Backup of this name is not final.
	BackupUnderway(ctx context.Context, location, backup string) (bool, error)
	// NameOfRun is the name and the location of the Backup with a UID; empty if there is none.
	NameOfRun(ctx context.Context, uid string) (location, name string, err error)
	// RemoveBackup removes the Backup object of this name and location, if there is one.
	RemoveBackup(ctx context.Context, location, backup string) error
}

// deletion is one DeleteBackup under way.
type deletion struct {
	Config
	*record
	runs     Runs
	object   *v1alpha1.DeleteBackup
	layout   recoverypoint.Layout
	location Location
}

// DeleteBackup takes a DeleteBackup to its end, or to the first error that may pass by itself: then it is to be called
// again. persist writes the object's status durably; it is never called concurrently.
//
// Snapshots go first and the archive last, for the archive is what says which snapshots there are: a deletion that
// was interrupted can always be taken up again.
func DeleteBackup(ctx context.Context, c Config, runs Runs, object *v1alpha1.DeleteBackup, persist func(context.Context) error) error {
	c = c.withDefaults()
	d := &deletion{
		Config: c,
		record: &record{now: c.Now, log: c.Log, failpoint: c.Failpoint, persist: persist, status: &object.Status.RunStatus},
		runs:   runs, object: object, layout: recoverypoint.LayoutOf(object.Spec.BackupName),
	}
	defer func() {
		if d.location.Close != nil {
			d.location.Close()
		}
	}()
	return d.advance(ctx, d.phases(), rollback{StepRollingBack, func(context.Context) error { return nil }}, cancellation{})
}

func (d *deletion) phases() []phase {
	return []phase{
		{StepValidating, d.validate},
		{StepDeletingSnapshots, d.deleteSnapshots},
		{StepDeletingArchive, d.deleteArchive},
	}
}

// DeleteBackupSteps are the steps that a DeleteBackup can be in.
func DeleteBackupSteps() []string { return stepsOf((&deletion{}).phases()) }

func (d *deletion) open(ctx context.Context) error {
	if d.location.Container != nil {
		return nil
	}
	location, err := d.Settings.Location(ctx, d.object.Spec.StorageLocation)
	if err != nil {
		return err
	}
	d.location = location
	if location.ReadOnly {
		return coffer.Errorf(coffer.CodeDeleteReadOnly, "BackupStorageLocation %s is read-only", location.Name).
			WithHint("delete the recovery point from the cluster that wrote it")
	}
	return nil
}

func (d *deletion) validate(ctx context.Context) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	if err := d.own(ctx, d.location); err != nil {
		return err
	}
	location, name := d.object.Spec.StorageLocation, d.object.Spec.BackupName
	underway, err := d.runs.BackupUnderway(ctx, location, name)
	if err != nil {
		return err
	}
	if underway {
		return coffer.Errorf(coffer.CodeBackupInUse, "backup %s is still being made", name).
			WithHint("wait for it, or cancel it by deleting the Backup object: `kubectl delete -n %s backups.%s %s`", d.object.Namespace, v1alpha1.Group, name)
	}
	if err := d.checkRun(ctx); err != nil {
		return err
	}
	restores, err := d.runs.RestoresOf(ctx, location, name)
	if err != nil {
		return err
	}
	if len(restores) > 0 {
		return coffer.Errorf(coffer.CodeBackupInUse, "recovery point %s is being restored by %v", name, restores).
			WithHint("delete it once they are done")
	}
	_, err = d.snapshots(ctx)
	if coffer.CodeOf(err) == coffer.CodeBackupNotFound && d.object.Spec.Run != "" {
		left, leftErr := d.left(ctx)
		if leftErr != nil || len(left) > 0 {
			return leftErr
		}
	}
	return err
}

// snapshots are the captured volumes of the recovery point. Remains of a backup that was never sealed have none: its
// own rollback deleted them. A manifest that cannot be trusted is an error, for it names what is to be deleted.
func (d *deletion) snapshots(ctx context.Context) ([]coffer.Volume, error) {
	manifest, _, err := readManifest(ctx, d.location, d.object.Spec.BackupName)
	if coffer.CodeOf(err) == coffer.CodeBackupNotFound {
		if _, statErr := d.location.Container.Stat(ctx, d.layout.Claim()); statErr == nil {
			return nil, nil
		} else if !errors.Is(statErr, coffer.ErrBlobNotFound) {
			return nil, statErr
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	var captured []coffer.Volume
	for _, v := range manifest.Volumes {
		if v.Result == coffer.VolumeCaptured {
			captured = append(captured, v)
		}
	}
	return captured, nil
}

func (d *deletion) deleteSnapshots(ctx context.Context) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	captured, err := d.snapshots(ctx)
	if err != nil && (coffer.CodeOf(err) != coffer.CodeBackupNotFound || d.object.Spec.Run == "") {
		return err
	}
	left, err := d.left(ctx)
	if err != nil {
		return err
	}
	d.update(func() { d.object.Status.SnapshotsTotal, d.object.Status.SnapshotsDeleted = len(captured)+len(left), 0 })
	calls, callCtx := errgroup.WithContext(ctx)
	calls.SetLimit(parallelCalls)
	for _, v := range captured {
		calls.Go(func() error {
			if err := d.Snapshots.Destroy(callCtx, v.Driver, v.Handle); err != nil {
				return fmt.Errorf("delete the snapshot of claim %s/%s: %w", v.Namespace, v.Claim, err)
			}
			d.update(func() { d.object.Status.SnapshotsDeleted++ })
			return d.save(callCtx)
		})
	}
	if err := calls.Wait(); err != nil {
		return err
	}
	return d.deleteLeft(ctx, len(left))
}

// deleteArchive removes the blobs, the manifest among them, and the claim last of all: the name is free only when
// everything that bore it is gone.
func (d *deletion) deleteArchive(ctx context.Context) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	// Velero and other clusters stop seeing it first.
	if err := d.location.Container.Delete(ctx, d.layout.VeleroBackup()); err != nil {
		return err
	}
	// The plans and reports of its restores say what was in it.
	for info, err := range d.location.Container.List(ctx, restorerecord.Prefix(d.object.Spec.BackupName)) {
		if err != nil {
			return err
		}
		if err := d.location.Container.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	if err := removeAll(ctx, d.location.Container, d.layout.Prefix(), d.layout.Claim()); err != nil {
		return err
	}
	return d.runs.RemoveBackup(ctx, d.object.Spec.StorageLocation, d.object.Spec.BackupName)
}
