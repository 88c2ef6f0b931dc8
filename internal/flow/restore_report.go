package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// outcome is what became of one object of a plan: restorerecord's results, in a byte.
type outcome byte

const (
	outcomePending outcome = iota
	outcomeCreated
	outcomeExisting
	outcomePatched
	outcomeReplaced
	outcomeSkipped
	outcomeFailed
)

var resultOf = [...]restorerecord.Result{
	outcomePending: restorerecord.Pending, outcomeCreated: restorerecord.Created, outcomeExisting: restorerecord.Existing,
	outcomePatched: restorerecord.Patched, outcomeReplaced: restorerecord.Replaced, outcomeSkipped: restorerecord.Skipped,
	outcomeFailed: restorerecord.Failed,
}

const (
	// notesKept bounds the results that have a note of their own, and noteLength how long that is.
	notesKept  = 100_000
	noteLength = 500
)

// note says more of a result: why, and a code if somebody has to act.
type note struct {
	code   coffer.Code
	reason string
}

// results are what became of the objects of a plan, by step: a byte each, and a note for those of which there is something to say
// that the plan does not.
type results struct {
	mu       sync.Mutex // guards all below
	outcomes []outcome
	notes    map[int]note
}

func newResults(steps int) *results {
	return &results{outcomes: make([]outcome, steps), notes: map[int]note{}}
}

func (r *results) settled(i int) bool { return r.of(i) != outcomePending }

func (r *results) of(i int) outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes[i]
}

// settle notes what became of an object, once: it answers false if that was known already.
func (r *results) settle(i int, o outcome, n note) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcomes[i] != outcomePending {
		return false
	}
	r.outcomes[i] = o
	if n != (note{}) && len(r.notes) < notesKept {
		n.reason = shortened(n.reason, noteLength)
		r.notes[i] = n
	}
	return true
}

// settle records what became of an object, and counts it.
func (a *application) settle(i int, o outcome, reason string) { a.conclude(i, o, note{reason: reason}) }

func (a *application) conclude(i int, o outcome, n note) {
	if !a.results.settle(i, o, n) {
		return
	}
	a.update(func() {
		p := &a.object.Status.Progress
		switch o {
		case outcomeCreated:
			p.Created++
		case outcomeExisting:
			p.Existing++
		case outcomePatched:
			p.Patched++
		case outcomeReplaced:
			p.Replaced++
		case outcomeSkipped:
			p.Skipped++
		case outcomeFailed:
			p.Failed++
		}
		if (o == outcomeFailed || o == outcomeExisting) && a.step(i).RestoresData() {
			p.VolumesTotal--
		}
	})
}

// failed records an object that was not restored, as a warning.
func (a *application) failed(i int, err error) {
	if a.results.settled(i) {
		return
	}
	a.warn(coffer.CodeObjectFailed, a.step(i).Target.String(), err.Error())
	a.conclude(i, outcomeFailed, note{coffer.CodeObjectFailed, err.Error()})
}

// left records an object that was left as it is although it was to be changed, as a warning.
func (a *application) left(i int, code coffer.Code, why string) {
	if a.results.settled(i) {
		return
	}
	a.warn(code, a.step(i).Target.String(), why)
	a.conclude(i, outcomeExisting, note{code, why})
}

// storeReport stores what became of each object beside the plan. Where no plan could be stored there is no report either, and
// that was said.
func (r *restore) storeReport(ctx context.Context) error {
	named := r.object.Status.Plan
	if named == nil || named.Key == "" || r.object.Status.Report != nil {
		return nil
	}
	at, err := r.openStored(ctx, *named)
	if err != nil {
		return err
	}
	record, digest, err := r.encodeReport(*named)
	if err != nil {
		return err
	}
	key := at.layout.Report()
	err = at.put(ctx, key, record)
	if errors.Is(err, coffer.ErrBlobExists) {
		// An earlier process of the run stored it, and died before it could say so.
		digest, err = r.readReport(ctx, at, key)
	}
	if err != nil {
		return fmt.Errorf("store the report: %w", err)
	}
	r.update(func() {
		r.object.Status.Report = &v1alpha1.RestoreReport{Digest: digest, StorageLocation: at.location.Name, Key: key}
	})
	return nil
}

// encodeReport writes the report into memory, compressed, and answers its digest.
func (r *restore) encodeReport(named v1alpha1.RestorePlan) (record []byte, digest string, err error) {
	header := restorerecord.ReportHeader{
		Restore: r.object.Name, Run: r.run(), Backup: r.manifest.Name, ManifestDigest: r.object.Status.ManifestDigest, PlanDigest: named.Digest,
		Started: r.object.Status.StartTime.UTC(), Completed: r.Now().UTC(), Counts: map[restorerecord.Result]int{},
	}
	r.results.mu.Lock()
	defer r.results.mu.Unlock()
	for _, o := range r.results.outcomes {
		header.Counts[resultOf[o]]++
	}
	var out bytes.Buffer
	digest, err = restorerecord.WriteReport(&out, header, r.reported())
	return out.Bytes(), digest, err
}

// reported are the lines of the report. The lock of the results is held.
func (r *restore) reported() iter.Seq[restorerecord.Outcome] {
	return func(yield func(restorerecord.Outcome) bool) {
		for i, s := range r.plan.Steps {
			o := r.results.outcomes[i]
			line := restorerecord.Outcome{ObjectRef: s.Target, Result: resultOf[o]}
			if n, noted := r.results.notes[i]; noted {
				line.Reason, line.Code = n.reason, n.code
			}
			if line.Reason == "" && o != outcomePending {
				line.Reason, line.Code = s.Reason, s.Warning
			}
			if !yield(line) {
				return
			}
		}
	}
}

func (r *restore) readReport(ctx context.Context, at *records, key string) (digest string, err error) {
	err = readRecord(ctx, at.location.Container, key, at.keys, func(in io.Reader) (err error) {
		digest, err = restorerecord.ReadReport(in, len(r.plan.Steps),
			func(restorerecord.ReportHeader) error { return nil }, func(restorerecord.Outcome) error { return nil })
		return err
	})
	return digest, err
}

// reportEnd stores the report of a run that ends before its time. It is not worth to keep the run from its end: what goes wrong
// is a warning.
func (r *restore) reportEnd(ctx context.Context) error {
	named := r.object.Status.Plan
	if named == nil || named.Key == "" || r.object.Status.Report != nil || r.object.Status.Progress.ObjectsTotal == 0 {
		return nil
	}
	err := r.recall(ctx)
	if err == nil {
		err = r.storeReport(ctx)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.warnOfReport(err)
	}
	return nil
}

func (r *restore) warnOfReport(err error) {
	r.warn(coffer.CodeReportNotStored, "", "what became of each object is not stored: "+err.Error())
}

// recall finds out what an earlier process of the run has done, if this one has not begun to: the field managers of the objects
// tell.
func (r *restore) recall(ctx context.Context) error {
	if r.results != nil {
		return nil
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	a := newApplication(r)
	var written []int
	for i, s := range r.plan.Steps {
		switch {
		case s.Existing():
			r.results.settle(i, outcomeExisting, note{})
		case s.Writes() && s.Type.Resource != "":
			written = append(written, i)
		case !s.Writes():
			r.results.settle(i, outcomeSkipped, note{})
		}
	}
	for _, of := range a.byType(written) {
		m := &meeting{application: a, t: a.step(of[0]).Type, wanted: map[coffer.ObjectRef]int{}}
		for _, i := range of {
			m.wanted[a.step(i).Target] = i
		}
		err := r.eachLive(ctx, r.Cluster.ListMetadata, m.t, m.targets(), m.recallPage)
		if err != nil && (ctx.Err() != nil || !unlistable(err)) {
			return err
		}
	}
	return nil
}

// recallPage settles what the objects of one page tell.
func (m *meeting) recallPage(page coffer.Page) error {
	for _, item := range page.Items {
		var h liveHeader
		if err := json.Unmarshal(item, &h); err != nil {
			return fmt.Errorf("read %s: %w", m.t.GroupResource, err)
		}
		i, wanted := m.wanted[coffer.ObjectRef{GroupResource: m.t.GroupResource, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}]
		switch {
		case !wanted:
		case m.made(&h), m.mayBeMade(i, &h):
			m.results.settle(i, createdBy(m.step(i)), note{})
		case h.managedBy(patcherOf(m.run())):
			m.results.settle(i, outcomePatched, note{})
		}
	}
	return nil
}
