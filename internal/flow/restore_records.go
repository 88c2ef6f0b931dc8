package flow

import (
	"context"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/encryption"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// StoredPlan is the head of a plan that was stored, and its digest.
type StoredPlan struct {
	restorerecord.PlanHeader
	Digest string
}

// Plan reads the stored plan of a Restore of this cluster: its head, and each of its steps in the order in which they are done.
// What is told is to be believed once Plan returns nil: then it has the digest that the Restore names. A Restore without a
// stored plan is an Error with CodePlanNotStored that says why. Errors of head and each end the reading and are returned.
func (r *Reader) Plan(ctx context.Context, name string, head func(StoredPlan) error, each func(restorerecord.Step) error) error {
	object, err := r.restore(ctx, name)
	if err != nil {
		return err
	}
	named, err := storedPlan(object)
	if err != nil {
		return err
	}
	return r.record(ctx, object, named.StorageLocation, named.Key, func(l restorerecord.Layout) string { return l.Plan(named.Digest) }, named.Digest, func(in io.Reader) (string, error) {
		return restorerecord.ReadPlan(in, stepsIn(named.Counts), func(h restorerecord.PlanHeader) error {
			return head(StoredPlan{PlanHeader: h, Digest: named.Digest})
		}, each)
	})
}

// Report reads the stored report of a Restore of this cluster, as Plan reads the plan. A Restore without one is an Error with
// CodeReportNotStored that says why.
func (r *Reader) Report(ctx context.Context, name string, head func(restorerecord.ReportHeader) error, each func(restorerecord.Outcome) error) error {
	object, err := r.restore(ctx, name)
	if err != nil {
		return err
	}
	named := object.Status.Report
	if named == nil {
		return coffer.Errorf(coffer.CodeReportNotStored, "restore %s has no stored report: %s", name, whyNoReport(object))
	}
	most := 0
	if object.Status.Plan != nil {
		most = stepsIn(object.Status.Plan.Counts)
	}
	return r.record(ctx, object, named.StorageLocation, named.Key, restorerecord.Layout.Report, named.Digest, func(in io.Reader) (string, error) {
		return restorerecord.ReadReport(in, most, head, each)
	})
}

// restore reads a Restore by its name.
func (r *Reader) restore(ctx context.Context, name string) (*v1alpha1.Restore, error) {
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return nil, coffer.Errorf(coffer.CodeInvalid, "%q cannot be the name of a restore: %s", name, problems[0])
	}
	object, err := r.config.Settings.Restore(ctx, name)
	return &object, err
}

// storedPlan is what a Restore says of its stored plan.
func storedPlan(object *v1alpha1.Restore) (v1alpha1.RestorePlan, error) {
	if named := object.Status.Plan; named != nil && named.Key != "" {
		return *named, nil
	}
	return v1alpha1.RestorePlan{}, coffer.Errorf(coffer.CodePlanNotStored, "restore %s has no stored plan: %s", object.Name, whyNoPlan(object))
}

func whyNoPlan(object *v1alpha1.Restore) string {
	s := object.Status
	switch {
	case s.Plan != nil:
		return warned(s.RunStatus, coffer.CodePlanNotStored, "there was no location to write it to")
	case !s.Phase.Final():
		return "it has not made one yet"
	}
	return ended(s.RunStatus, "it ended before it made one")
}

func whyNoReport(object *v1alpha1.Restore) string {
	s := object.Status
	switch {
	case !s.Phase.Final():
		return "it is still under way"
	case s.Plan != nil && s.Plan.Key == "":
		return whyNoPlan(object)
	case object.Spec.PlanOnly && s.Phase.Succeeded():
		return "it has made a plan, and restored nothing"
	}
	return warned(s.RunStatus, coffer.CodeReportNotStored, ended(s.RunStatus, "it ended before anything was restored"))
}

// warned is what a run has warned of.
func warned(s v1alpha1.RunStatus, of coffer.Code, otherwise string) string {
	for _, w := range s.Warnings {
		if w.Code == string(of) {
			return w.Message
		}
	}
	return otherwise
}

func ended(s v1alpha1.RunStatus, how string) string {
	if s.Reason == "" || s.Phase.Succeeded() {
		return how
	}
	return fmt.Sprintf("%s: %s: %s", how, s.Reason, s.Message)
}

// stepsIn is how many steps a plan with these counts has.
func stepsIn(c v1alpha1.RestorePlanCounts) int {
	return c.Create + c.RestoreVolume + c.Patch + c.Replace + c.Existing + c.Skip + c.Fail
}

// record reads a record of a Restore, wherever it was stored, and compares its digest.
func (r *Reader) record(ctx context.Context, object *v1alpha1.Restore, at, key string, keyOf func(restorerecord.Layout) string, digest string,
	read func(io.Reader) (string, error),
) error {
	layout := restorerecord.Layout{Backup: object.Spec.BackupName, Run: string(object.UID), Encrypted: restorerecord.IsEncrypted(key)}
	if key != keyOf(layout) {
		return coffer.Errorf(coffer.CodePlanChanged, "the status of restore %s names %q, which is no record of that run", object.Name, key)
	}
	location, err := r.config.Settings.Location(ctx, at)
	if err != nil {
		return err
	}
	stored := &records{location: location, layout: layout}
	defer stored.close()
	var keys encryption.Keys
	if layout.Encrypted {
		if location.KeysFunc == nil {
			return coffer.Errorf(coffer.CodeEncryptionKeysUnusable, "%s is encrypted, and BackupStorageLocation %s names no Secret with keys", key, at).
				WithHint("name the Secret in its encryption.secretRef")
		}
		if keys, err = location.KeysFunc(ctx); err != nil {
			return err
		}
	}
	var found string
	err = readRecord(ctx, location.Container, key, keys, func(in io.Reader) (err error) {
		found, err = read(in)
		return err
	})
	if err == nil && found != digest {
		err = coffer.Errorf(coffer.CodePlanChanged, "%s was altered: its digest is %s, and the restore has stored %s", key, found, digest)
	}
	return err
}
