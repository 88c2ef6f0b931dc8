package flow

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/check"
	"github.com/coffer-backup/coffer/internal/decide/quiet"
)

// The steps of a RestoreTest, as its status names them, beside those it shares with a Restore.
const (
	StepRunningChecks = "RunningChecks"
	StepReporting     = "Reporting"
)

// restoreTest is one RestoreTest under way: a restore into namespaces of its own, and what comes after it. The Restore that it
// embeds is no object of the cluster; its status is a part of the test's.
type restoreTest struct {
	*restore
	test *v1alpha1.RestoreTest
}

// RestoreTest takes a RestoreTest to its end, or to the first error that may pass by itself: then it is to be called again.
// persist writes the object's status durably; it is never called concurrently.
//
// Whatever the end, nothing is left of what was restored, unless the spec asks to keep it: then CancelRestoreTest removes it. What
// could not be removed in time is a warning, and KeepsTraces answers true.
func RestoreTest(ctx context.Context, c Config, test *v1alpha1.RestoreTest, persist func(context.Context) error) error {
	t := newRestoreTest(c, test, persist)
	defer t.close()
	return t.advance(ctx, t.phases(), rollback{StepRollingBack, t.undo}, cancellation{
		asked:    test.Spec.Cancel,
		possible: func(context.Context) (bool, error) { return true, nil },
		message:  "cancelled as asked; what it had made was removed",
	})
}

func (t *restoreTest) phases() []phase {
	return []phase{
		{StepValidating, t.validate},
		{StepPlanning, t.makePlan},
		{StepRestoringObjects, t.apply},
		{StepWaitingForVolumes, t.whileSound(t.awaitVolumes)},
		{StepRunningHooks, t.whileSound(t.runHooks)},
		{StepAwaitingReadiness, t.whileSound(t.awaitReady)},
		{StepRunningChecks, t.whileSound(t.runChecks)},
		{StepReporting, t.report},
		{StepCleaningUp, t.cleanUp},
	}
}

// RestoreTestSteps are the steps that a RestoreTest can be in.
func RestoreTestSteps() []string { return stepsOf((&restoreTest{}).phases()) }

// CancelRestoreTest removes everything that a RestoreTest has made, also one that has ended and kept it. It is called when the
// object is being deleted.
func CancelRestoreTest(ctx context.Context, c Config, test *v1alpha1.RestoreTest, persist func(context.Context) error) error {
	t := newRestoreTest(c, test, persist)
	defer t.close()
	left, err := t.remove(ctx)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("not removed yet: %s", strings.Join(textsOf(left), "; "))
	}
	return err
}

// KeepsTraces says that a RestoreTest, ended or not, has something in the cluster that is to be removed before the object goes.
func KeepsTraces(test *v1alpha1.RestoreTest) bool { return len(test.Status.ScratchNamespaces) > 0 }

// CheckRestoreTest refuses what can be seen to be wrong with a request without asking a cluster or a container.
func CheckRestoreTest(spec v1alpha1.RestoreTestSpec) error {
	if err := CheckRestore(restoreOf(spec)); err != nil {
		return err
	}
	return check.Valid(spec.Checks)
}

// restoreOf is the restore that a test makes, but for its namespaces, which depend on the recovery point. Conflicts fail: in
// namespaces of the run's own there are none, and what a predecessor has made is known by its field manager.
func restoreOf(spec v1alpha1.RestoreTestSpec) v1alpha1.RestoreSpec {
	clusterScope := false
	return v1alpha1.RestoreSpec{
		StorageLocation: spec.StorageLocation, BackupName: spec.BackupName,
		IncludedNamespaces: spec.IncludedNamespaces, ExcludedNamespaces: spec.ExcludedNamespaces,
		IncludedResourceTypes: spec.IncludedResourceTypes, ExcludedResourceTypes: spec.ExcludedResourceTypes,
		LabelSelectors: spec.LabelSelectors, OrLabelSelectors: spec.OrLabelSelectors,
		IncludeClusterScopeResources: &clusterScope,
		PersistentVolumeRestoreMode:  spec.PersistentVolumeRestoreMode, StorageClassMappings: spec.StorageClassMappings,
		ResourceModifierReference: spec.ResourceModifierReference, RestoreHookReferences: spec.RestoreHookReferences,
		ConflictPolicy: v1alpha1.ConflictFail, ReadyTimeout: spec.ReadyTimeout,
	}
}

func newRestoreTest(c Config, test *v1alpha1.RestoreTest, persist func(context.Context) error) *restoreTest {
	object := &v1alpha1.Restore{
		ObjectMeta: metav1.ObjectMeta{Namespace: test.Namespace, Name: test.Name, UID: test.UID},
		Spec:       restoreOf(test.Spec), Status: *test.Status.RestoreStatus.DeepCopy(),
	}
	t := &restoreTest{test: test}
	t.restore = newRestore(c, object, func(ctx context.Context) error {
		test.Status.RestoreStatus = object.Status
		return persist(ctx)
	})
	t.warned = t.noteFailure
	t.isolated = &isolation{
		Policy:   quiet.Policy{CustomResources: test.Spec.IncludeCustomResources, Jobs: test.Spec.RunJobs, External: test.Spec.AllowExternal},
		run:      t.run(),
		excluded: quiet.Excluded(test.Spec.IncludedNamespaces, c.Namespace),
	}
	return t
}

// validate refuses a test that cannot be carried out to its end: nothing has been written by then.
func (t *restoreTest) validate(ctx context.Context) error {
	if err := CheckRestoreTest(t.test.Spec); err != nil {
		return err
	}
	forbidden, err := t.Cluster.Forbidden(ctx, "create", "", []coffer.GroupResource{namespaceType.GroupResource})
	if err != nil {
		return err
	}
	if len(forbidden) > 0 {
		return coffer.Errorf(coffer.CodeForbidden, "a restore test makes namespaces of its own, and the Backup extension is not allowed to").
			WithHint("install it with permissions.profile whole-cluster, or test in another cluster whose extension reads the same location")
	}
	if err := t.restore.validate(ctx); err != nil {
		return err
	}
	for _, c := range t.test.Spec.Checks {
		if !slices.Contains(t.draft.Namespaces, t.request.Mappings[c.Namespace]) {
			return coffer.Errorf(coffer.CodeNamespaceNotFound, "check %q is made in namespace %q, of which this test restores nothing", c.Name, c.Namespace).
				WithHint("recovery point %s has the namespaces %v", t.manifest.Name, t.namespaces())
		}
	}
	if _, err := t.openRecords(ctx); coffer.Final(err) {
		return coffer.Errorf(coffer.CodeReportNotStored, "nothing was restored, for there is no location to store the report of the test in: %w", err).
			WithHint("make a BackupStorageLocation that this cluster may write to")
	} else if err != nil {
		return err
	}
	_, err = t.Settings.SigningKey(ctx)
	return err
}

// apply notes what there will be to remove before there is any of it.
func (t *restoreTest) apply(ctx context.Context) error {
	if err := t.prepare(ctx); err != nil {
		return err
	}
	const named = 50
	names := t.plan.Namespaces[:min(named, len(t.plan.Namespaces))]
	t.update(func() { t.test.Status.ScratchNamespaces, t.test.Status.Failures = slices.Clone(names), nil })
	if err := t.save(ctx); err != nil {
		return err
	}
	return t.restore.apply(ctx)
}

// awaitVolumes waits for the claims. One that no pod uses, of a class that waits for a pod, stays unproved: that is no failure.
func (t *restoreTest) awaitVolumes(ctx context.Context) error {
	pending, err := t.awaitBound(ctx)
	if err != nil {
		return err
	}
	used, err := t.inUse(ctx, pending)
	if err != nil {
		return err
	}
	inUse := map[coffer.ObjectRef]bool{}
	for _, s := range used {
		inUse[s.Target] = true
	}
	for _, s := range pending {
		if inUse[s.Target] {
			t.warn(coffer.CodeVolumePending, s.Target.String(), fmt.Sprintf("the claim was not bound to a volume made of snapshot %s within %s", s.Volume.Handle, t.BindTimeout))
		} else {
			t.warn(coffer.CodeVolumeNotTested, s.Target.String(), "its data was not tested: no pod uses the claim, and its storage class makes volumes for pods only")
		}
	}
	if err := t.warnOfForeign(ctx); err != nil {
		return err
	}
	return t.save(ctx)
}

// failing are the warnings of a restore that fail a test.
var failing = []coffer.Code{
	coffer.CodeObjectFailed, coffer.CodeVolumePending, coffer.CodeVolumeForeign, coffer.CodeWorkloadNotReady, coffer.CodeHookFailed, coffer.CodeRestoreCheckFailed,
}

// noteFailure keeps the warnings that fail the test apart from the others, of which there may be too many. The lock is held.
func (t *restoreTest) noteFailure(w v1alpha1.Warning) {
	have := &t.test.Status.Failures
	if slices.Contains(failing, coffer.Code(w.Code)) && len(*have) < v1alpha1.MaxWarnings && !slices.Contains(*have, w) {
		*have = append(*have, w)
	}
}

// whileSound is a phase that is of no use once the test has failed. That a check does not hold says nothing of the others: a process
// that takes over makes those.
func (t *restoreTest) whileSound(do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if slices.ContainsFunc(t.test.Status.Failures, func(w v1alpha1.Warning) bool { return w.Code != string(coffer.CodeRestoreCheckFailed) }) {
			return nil
		}
		return do(ctx)
	}
}

// report stores what was found. A test that has failed ends here.
func (t *restoreTest) report(ctx context.Context) error {
	if err := t.storeTest(ctx); err != nil {
		return err
	}
	failures := t.test.Status.Failures
	if len(failures) == 0 {
		return nil
	}
	const shown = 5
	var texts []string
	for _, f := range failures[:min(shown, len(failures))] {
		texts = append(texts, findingText(f))
	}
	if more := len(failures) - shown; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return coffer.Errorf(coffer.Code(failures[0].Code), "the recovery point does not restore: %s", strings.Join(texts, "; "))
}

func findingText(w v1alpha1.Warning) string {
	if w.Resource == "" {
		return w.Message
	}
	return w.Resource + ": " + w.Message
}

// undo stores what was found, if anything was, and removes everything.
func (t *restoreTest) undo(ctx context.Context) error {
	cancelled := t.status.Reason == string(coffer.CodeCancelled)
	if !cancelled && t.proves() {
		t.update(func() { t.test.Status.Outcome = v1alpha1.RestoreTestFailed })
	}
	if !cancelled && t.test.Status.TestReport == nil && t.proves() {
		err := t.storeTest(ctx)
		if err != nil && !coffer.Final(err) {
			return err
		}
		if err != nil {
			t.warnOfReport(err)
		}
	}
	if t.test.Spec.Keep && !cancelled {
		return nil
	}
	return t.clear(ctx)
}

// unproving are the errors that say something of the cluster, or of what was asked for, and nothing of the recovery point.
var unproving = []coffer.Code{
	coffer.CodeObjectsExist, coffer.CodeForbidden, coffer.CodeNamespaceTerminating, coffer.CodePlanChanged, coffer.CodeReportNotStored,
	coffer.CodeInvalid, coffer.CodeLocationNotFound, coffer.CodeLocationNotReady, coffer.CodeLocationReadOnly, coffer.CodeSigningKeyUnusable,
	coffer.CodeSignerNotTrusted, coffer.CodeEncryptionKeysUnusable, coffer.CodeDecryptionKeyMissing, coffer.CodeModifierNotFound,
	coffer.CodeHookNotFound, coffer.CodeSnapshotAPIUnavailable,
}

// proves says of a run that an error has ended whether it says something of the recovery point.
func (t *restoreTest) proves() bool {
	code := coffer.Code(t.status.Reason)
	return code == coffer.CodeArchiveCorrupt || t.object.Status.Plan != nil && !slices.Contains(unproving, code)
}

// cleanUp removes everything, unless it is to be kept.
func (t *restoreTest) cleanUp(ctx context.Context) error {
	if t.test.Spec.Keep {
		return nil
	}
	return t.clear(ctx)
}
