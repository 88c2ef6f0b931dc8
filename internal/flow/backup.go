package flow

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/capability"
	"github.com/coffer-backup/coffer/internal/decide/hook"
	"github.com/coffer-backup/coffer/internal/format/encryption"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// The steps of a Backup, as its status names them.
const (
	StepValidating          = "Validating"
	StepSnapshottingVolumes = "SnapshottingVolumes"
	StepCapturingObjects    = "CapturingObjects"
	StepCleaningUp          = "CleaningUp"
	StepRollingBack         = "RollingBack"
)

// backup is one Backup under way.
type backup struct {
	Config
	*record
	object   *v1alpha1.Backup
	layout   recoverypoint.Layout
	location Location
	// keys are what is encrypted with, if anything is; see readKeys.
	keys *encryption.Keys
	// scope is set by look.
	scope *scope
	// turns are of the namespaces whose pods the run may freeze now, and of those that it has yet to thaw.
	turns heldTurns
}

// Backup takes a Backup to its end, or to the first error that may pass by itself: then it is to be called again.
// persist writes the object's status durably; it is never called concurrently.
func Backup(ctx context.Context, c Config, object *v1alpha1.Backup, persist func(context.Context) error) error {
	b := newBackup(c, object, persist)
	defer b.close()
	defer b.turns.giveAll()
	return b.advance(ctx, b.phases(), rollback{StepRollingBack, b.rollBackAll}, cancellation{
		asked:    object.Spec.Cancel,
		possible: b.unsealed,
		message:  "cancelled as asked; nothing is left of it",
	})
}

func (b *backup) phases() []phase {
	return []phase{
		{StepValidating, b.validate},
		{StepSnapshottingVolumes, b.snapshotVolumes},
		{StepCapturingObjects, b.capture},
		{StepCleaningUp, b.cleanUp},
	}
}

// BackupSteps are the steps that a Backup can be in.
func BackupSteps() []string { return stepsOf((&backup{}).phases()) }

// CancelBackup undoes what a Backup that is not final has done so far: frozen pods are thawed, its snapshots and
// blobs removed. It is called when the object is being deleted.
func CancelBackup(ctx context.Context, c Config, object *v1alpha1.Backup, persist func(context.Context) error) error {
	b := newBackup(c, object, persist)
	defer b.close()
	defer b.turns.giveAll()
	err := b.rollBackAll(ctx)
	if coffer.Final(err) {
		return nil
	}
	return err
}

func newBackup(c Config, object *v1alpha1.Backup, persist func(context.Context) error) *backup {
	c = c.withDefaults()
	return &backup{
		Config: c,
		record: &record{now: c.Now, log: c.Log, failpoint: c.Failpoint, persist: persist, status: &object.Status.RunStatus},
		object: object,
		layout: recoverypoint.LayoutOf(object.Name),
		turns:  heldTurns{of: c.Freezing},
	}
}

// run identifies the run in the names of everything it makes.
func (b *backup) run() string { return string(b.object.UID) }

func (b *backup) snapshotsWanted() bool {
	return b.object.Spec.SnapshotVolumes == nil || *b.object.Spec.SnapshotVolumes
}

func (b *backup) close() {
	if b.location.Close != nil {
		b.location.Close()
	}
}

// open opens the storage location once.
func (b *backup) open(ctx context.Context) error {
	if b.location.Container != nil {
		return nil
	}
	location, err := b.Settings.Location(ctx, b.object.Spec.StorageLocation)
	if err != nil {
		return err
	}
	b.location = location
	return nil
}

// validate refuses what cannot succeed, before anything is written, and then claims the recovery point's name.
func (b *backup) validate(ctx context.Context) error {
	for _, l := range b.looks() {
		if err := l.do(ctx); err != nil {
			return err
		}
	}
	return b.claimName(ctx)
}

// looks are what a backup has to find in order before it begins. None writes anything but the mark of a container's owner.
func (b *backup) looks() []look {
	location, found := []string{capability.StorageLocation}, []string{capability.Request, capability.ResourceTypes}
	looks := []look{
		{name: capability.Request, do: func(context.Context) error { return CheckBackup(b.object.Spec, b.Namespace) }},
		{name: capability.StorageLocation, resource: "BackupStorageLocation " + b.object.Spec.StorageLocation, do: b.open, otherwise: coffer.CodeLocationNotReady},
		{name: capability.Writable, needs: location, do: b.checkWritable},
		{name: capability.EncryptionKeys, needs: location, do: b.readKeys},
		{name: capability.Owner, needs: []string{capability.StorageLocation, capability.Writable}, do: b.ownLocation, otherwise: coffer.CodeLocationNotReady},
		{name: capability.ResourceTypes, needs: []string{capability.Request}, do: b.lookAround},
		{name: capability.Namespaces, needs: found, do: b.checkNamespaces},
		{name: capability.Objects, needs: found, do: b.checkPicks},
	}
	var hooks []v1alpha1.RunHook
	for _, ref := range b.object.Spec.BackupHookReferences {
		looks = append(looks, look{name: capability.Hook, resource: "BackupHook " + ref.Namespace + "/" + ref.Name, do: func(ctx context.Context) error {
			h, err := b.readHook(ctx, ref)
			if err != nil {
				return err
			}
			hooks = append(hooks, h)
			b.update(func() { b.object.Status.BackupHooks = hooks })
			return nil
		}})
	}
	return looks
}

func (b *backup) checkWritable(context.Context) error {
	if !b.location.ReadOnly {
		return nil
	}
	return coffer.Errorf(coffer.CodeLocationReadOnly, "BackupStorageLocation %s is read-only", b.location.Name).
		WithHint("choose another with storageLocation, or set its readOnly to false")
}

func (b *backup) ownLocation(ctx context.Context) error { return b.own(ctx, b.location) }

var namespaceType = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "namespaces"}, Version: "v1", Kind: "Namespace"}

// readHook reads a hook as it is taken into the status: the run goes by that from here on.
func (b *backup) readHook(ctx context.Context, ref v1alpha1.NamespacedReference) (v1alpha1.RunHook, error) {
	h, err := b.Settings.BackupHook(ctx, ref)
	if err != nil {
		return v1alpha1.RunHook{}, err
	}
	return v1alpha1.RunHook{NamespacedReference: ref, Spec: h.Spec}, hook.CheckBackup(h)
}

func (b *backup) hooks() []v1alpha1.BackupHook {
	hooks := make([]v1alpha1.BackupHook, 0, len(b.object.Status.BackupHooks))
	for _, h := range b.object.Status.BackupHooks {
		hooks = append(hooks, v1alpha1.BackupHook{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: h.Name}, Spec: h.Spec})
	}
	return hooks
}

// claimName reserves the name in the container for this run, so that no two runs write under one name, whichever
// cluster they run in.
func (b *backup) claimName(ctx context.Context) error {
	cluster, err := b.clusterUID(ctx)
	if err != nil {
		return err
	}
	mine := recoverypoint.Claim{Backup: b.run(), Cluster: cluster}
	err = putJSON(ctx, b.location.Container, b.layout.Claim(), mine)
	if !errors.Is(err, coffer.ErrBlobExists) {
		return err
	}
	var claim recoverypoint.Claim
	if err := getJSON(ctx, b.location.Container, b.layout.Claim(), &claim); err != nil {
		return err
	}
	if claim == mine {
		return nil
	}
	return coffer.Errorf(coffer.CodeBackupExists, "a recovery point named %s is already in BackupStorageLocation %s", b.object.Name, b.location.Name).
		WithHint("choose another name, or delete that one with `coffer backup delete %s`", b.object.Name)
}

// cleanUp leaves no API object of the snapshots behind. The snapshots that the recovery point holds stay on the
// storage; those that were cut too late for it are deleted.
func (b *backup) cleanUp(ctx context.Context) error {
	if err := b.open(ctx); err != nil {
		return err
	}
	manifest, _, err := readManifest(ctx, b.location, b.object.Name)
	if err != nil {
		return err
	}
	held := map[string]bool{}
	for _, v := range manifest.Volumes {
		if v.Result == coffer.VolumeCaptured {
			held[v.Handle] = true
		}
	}
	tooLate := func(s coffer.SnapshotState) bool { return !held[s.Handle] }
	err = b.removeSnapshots(ctx, "delete the snapshots that were cut too late", func(ctx context.Context) (bool, error) {
		return b.Snapshots.Discard(ctx, b.run(), tooLate)
	})
	if err != nil {
		return err
	}
	return b.releaseSnapshots(ctx)
}

// releaseSnapshots removes the API objects of the run's snapshots, and keeps their data.
func (b *backup) releaseSnapshots(ctx context.Context) error {
	return b.removeSnapshots(ctx, "remove the VolumeSnapshot objects", func(ctx context.Context) (bool, error) {
		return b.Snapshots.Release(ctx, b.run(), nil)
	})
}

// removeSnapshots waits for a removal to be complete, if the cluster knows of snapshots at all. Others do the work, and the
// message of one that stays undone says who.
func (b *backup) removeSnapshots(ctx context.Context, what string, remove func(context.Context) (bool, error)) error {
	err := pollUntil(ctx, b.CutTimeout, what+", which takes the csi-snapshotter of their driver and the snapshot-controller", remove)
	if coffer.CodeOf(err) == coffer.CodeSnapshotAPIUnavailable {
		return nil
	}
	return err
}

// rollBackAll thaws every frozen pod, and removes the snapshots and blobs of this run and of no other. Thawing comes
// first and waits for nothing. What cannot be done for good does not keep the rest from being done. A recovery point
// that was sealed stays, with its snapshots.
func (b *backup) rollBackAll(ctx context.Context) error {
	var failed []error
	for _, undo := range []func(context.Context) error{b.thawAll, b.undoPoint} {
		err := undo(ctx)
		if err != nil && !coffer.Final(err) {
			return err
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (b *backup) undoPoint(ctx context.Context) error {
	sealed, err := b.sealed(ctx)
	switch {
	case coffer.CodeOf(err) == coffer.CodeLocationNotFound:
		// Nobody will ever know: what may be somebody's only copy is kept on the storage.
		return errors.Join(err, b.releaseSnapshots(ctx))
	case err != nil:
		return err
	case sealed:
		return b.cleanUp(ctx)
	}
	err = b.discardSnapshots(ctx)
	if err != nil && !coffer.Final(err) {
		return err
	}
	return errors.Join(err, b.removeBlobs(ctx))
}

// sealed says whether this run has made a recovery point. While that cannot be known, the error is one to try again:
// snapshots must not be deleted on a guess.
func (b *backup) sealed(ctx context.Context) (bool, error) {
	if !b.object.Status.Sealing {
		return false, nil
	}
	if err := b.open(ctx); coffer.CodeOf(err) == coffer.CodeLocationNotFound {
		return false, err
	} else if err != nil {
		return false, fmt.Errorf("find out whether the recovery point was sealed: %v", err) //nolint:errorlint // Not final, whatever its code.
	}
	manifest, _, err := readManifest(ctx, b.location, b.object.Name)
	switch {
	case coffer.CodeOf(err) == coffer.CodeBackupNotFound:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("find out whether the recovery point was sealed: %v", err) //nolint:errorlint // Not final, whatever its code.
	}
	return manifest.UID == b.run(), nil
}

// unsealed says that a cancellation is not too late: a recovery point that exists is completed, and deleted if unwanted.
func (b *backup) unsealed(ctx context.Context) (bool, error) {
	sealed, err := b.sealed(ctx)
	if coffer.Final(err) {
		return true, nil
	}
	return !sealed, err
}

func (b *backup) discardSnapshots(ctx context.Context) error {
	return b.removeSnapshots(ctx, "delete the snapshots of the run", func(ctx context.Context) (bool, error) {
		return b.Snapshots.Discard(ctx, b.run(), nil)
	})
}

func (b *backup) removeBlobs(ctx context.Context) error {
	if err := b.open(ctx); err != nil {
		return err
	}
	var claim recoverypoint.Claim
	err := getJSON(ctx, b.location.Container, b.layout.Claim(), &claim)
	if errors.Is(err, coffer.ErrBlobNotFound) || err == nil && claim.Backup != b.run() {
		return nil
	}
	if err != nil {
		return err
	}
	return removeAll(ctx, b.location.Container, b.layout.Prefix(), b.layout.Claim())
}
