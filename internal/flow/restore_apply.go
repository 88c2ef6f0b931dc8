package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/format/archive"
)

// parallelWrites bounds the objects that are worked on at the same time, and parallelMembers the parts of the archive held. How
// many writes the cluster gets at a time is the Cluster's affair.
const (
	parallelWrites  = 64
	parallelMembers = 4
)

// apply carries out the plan, order by order, objects of one order at the same time.
func (r *restore) apply(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	a := newApplication(r)
	a.resetProgress()
	// From here on there is something to report.
	if err := a.save(ctx); err != nil {
		return err
	}
	stop := a.reportProgress(ctx)
	defer stop()
	if err := a.ensureNamespaces(ctx); err != nil {
		return err
	}
	if err := a.presentSnapshots(ctx); err != nil {
		return err
	}
	if err := a.makeRoom(ctx); err != nil {
		return err
	}
	if err := a.freeVolumes(ctx); err != nil {
		return err
	}
	for _, steps := range byOrder(r.plan.Steps) {
		began := r.Now()
		if err := a.applySteps(ctx, steps); err != nil {
			return err
		}
		var p v1alpha1.RestoreProgress
		a.update(func() { p = a.object.Status.Progress })
		r.Log.Info("objects restored", "upTo", a.step(steps[0]).Target.GroupResource.String(), "planned", len(steps), "took", r.Now().Sub(began),
			"created", p.Created, "existing", p.Existing, "patched", p.Patched, "replaced", p.Replaced, "failed", p.Failed)
	}
	if err := a.linkOwners(ctx); err != nil {
		return err
	}
	a.logModifiers()
	err := r.storeReport(ctx)
	if coffer.Final(err) {
		a.warnOfReport(err)
		return nil
	}
	return err
}

// application is one pass over the plan. It names steps by their positions in the plan.
type application struct {
	*restore
	// creator and patcher are the cluster under the field managers by which a later process knows what this one has done.
	creator, patcher coffer.Cluster
	// snapshots are the VolumeSnapshots presented for the claims of the plan, by snapshotKey.
	snapshots map[string]string
	// unusable are the steps that replace a claim whose snapshot is not usable, and why.
	unusable map[int]string
	// protected are the steps that must not delete what they replace, and why.
	protected map[int]string
	// byUID are the steps by the UID of the archived object.
	byUID map[string]int

	mu sync.Mutex // guards all below
	// uids map the UID of an archived object to the one that it has in the cluster now.
	uids map[string]string
	// linked are the steps whose objects an earlier process has given their owners.
	linked map[int]bool
	// met are the steps whose object was found to exist when it was to be created.
	met []int
}

// creatorOf and patcherOf are the field managers of what a run creates and of what it patches.
func creatorOf(run string) string { return "coffer-restore-" + run }
func patcherOf(run string) string { return "coffer-patch-" + run }

func newApplication(r *restore) *application {
	a := &application{
		restore: r, creator: r.Cluster.As(creatorOf(r.run())), patcher: r.Cluster.As(patcherOf(r.run())),
		unusable: map[int]string{}, protected: map[int]string{}, byUID: map[string]int{}, uids: map[string]string{}, linked: map[int]bool{},
	}
	r.results = newResults(len(r.plan.Steps))
	for i, s := range r.plan.Steps {
		archived := r.items[s.Item].UID
		if archived == "" {
			continue
		}
		if s.Present() {
			a.byUID[archived] = i
		}
		if s.UID != "" && s.Action != plan.Replace && !s.Terminating {
			a.uids[archived] = s.UID
		}
	}
	return a
}

func (a *application) step(i int) *plan.Step { return &a.plan.Steps[i] }

// byOrder are the positions of the steps, by order.
func byOrder(steps []plan.Step) [][]int {
	var orders [][]int
	for i, s := range steps {
		if i == 0 || s.Order != steps[i-1].Order {
			orders = append(orders, nil)
		}
		orders[len(orders)-1] = append(orders[len(orders)-1], i)
	}
	return orders
}

func (a *application) resetProgress() {
	a.update(func() {
		p := &a.object.Status.Progress
		*p = v1alpha1.RestoreProgress{HooksTotal: p.HooksTotal, HooksRun: p.HooksRun}
		for _, n := range a.plan.NotSelected {
			p.Skipped += int(n.Objects)
		}
		for _, s := range a.plan.Steps {
			if s.Action != plan.Skip || s.Existing() {
				p.ObjectsTotal++
			}
			if s.RestoresData() {
				p.VolumesTotal++
			}
		}
	})
	for i, s := range a.plan.Steps {
		switch {
		case s.Existing():
			a.settle(i, outcomeExisting, s.Reason)
		case s.Action == plan.Skip:
			a.settle(i, outcomeSkipped, s.Reason)
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
		body := []byte(fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, name))
		if a.isolated != nil {
			if body, _, err = a.isolated.Apply(namespaceType.GroupResource, a.run(), body); err != nil {
				return err
			}
		}
		if _, err := a.creator.Create(ctx, namespaceType, "", body); err != nil && coffer.CodeOf(err) != coffer.CodeExists {
			return err
		}
	}
	// The plan's own namespaces come first of all, for snapshots are presented in them.
	var steps []int
	for i, s := range a.plan.Steps {
		if s.Target.GroupResource == namespaceType.GroupResource {
			steps = append(steps, i)
		}
	}
	if err := a.applySteps(ctx, steps); err != nil || a.isolated == nil {
		return err
	}
	return a.fence(ctx)
}

func (a *application) awaitTerminated(ctx context.Context, name string) (exists bool, err error) {
	settled, err := poll(ctx, a.TerminationTimeout, func(ctx context.Context) (bool, error) {
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
		return true, coffer.Errorf(coffer.CodeNamespaceTerminating, "namespace %q is still being deleted after %s", name, a.TerminationTimeout).
			WithHint("`kubectl get namespace %s -o yaml` says what it waits for; restore again once it is gone", name)
	}
	return exists, err
}

// rounds is how often an object is created anew that is found to exist again and again.
const rounds = 3

// applySteps brings the objects of steps about that are not settled yet: those that are to be created at once, and those that
// turn out to exist by comparing them with what exists.
func (a *application) applySteps(ctx context.Context, steps []int) error {
	steps = slices.DeleteFunc(slices.Clone(steps), a.results.settled)
	if len(steps) == 0 {
		return nil
	}
	if err := a.resolveTypes(ctx, steps); err != nil {
		return err
	}
	var creates, existing []int
	for _, i := range steps {
		switch {
		case a.results.settled(i):
		case a.step(i).UID != "" && !a.cleared(i):
			existing = append(existing, i)
		default:
			creates = append(creates, i)
		}
	}
	for round := 1; ; round++ {
		if err := a.eachBody(ctx, creates, a.create); err != nil {
			return err
		}
		existing = append(existing, a.takeMet()...)
		if len(existing) == 0 {
			return nil
		}
		if round > rounds {
			for _, i := range existing {
				a.failed(i, errors.New("somebody creates it again whenever it is gone"))
			}
			return nil
		}
		var err error
		if creates, err = a.meetExisting(ctx, existing); err != nil {
			return err
		}
		existing = nil
	}
}

// definitionTimeout is how long a restored CustomResourceDefinition may take to be served.
const definitionTimeout = time.Minute

// resolveTypes finds the types that were not served when the plan was made, for their definitions are part of it.
func (a *application) resolveTypes(ctx context.Context, steps []int) error {
	unresolved := func() (missing []int) {
		for _, i := range steps {
			if a.step(i).Type.Resource == "" {
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
			s := a.step(i)
			s.Type, _, _ = served.For(s.Target.GroupResource, a.items[s.Item].APIVersion)
		}
		return len(unresolved()) == 0, nil
	})
	for _, i := range unresolved() {
		a.failed(i, fmt.Errorf("its definition was not served within %s", definitionTimeout))
	}
	return err
}

// eachBody reads the archived objects of steps, and works on many of them at the same time. Of the archive, the members are read
// that hold them. An error of do ends it.
func (a *application) eachBody(ctx context.Context, steps []int, do func(ctx context.Context, i int, body []byte) error) error {
	if len(steps) == 0 {
		return nil
	}
	if a.streamed {
		return a.eachStreamed(ctx, steps, do)
	}
	wanted := make(map[int]int, len(steps))
	for _, i := range steps {
		wanted[a.step(i).Item] = i
	}
	work, workCtx := newGroup(ctx, parallelWrites)
	has := func(item int) bool { _, ok := wanted[item]; return ok }
	readErr := a.eachMember(workCtx, has, func(item int, o archive.Object) error {
		if i, ok := wanted[item]; ok {
			work.Go(func() error { return do(workCtx, i, o.Body) })
		}
		return workCtx.Err()
	})
	// An error of the work cancels the reads: it is the one to report.
	if err := work.Wait(); err != nil {
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
