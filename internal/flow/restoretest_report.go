package flow

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/check"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/quiet"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// The notes of reports: what a test does not prove.
const (
	noteNetwork = "pods were kept from opening connections to outside of the test by a NetworkPolicy in each of its namespaces: that holds only where the cluster's network enforces policies"
	noteOpen    = "pods were allowed to open connections to anywhere"
	noteScope   = "cluster-scoped objects were not restored: the test used those of this cluster"
	noteCustom  = "custom resources were not restored, and not tested: the operators of this cluster would have acted on them"
	noteActed   = "custom resources were restored: what the operators of this cluster did because of them is not known here"
)

// storeTest makes, signs and stores the report, once.
func (t *restoreTest) storeTest(ctx context.Context) error {
	if t.test.Status.TestReport != nil {
		return nil
	}
	key, err := t.Settings.SigningKey(ctx)
	if err != nil {
		return err
	}
	at, err := t.openTest(ctx)
	if err != nil {
		return err
	}
	found, err := t.findings(ctx)
	if err != nil {
		return err
	}
	report, digest, err := restorerecord.EncodeTest(found)
	if err != nil {
		return err
	}
	signature, err := recoverypoint.Sign(key, report)
	if err != nil {
		return err
	}
	// An earlier process of the run may have died before it could say that it has stored one. Neither is worth anything alone.
	for _, name := range []string{at.layout.TestSignature(), at.layout.Test()} {
		if err := at.location.Container.Delete(ctx, name); err != nil {
			return fmt.Errorf("store the report: %w", err)
		}
	}
	if err := at.put(ctx, at.layout.Test(), report); err != nil {
		return fmt.Errorf("store the report: %w", err)
	}
	if _, err := at.location.Container.Put(ctx, at.layout.TestSignature(), bytes.NewReader(signature)); err != nil {
		return fmt.Errorf("store the report's signature: %w", err)
	}
	public, _ := key.Public().(ed25519.PublicKey)
	t.update(func() {
		t.test.Status.Outcome = v1alpha1.RestoreTestOutcome(found.Outcome)
		t.test.Status.TestReport = &v1alpha1.RestoreTestReport{
			Digest: digest, Signer: recoverypoint.SignerText(public), StorageLocation: at.location.Name, Key: at.layout.Test(),
		}
	})
	return t.save(ctx)
}

// openTest opens the location for the report: where the plan is, if there is one.
func (t *restoreTest) openTest(ctx context.Context) (*records, error) {
	if named := t.object.Status.Plan; named != nil && named.Key != "" {
		return t.openStored(ctx, *named)
	}
	return t.openRecords(ctx)
}

// findings are what there is to report. Of a run that an error has ended, it is what was found until then.
func (t *restoreTest) findings(ctx context.Context) (restorerecord.Test, error) {
	cluster, err := t.clusterUID(ctx)
	if err != nil {
		return restorerecord.Test{}, err
	}
	s := t.object.Status
	f := restorerecord.Test{
		Test: t.test.Name, Run: t.run(), Cluster: cluster, ClusterName: t.ClusterName, Version: t.Version,
		Backup: t.object.Spec.BackupName, ManifestDigest: s.ManifestDigest,
		Started: s.StartTime.UTC(), Completed: t.Now().UTC(), Outcome: string(v1alpha1.RestoreTestPassed),
		ReadySeconds: secondsUntil(s, s.ReadyTime), CheckedSeconds: secondsUntil(s, t.test.Status.ChecksPassedTime),
		Checks: t.checkFindings(), Notes: t.notes(),
	}
	for _, w := range t.test.Status.Failures {
		f.Failures = append(f.Failures, findingOf(w))
	}
	for _, w := range s.Warnings {
		f.Warnings = append(f.Warnings, findingOf(w))
	}
	if s.Step == StepRollingBack {
		// An error has ended the run: what follows may not be known, and says no more than it.
		f.Failures = append(f.Failures, restorerecord.Finding{Code: s.Reason, Reason: s.Message})
	}
	if len(f.Failures) > 0 {
		f.Outcome = string(v1alpha1.RestoreTestFailed)
	}
	if s.Report != nil {
		f.ReportDigest = s.Report.Digest
	}
	if s.Plan == nil {
		return f, nil
	}
	f.PlanDigest = s.Plan.Digest
	err = t.planFindings(ctx, &f)
	if coffer.Final(err) && s.Step == StepRollingBack {
		return f, nil
	}
	return f, err
}

// planFindings are those that take the plan.
func (t *restoreTest) planFindings(ctx context.Context, f *restorerecord.Test) (err error) {
	if err := t.prepare(ctx); err != nil {
		return err
	}
	f.Namespaces = map[string]string{}
	for from, to := range t.request.Mappings {
		if slices.Contains(t.plan.Namespaces, to) {
			f.Namespaces[from] = to
		}
	}
	p := t.object.Status.Progress
	f.Objects = map[restorerecord.Result]int{
		restorerecord.Created: p.Created, restorerecord.Existing: p.Existing, restorerecord.Patched: p.Patched, restorerecord.Failed: p.Failed,
	}
	f.LeftOut = t.leftOut()
	if f.Deviations, err = t.deviations(ctx); err != nil {
		return err
	}
	if f.Volumes, err = t.volumeFindings(ctx); err != nil {
		return err
	}
	if f.Workloads, err = t.workloadFindings(ctx); err != nil {
		return err
	}
	return t.maskFindings(ctx, f)
}

// maxReason bounds one text of the report.
const maxReason = 2000

// maskFindings masks the values of restored Secrets in all texts that containers and hooks may have written.
func (t *restoreTest) maskFindings(ctx context.Context, f *restorerecord.Test) error {
	var secrets []string
	for _, namespace := range t.plan.Namespaces {
		values, err := t.secretValues(ctx, namespace)
		if err != nil {
			return err
		}
		secrets = append(secrets, values...)
	}
	masked := check.Masker(secrets)
	for _, list := range [][]restorerecord.Finding{f.Failures, f.Warnings} {
		for i := range list {
			list[i].Reason = masked(list[i].Reason, maxReason)
		}
	}
	for i := range f.Workloads {
		f.Workloads[i].Reason = masked(f.Workloads[i].Reason, maxReason)
	}
	return nil
}

func findingOf(w v1alpha1.Warning) restorerecord.Finding {
	return restorerecord.Finding{Code: w.Code, What: w.Resource, Reason: w.Message}
}

func secondsUntil(s v1alpha1.RestoreStatus, end *metav1.Time) *float64 {
	if end == nil || s.StartTime == nil {
		return nil
	}
	seconds := end.Sub(s.StartTime.Time).Seconds()
	return &seconds
}

func (t *restoreTest) notes() []string {
	notes := []string{noteScope}
	if t.isolated.External {
		notes = append(notes, noteOpen)
	} else {
		notes = append(notes, noteNetwork)
	}
	if t.isolated.CustomResources {
		return append(notes, noteActed)
	}
	return append(notes, noteCustom)
}

func (t *restoreTest) checkFindings() []restorerecord.Check {
	var found []restorerecord.Check
	for i, c := range t.test.Spec.Checks {
		line := restorerecord.Check{Name: c.Name, Outcome: "NotMade"}
		if made := t.test.Status.Checks; i < len(made) {
			line = restorerecord.Check{Name: c.Name, Outcome: "Failed", Attempts: made[i].Attempts, Seconds: made[i].Seconds, Message: made[i].Message}
			if made[i].Passed {
				line.Outcome = "Passed"
			}
		}
		found = append(found, line)
	}
	return found
}

// leftOut counts the objects that the plan does not restore.
func (t *restoreTest) leftOut() []coffer.NotSelected {
	counts := map[coffer.TypeGap]int64{}
	for _, s := range t.plan.Steps {
		if s.Action == plan.Skip {
			counts[coffer.TypeGap{What: s.Target.GroupResource.String(), Reason: s.Reason}]++
		}
	}
	all := slices.Clone(t.plan.NotSelected)
	for gap, n := range counts {
		all = append(all, coffer.NotSelected{TypeGap: gap, Objects: n})
	}
	slices.SortFunc(all, func(a, b coffer.NotSelected) int {
		return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}

// deviations are found out from the archive again: a process that takes over does not know what its predecessor has changed.
func (t *restoreTest) deviations(ctx context.Context) ([]restorerecord.Deviation, error) {
	a := &application{restore: t.restore}
	var written []int
	for i, s := range t.plan.Steps {
		if s.Writes() {
			written = append(written, i)
		}
	}
	var mu sync.Mutex // guards found
	found := map[int][]quiet.Deviation{}
	err := a.eachBody(ctx, written, func(_ context.Context, i int, body []byte) error {
		_, deviations, err := a.shaped(a.transformation(a.step(i)), body, unnoted)
		if err != nil {
			return nil // It could not be created either, and that was said.
		}
		mu.Lock()
		defer mu.Unlock()
		found[i] = deviations
		return nil
	})
	if err != nil {
		return nil, err
	}
	var all []restorerecord.Deviation
	for _, i := range written {
		for _, d := range found[i] {
			all = append(all, restorerecord.Deviation{Object: a.step(i).Target, Field: d.Field, Reason: d.Reason})
		}
	}
	return all, nil
}

func (t *restoreTest) volumeFindings(ctx context.Context) ([]restorerecord.Volume, error) {
	live, err := t.claims(ctx)
	if err != nil {
		return nil, err
	}
	why := map[string]string{}
	for _, w := range t.object.Status.Warnings {
		why[w.Resource] = w.Message
	}
	for _, w := range t.test.Status.Failures {
		why[w.Resource] = w.Message
	}
	foreign, err := t.foreignVolumes(ctx)
	if err != nil && !coffer.Final(err) {
		return nil, err
	}
	var found []restorerecord.Volume
	for _, s := range t.plan.Steps {
		if s.Target.GroupResource != claimType.GroupResource || !s.Writes() {
			continue
		}
		source := t.items[s.Item].ObjectRef
		line := restorerecord.Volume{Namespace: source.Namespace, Claim: source.Name, Reason: s.Reason}
		if s.Volume != nil {
			claim := live[s.Target.Namespace+"/"+s.Target.Name]
			line.Snapshot, line.Bytes = s.Volume.Handle, s.Volume.RestoreSize
			line.Restored = claim.Status.Phase == corev1.ClaimBound && t.restoredBy(claim, *s.Volume) && foreign[claim.Namespace+"/"+claim.Name] == ""
			line.Reason = ""
		}
		if !line.Restored && line.Reason == "" {
			line.Reason = cmp.Or(why[s.Target.String()], "the claim was not bound when the test ended")
		}
		found = append(found, line)
	}
	return found, nil
}

func (t *restoreTest) workloadFindings(ctx context.Context) ([]restorerecord.Workload, error) {
	var all, waiting []foundWorkload
	err := t.eachWorkload(ctx, t.workloadLists(), func(w foundWorkload) {
		if all = append(all, w); !w.Ready {
			waiting = append(waiting, w)
		}
	})
	if err != nil {
		return nil, err
	}
	pods, err := t.podsBeside(ctx, waiting)
	if err != nil {
		return nil, err
	}
	var found []restorerecord.Workload
	for _, w := range all {
		line := restorerecord.Workload{Object: w.target, Ready: w.Ready}
		if !w.Ready {
			line.Reason = w.Why(pods[w.Namespace])
		}
		found = append(found, line)
	}
	return found, nil
}

// TestReport reads the report of a test and its signature, for whoever wants to verify them. They are as they are stored, and
// nothing of them was verified. One that is missing is an Error with CodeNotFound.
func (r *Reader) TestReport(ctx context.Context, q TestReportRequest) (report, signature []byte, err error) {
	if err := q.check(); err != nil {
		return nil, nil, err
	}
	location, err := r.config.Settings.Location(ctx, q.StorageLocation)
	if err != nil {
		return nil, nil, err
	}
	at := &records{location: location, layout: restorerecord.Layout{Backup: q.BackupName, Run: q.Run, Encrypted: q.Encrypted}}
	defer at.close()
	if q.Encrypted {
		if at.keys, err = storedKeys(ctx, location); err != nil {
			return nil, nil, err
		}
	}
	signature, err = getAll(ctx, location.Container, at.layout.TestSignature(), recoverypoint.MaxSignatureSize)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return nil, nil, coffer.Errorf(coffer.CodeNotFound, "BackupStorageLocation %s has no report of this test", q.StorageLocation)
	}
	if err != nil {
		return nil, nil, err
	}
	err = readRecord(ctx, location.Container, at.layout.Test(), at.keys, func(in io.Reader) (err error) {
		report, err = io.ReadAll(io.LimitReader(in, restorerecord.MaxTestSize+1))
		return err
	})
	if err == nil && len(report) > restorerecord.MaxTestSize {
		err = coffer.Errorf(coffer.CodeArchiveCorrupt, "the report of the test has more than %d bytes", restorerecord.MaxTestSize)
	}
	return report, signature, err
}
