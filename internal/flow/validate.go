package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/capability"
)

// look is one thing that a run looks at before it begins: the run ends with the error of the first, a validation has a check of
// each.
type look struct {
	// name of the check, and the object that is looked at.
	name, resource string
	// needs are the names of those without which there is nothing to look at.
	needs []string
	do    func(ctx context.Context) error
	// otherwise is the code of an error that has none of its own. Empty is CodeServerError.
	otherwise coffer.Code
	// long says that it may take as long as it takes: it reads a recovery point.
	long bool
	// found is what was found if nothing is wrong; empty is nothing to say.
	found string
	// several says that do itself adds the checks.
	several bool
}

const (
	// lookTimeout bounds a look of a validation: somebody waits for the answer, and a vault for three quarters of a minute.
	lookTimeout = 30 * time.Second
	// lookAttempts is how often something is looked at that gives an error which may pass by itself.
	lookAttempts = 3
)

// survey is one ValidateForBackup or ValidateForRestore under way.
type survey struct {
	Config
	*record
	checks *[]v1alpha1.Check

	rows []v1alpha1.Check
	// failed are the names of checks that did not pass.
	failed map[string]bool
	// warnings are those of the run that is imitated, of the look that is being made.
	warnings []v1alpha1.Warning
}

// ValidateForBackup takes a validation to its end: it makes every check that a Backup of the spec would make before it begins, and
// more. Errors are of writing the status; then it is to be called again, and begins anew. persist writes the object's status
// durably.
func ValidateForBackup(ctx context.Context, c Config, object *v1alpha1.ValidateForBackup, persist func(context.Context) error) error {
	v := newSurvey(c, &object.Status, persist)
	return v.run(ctx, func(ctx context.Context) {
		b := newBackup(c, &v1alpha1.Backup{ObjectMeta: *object.ObjectMeta.DeepCopy(), Spec: *object.Spec.Backup.DeepCopy()}, unkept)
		defer b.close()
		b.warned = v.heard
		v.backup(ctx, b)
	})
}

// ValidateForRestore is ValidateForBackup for a Restore. It reads the recovery point as the restore would.
func ValidateForRestore(ctx context.Context, c Config, object *v1alpha1.ValidateForRestore, persist func(context.Context) error) error {
	v := newSurvey(c, &object.Status, persist)
	return v.run(ctx, func(ctx context.Context) {
		r := newRestore(c, &v1alpha1.Restore{ObjectMeta: *object.ObjectMeta.DeepCopy(), Spec: *object.Spec.Restore.DeepCopy()}, unkept)
		defer r.close()
		r.warned = v.heard
		v.restore(ctx, r)
	})
}

// unkept is for the status of a run that there is none of.
func unkept(context.Context) error { return nil }

func newSurvey(c Config, status *v1alpha1.ValidationStatus, persist func(context.Context) error) *survey {
	c = c.withDefaults()
	return &survey{
		Config: c, checks: &status.Checks, failed: map[string]bool{},
		record: &record{now: c.Now, log: c.Log, failpoint: c.Failpoint, persist: persist, status: &status.RunStatus},
	}
}

// run makes the checks and writes them down, all at once.
func (v *survey) run(ctx context.Context, look func(context.Context)) error {
	if v.status.Phase.Final() {
		return nil
	}
	if v.status.Phase == "" {
		now := metav1.NewTime(v.now().Truncate(time.Second))
		v.status.Phase, v.status.Step, v.status.StartTime = v1alpha1.RunInProgress, StepValidating, &now
		v.setCondition(metav1.ConditionUnknown)
		if err := v.save(ctx); err != nil {
			return err
		}
	}
	look(ctx)
	if ctx.Err() != nil {
		// What was found is of a process that is told to end.
		return ctx.Err()
	}
	phase, code, counts := capability.Verdict(v.rows)
	now := metav1.NewTime(v.now())
	*v.checks = capability.Bounded(v.rows)
	v.status.Phase, v.status.Reason, v.status.Message, v.status.CompletionTime = phase, "Succeeded", counts, &now
	condition := metav1.ConditionTrue
	if phase == v1alpha1.RunFailed {
		v.status.Reason, condition = code, metav1.ConditionFalse
	}
	v.setCondition(condition)
	return v.save(ctx)
}

// heard is told of the warnings of the run that is imitated.
func (v *survey) heard(w v1alpha1.Warning) { v.warnings = append(v.warnings, w) }

// add adds checks.
func (v *survey) add(checks ...v1alpha1.Check) {
	for _, c := range checks {
		v.log.Info("checked", "check", c.Name, "status", c.Status, "resource", c.Resource, "code", c.Code, "message", c.Message)
		if c.Status == v1alpha1.CheckFailed || c.Status == v1alpha1.CheckSkipped {
			v.failed[c.Name] = true
		}
	}
	v.rows = append(v.rows, checks...)
}

// make makes one look a check, and answers whether it passed. What it warned of is a check each.
func (v *survey) make(ctx context.Context, l look) bool {
	for _, name := range l.needs {
		if v.failed[name] {
			v.add(capability.Skipped(l.name, l.resource, "it takes "+name+", which did not pass"))
			return false
		}
	}
	err := v.try(ctx, l)
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil:
		otherwise := l.otherwise
		if otherwise == "" {
			otherwise = coffer.CodeServerError
		}
		v.add(capability.Refused(l.name, l.resource, err, otherwise))
	case !l.several:
		v.add(capability.Passed(l.name, l.resource, l.found))
	}
	for _, w := range v.warnings {
		v.add(capability.Warned(l.name, w))
	}
	return err == nil
}

// try looks again if what went wrong may have passed.
func (v *survey) try(ctx context.Context, l look) error {
	if !l.long {
		bounded, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		ctx = bounded
	}
	pause, before := v.RetryPause, len(v.rows)
	for attempt := 1; ; attempt++ {
		v.rows, v.warnings = v.rows[:before], nil
		err := l.do(ctx)
		if err == nil || coffer.Final(err) || attempt == lookAttempts {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, fmt.Errorf("there was no answer within %s", lookTimeout))
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// about are the checks of every validation.
func (v *survey) about(ctx context.Context) {
	v.add(capability.Passed(capability.Extension, "Deployment "+v.Namespace+"/coffer-extension", "the Backup extension runs, version "+v.Version))
	var release string
	if err := v.try(ctx, look{do: func(ctx context.Context) (err error) { release, err = v.Cluster.Release(ctx); return err }}); err != nil {
		v.add(capability.Refused(capability.Kubernetes, "", err, coffer.CodeServerError))
	} else {
		v.add(capability.Supported(release))
	}
	v.make(ctx, look{name: capability.SigningKey, do: func(ctx context.Context) error {
		_, err := v.Settings.SigningKey(ctx)
		return err
	}})
}

// backup makes the checks of a backup.
func (v *survey) backup(ctx context.Context, b *backup) {
	v.about(ctx)
	for _, l := range b.looks() {
		if v.make(ctx, l) && l.name == capability.Owner {
			v.make(ctx, look{name: capability.Writable, resource: "BackupStorageLocation " + b.location.Name, otherwise: coffer.CodeLocationNotReady, do: func(ctx context.Context) error {
				return TryWriting(ctx, b.location.Container, "metadata/coffer-check-"+b.run())
			}, found: "a blob was written, was not overwritten, and was deleted"})
		}
	}
	v.volumes(ctx, b)
	v.access(ctx, b)
	if b.scope != nil {
		v.add(capability.Velero(b.scope.types))
	}
}

// volumes checks whether the data of the claims in scope would be captured.
func (v *survey) volumes(ctx context.Context, b *backup) {
	if !b.snapshotsWanted() {
		v.add(capability.Skipped(capability.SnapshotAPI, "", "the backup was asked for no volume data (snapshotVolumes: false)"))
		return
	}
	v.make(ctx, look{several: true, name: capability.Volumes, needs: []string{capability.Request, capability.ResourceTypes}, do: func(ctx context.Context) error {
		decisions, err := b.decideVolumes(ctx)
		if err != nil {
			return err
		}
		classes, err := b.Snapshots.Classes(ctx)
		if err != nil && coffer.CodeOf(err) != coffer.CodeSnapshotAPIUnavailable {
			return err
		}
		v.add(capability.Snapshots(decisions, classes, err)...)
		if !slices.ContainsFunc(v.rows, func(c v1alpha1.Check) bool {
			return c.Name == capability.SnapshotAPI && c.Status == v1alpha1.CheckPassed
		}) {
			return nil
		}
		snapshots := []coffer.GroupResource{
			{Group: snapshotGroup, Resource: "volumesnapshots"}, {Group: snapshotGroup, Resource: "volumesnapshotcontents"}, {Group: snapshotGroup, Resource: "volumesnapshotclasses"},
		}
		return v.allowed(ctx, "create", snapshots, true)
	}})
}

const snapshotGroup = "snapshot.storage.k8s.io"

// access checks whether the extension may read what is selected, and run the hooks.
func (v *survey) access(ctx context.Context, b *backup) {
	v.make(ctx, look{several: true, name: capability.Permissions, needs: []string{capability.Request, capability.ResourceTypes}, do: func(ctx context.Context) error {
		var types []coffer.GroupResource
		for _, t := range b.scope.types {
			if b.scope.Type(t).Include {
				types = append(types, t.GroupResource)
			}
		}
		if err := v.allowed(ctx, "list", types, false); err != nil || len(b.object.Spec.BackupHookReferences) == 0 {
			return err
		}
		return v.allowed(ctx, "create", []coffer.GroupResource{{Resource: "pods/exec"}}, true)
	}})
}

// allowed checks whether the extension may do something in all namespaces.
func (v *survey) allowed(ctx context.Context, verb string, types []coffer.GroupResource, essential bool) error {
	forbidden, err := v.Cluster.Forbidden(ctx, verb, "", types)
	if err != nil {
		return err
	}
	v.add(capability.Access(verb, "", forbidden, essential))
	return nil
}

// restore makes the checks of a restore.
func (v *survey) restore(ctx context.Context, r *restore) {
	v.about(ctx)
	for _, l := range r.looks() {
		v.make(ctx, l)
	}
	for _, w := range r.unmatched {
		v.add(capability.Warned(capability.Selection, v1alpha1.Warning{Code: string(coffer.CodeNothingMatches), Resource: w.Subject, Message: w.Message}))
	}
	drafted := []string{capability.Selection}
	v.make(ctx, look{several: true, name: capability.Volumes, needs: drafted, do: func(ctx context.Context) error { return v.restoredVolumes(ctx, r) }})
	v.make(ctx, look{several: true, name: capability.Versions, needs: drafted, do: func(context.Context) error {
		v.add(capability.Served(r.draft)...)
		return nil
	}})
	v.make(ctx, look{several: true, name: capability.Namespaces, needs: drafted, do: func(ctx context.Context) error { return v.targets(ctx, r) }})
}

var driverType = coffer.ResourceType{
	GroupResource: coffer.GroupResource{Group: "storage.k8s.io", Resource: "csidrivers"}, Version: "v1", Kind: "CSIDriver",
}

// restoredVolumes checks whether the volumes can be made of their snapshots here.
func (v *survey) restoredVolumes(ctx context.Context, r *restore) error {
	drivers, err := list[storagev1.CSIDriver](ctx, v.Cluster, driverType, "")
	if err != nil {
		return err
	}
	names := make([]string, len(drivers))
	for i := range drivers {
		names[i] = drivers[i].Name
	}
	unavailable := v.Snapshots.Available(ctx)
	if unavailable != nil && coffer.CodeOf(unavailable) != coffer.CodeSnapshotAPIUnavailable {
		return unavailable
	}
	classes, err := list[storagev1.StorageClass](ctx, v.Cluster, classType, "")
	if err != nil {
		return err
	}
	present := make([]string, len(classes))
	for i := range classes {
		present[i] = classes[i].Name
	}
	v.add(capability.Restored(r.draft, names, unavailable)...)
	v.add(capability.Classes(r.draft, r.changes.classes, present)...)
	return nil
}

// targets checks the namespaces that are written to: whether they are there to stay, or may be made, and whether cluster-scoped
// objects may.
func (v *survey) targets(ctx context.Context, r *restore) error {
	all, err := list[corev1.Namespace](ctx, v.Cluster, namespaceType, "")
	if err != nil {
		return err
	}
	there := map[string]corev1.Namespace{}
	for _, n := range all {
		there[n.Name] = n
	}
	var terminating, missing []string
	for _, name := range r.draft.Namespaces {
		n, exists := there[name]
		switch {
		case !exists:
			missing = append(missing, name)
		case n.DeletionTimestamp != nil:
			terminating = append(terminating, name)
		}
	}
	v.add(capability.Terminating(r.draft.Namespaces, terminating)...)
	if len(missing) > 0 {
		if err := v.allowed(ctx, "create", []coffer.GroupResource{namespaceType.GroupResource}, true); err != nil {
			return err
		}
	}
	var wide []coffer.GroupResource
	for _, s := range r.draft.Steps {
		if t := s.Target.GroupResource; s.Writes() && s.Target.Namespace == "" && t != namespaceType.GroupResource && !slices.Contains(wide, t) {
			wide = append(wide, t)
		}
	}
	if len(wide) == 0 {
		return nil
	}
	return v.allowed(ctx, "create", wide, false)
}

// TryWriting writes a blob, and again, which must be refused, and removes it: a store on which that is not so keeps no recovery
// point safe.
func TryWriting(ctx context.Context, c coffer.Container, key string) error {
	if err := c.Delete(ctx, key); err != nil {
		return err
	}
	if _, err := c.Put(ctx, key, strings.NewReader("coffer was here\n")); err != nil {
		return err
	}
	_, again := c.Put(ctx, key, strings.NewReader("coffer was here too\n"))
	if err := c.Delete(ctx, key); err != nil {
		return err
	}
	switch {
	case errors.Is(again, coffer.ErrBlobExists):
		return nil
	case again == nil:
		return coffer.Errorf(coffer.CodeLocationNotReady, "the store replaced a blob that it was asked not to replace").
			WithHint("use a store that honours If-None-Match: without it no recovery point is safe from being overwritten")
	}
	return again
}
