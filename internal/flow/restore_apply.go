package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/format/archive"
)

// parallelCreates bounds the objects created at the same time, and parallelMembers the parts of the archive held.
const (
	parallelCreates = 32
	parallelMembers = 4
)

// apply carries out the plan, order by order, objects of one order at the same time.
func (r *restore) apply(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	a := &application{restore: r, uids: map[string]string{}, planned: map[string]plan.Step{}}
	for _, s := range r.plan.Steps {
		if uid := r.items[s.Item].UID; s.Action != plan.Skip && uid != "" {
			a.planned[uid] = s
		}
	}
	a.resetProgress()
	stop := a.reportProgress(ctx)
	defer stop()
	if err := a.ensureNamespaces(ctx); err != nil {
		return err
	}
	if err := a.presentSnapshots(ctx); err != nil {
		return err
	}
	for _, steps := range byOrder(r.plan.Steps) {
		began := r.Now()
		if err := a.applyOrder(ctx, steps); err != nil {
			return err
		}
		var p v1alpha1.RestoreProgress
		a.update(func() { p = a.object.Status.Progress })
		r.Log.Info("objects restored", "upTo", steps[0].Target.GroupResource.String(), "planned", len(steps), "took", r.Now().Sub(began),
			"created", p.Created, "existing", p.Existing, "failed", p.Failed)
	}
	a.logModifiers()
	return a.linkOwners(ctx)
}

// application is one pass over the plan.
type application struct {
	*restore
	// snapshots are the VolumeSnapshots presented for the claims of the plan, by snapshotKey.
	snapshots map[string]string

	// planned are the steps that are not skipped, by the UID of the archived object.
	planned map[string]plan.Step

	uidMu sync.Mutex // guards uids
	// uids map the UID of an archived object to the one that this pass created it with.
	uids map[string]string
	// found does the same for owners that were in place.
	found sync.Map
}

func byOrder(steps []plan.Step) [][]plan.Step {
	var orders [][]plan.Step
	for i, s := range steps {
		if i == 0 || s.Order != steps[i-1].Order {
			orders = append(orders, nil)
		}
		orders[len(orders)-1] = append(orders[len(orders)-1], s)
	}
	return orders
}

func (a *application) resetProgress() {
	a.update(func() {
		p := &a.object.Status.Progress
		p.ObjectsTotal, p.Created, p.Existing, p.Skipped, p.Failed, p.VolumesTotal = 0, 0, 0, 0, 0, 0
		for _, s := range a.plan.Steps {
			switch s.Action {
			case plan.Skip:
				p.Skipped++
			case plan.RestoreVolume:
				p.VolumesTotal++
				p.ObjectsTotal++
			default:
				p.ObjectsTotal++
			}
		}
	})
	for _, s := range a.plan.Steps {
		if s.Warn {
			code := coffer.CodeTypeNotCaptured
			if s.Action != plan.Skip {
				code = coffer.CodeVolumeRestoredEmpty
			}
			a.warn(code, s.Target.String(), s.Reason)
		}
	}
}

// reportProgress saves the status now and then until the returned function is called.
func (a *application) reportProgress(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(progressInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				// Progress that cannot be shown now is shown next time.
				_ = a.save(ctx)
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// ensureNamespaces makes the namespaces that the plan writes to and the recovery point has no object for, and waits
// for those that are going away.
func (a *application) ensureNamespaces(ctx context.Context) error {
	planned := map[string]bool{}
	for _, s := range a.plan.Steps {
		if s.Target.GroupResource == namespaceType.GroupResource && s.Action == plan.Create {
			planned[s.Target.Name] = true
		}
	}
	for _, name := range a.plan.Namespaces {
		exists, err := a.awaitTerminated(ctx, name)
		if err != nil {
			return err
		}
		if exists || planned[name] {
			continue
		}
		body := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, name)
		if _, err := a.Cluster.Create(ctx, namespaceType, "", []byte(body)); err != nil && coffer.CodeOf(err) != coffer.CodeExists {
			return err
		}
	}
	// The plan's own namespaces come first of all, for snapshots are presented in them.
	var steps []plan.Step
	for _, s := range a.plan.Steps {
		if s.Target.GroupResource == namespaceType.GroupResource {
			steps = append(steps, s)
		}
	}
	return a.createAll(ctx, steps)
}

// terminationTimeout is how long a namespace of the same name may take to go away. A user who deletes a namespace to
// restore it does not wait for the deletion first.
const terminationTimeout = 3 * time.Minute

func (a *application) awaitTerminated(ctx context.Context, name string) (exists bool, err error) {
	settled, err := poll(ctx, terminationTimeout, func(ctx context.Context) (bool, error) {
		body, err := a.Cluster.Get(ctx, namespaceType, "", name)
		if coffer.CodeOf(err) == coffer.CodeNotFound {
			exists = false
			return true, nil
		}
		if err != nil {
			return false, err
		}
		exists = true
		var namespace corev1.Namespace
		if err := json.Unmarshal(body, &namespace); err != nil {
			return false, fmt.Errorf("read namespace %s: %w", name, err)
		}
		return namespace.Status.Phase != corev1.NamespaceTerminating, nil
	})
	if err == nil && !settled {
		return true, coffer.Errorf(coffer.CodeNamespaceTerminating, "namespace %q is still being deleted after %s", name, terminationTimeout).
			WithHint("`kubectl get namespace %s -o yaml` says what it waits for; restore again once it is gone", name)
	}
	return exists, err
}

func (a *application) applyOrder(ctx context.Context, steps []plan.Step) error {
	if steps[0].Target.GroupResource == namespaceType.GroupResource {
		return nil
	}
	if err := a.resolveTypes(ctx, steps); err != nil {
		return err
	}
	return a.createAll(ctx, steps)
}

// definitionTimeout is how long a restored CustomResourceDefinition may take to be served.
const definitionTimeout = time.Minute

// resolveTypes finds the types that were not served when the plan was made, for their definitions are part of it.
func (a *application) resolveTypes(ctx context.Context, steps []plan.Step) error {
	unresolved := func() (missing []int) {
		for i, s := range steps {
			if s.Action != plan.Skip && s.Type.Resource == "" {
				missing = append(missing, i)
			}
		}
		return missing
	}
	if len(unresolved()) == 0 {
		return nil
	}
	_, err := poll(ctx, definitionTimeout, func(ctx context.Context) (bool, error) {
		served, err := a.servedTypes(ctx)
		if err != nil {
			return false, err
		}
		for _, i := range unresolved() {
			steps[i].Type = served[steps[i].Target.GroupResource]
		}
		return len(unresolved()) == 0, nil
	})
	for _, i := range unresolved() {
		a.failed(steps[i].Target, fmt.Errorf("its definition was not served within %s", definitionTimeout))
		steps[i].Action = plan.Skip
	}
	return err
}

// createAll creates the objects of the steps at the same time. Of the archive, the members are read that hold them.
func (a *application) createAll(ctx context.Context, steps []plan.Step) error {
	if a.streamed {
		return a.createStreamed(ctx, steps)
	}
	wanted := map[int]plan.Step{}
	for _, s := range steps {
		if s.Action != plan.Skip {
			wanted[s.Item] = s
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	creates, createCtx := newGroup(ctx, parallelCreates)
	has := func(i int) bool { _, ok := wanted[i]; return ok }
	readErr := a.eachMember(createCtx, has, func(i int, o archive.Object) error {
		if s, ok := wanted[i]; ok {
			creates.Go(func() error { return a.create(createCtx, s, o.Body) })
		}
		return createCtx.Err()
	})
	// An error of a create cancels the reads: it is the one to report.
	if err := creates.Wait(); err != nil {
		return err
	}
	return readErr
}

// newGroup runs at most limit functions at the same time, and cancels the others after the first error.
func newGroup(ctx context.Context, limit int) (*errgroup.Group, context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	return group, ctx
}

// create creates one object, and counts what became of it. Only an error that may pass by itself is returned.
func (a *application) create(ctx context.Context, s plan.Step, body []byte) error {
	c := a.transformation(&s)
	if len(a.plannedOwners(a.items[s.Item])) > 0 {
		c.Annotations = map[string]string{pendingOwners: a.run()}
	}
	if s.Action == plan.RestoreVolume {
		c.Snapshot, c.RestoreSize = a.snapshots[snapshotKey(*s.Volume)], s.Volume.RestoreSize
		if c.Snapshot == "" {
			// presentSnapshots found the claim in the cluster.
			a.update(func() { a.object.Status.Progress.Existing++ })
			return nil
		}
	}
	object, err := a.transformed(c, body)
	if err != nil {
		return err
	}
	stored, err := a.insist(ctx, s, object.Object)
	switch {
	case coffer.CodeOf(err) == coffer.CodeExists:
		a.update(func() { a.object.Status.Progress.Existing++ })
		return nil
	case coffer.CodeOf(err) == coffer.CodeForbidden:
		return a.forbidden(ctx, s, err)
	case coffer.Final(err):
		a.failed(s.Target, err)
		return nil
	case err != nil:
		return err
	}
	a.update(func() { a.object.Status.Progress.Created++ })
	if err := a.writeStatus(ctx, &s, object.Status); err != nil {
		return err
	}
	return a.noteUID(a.items[s.Item].UID, stored)
}

// forbidden counts an object that the extension may not create: one that exists need not be, and who is allowed nothing
// is not told that it exists.
func (a *application) forbidden(ctx context.Context, s plan.Step, refusal error) error {
	_, err := a.Cluster.Get(ctx, s.Type, s.Target.Namespace, s.Target.Name)
	switch {
	case err == nil:
		a.update(func() { a.object.Status.Progress.Existing++ })
		return nil
	case coffer.Final(err):
		a.failed(s.Target, refusal)
		return nil
	}
	return err
}

// createRetries is how often an object is tried that the API server met with an internal error, as it does when a
// webhook does not answer.
const createRetries = 6

func (a *application) insist(ctx context.Context, s plan.Step, object []byte) (json.RawMessage, error) {
	pause := a.RetryPause
	for attempt := 1; ; attempt++ {
		stored, err := a.Cluster.Create(ctx, s.Type, s.Target.Namespace, object)
		if coffer.CodeOf(err) != coffer.CodeServerError {
			return stored, err
		}
		if attempt == createRetries {
			return nil, coffer.Errorf(coffer.CodeRejected, "after %d tries: %w", attempt, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

func (a *application) noteUID(archived string, stored []byte) error {
	uid, err := uidOf(stored)
	if err != nil || archived == "" {
		return err
	}
	a.uidMu.Lock()
	defer a.uidMu.Unlock()
	a.uids[archived] = uid
	return nil
}

func (a *application) failed(target coffer.ObjectRef, err error) {
	a.update(func() { a.object.Status.Progress.Failed++ })
	a.warn(coffer.CodeObjectFailed, target.String(), err.Error())
}
