package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/transform"
)

// liveHeader is what tells whose an existing object is, and whether it stays.
type liveHeader struct {
	Metadata struct {
		Name              string            `json:"name"`
		Namespace         string            `json:"namespace"`
		UID               string            `json:"uid"`
		CreationTimestamp time.Time         `json:"creationTimestamp"`
		DeletionTimestamp time.Time         `json:"deletionTimestamp"`
		Finalizers        []string          `json:"finalizers"`
		Annotations       map[string]string `json:"annotations"`
		ManagedFields     []struct {
			Manager string `json:"manager"`
		} `json:"managedFields"`
	} `json:"metadata"`
}

// leaves says that the object is being deleted.
func (h *liveHeader) leaves() bool { return !h.Metadata.DeletionTimestamp.IsZero() }

func (h *liveHeader) managedBy(manager string) bool {
	for _, f := range h.Metadata.ManagedFields {
		if f.Manager == manager {
			return true
		}
	}
	return false
}

// made says whether this run has created an object: its field managers tell.
func (r *restore) made(h *liveHeader) bool { return h.managedBy(creatorOf(r.run())) }

// mayBeMade says whether this run may have created the object of a step, although nobody can tell: an object without any field has
// no field managers. The plan did not know it, and it came to be during the run.
func (a *application) mayBeMade(i int, h *liveHeader) bool {
	start := a.object.Status.StartTime
	return len(h.Metadata.ManagedFields) == 0 && h.Metadata.UID != a.step(i).UID && start != nil && !h.Metadata.CreationTimestamp.Before(start.Time)
}

// meeting joins objects that exist with those of the archive, page by page.
type meeting struct {
	*application
	t coffer.ResourceType
	// wanted are the steps that were not met yet, by the name of their object.
	wanted map[coffer.ObjectRef]int

	mu sync.Mutex // guards all below
	// gone are the steps whose object does not exist any more, and leaving those whose object is being deleted.
	gone, leaving []int
}

// meetExisting settles the steps whose objects exist, but for those that are to be created because theirs are gone, or were
// deleted to be replaced.
func (a *application) meetExisting(ctx context.Context, steps []int) (creates []int, err error) {
	for _, of := range a.byType(steps) {
		m := &meeting{application: a, t: a.step(of[0]).Type, wanted: map[coffer.ObjectRef]int{}}
		bodies := false
		for _, i := range of {
			m.wanted[a.step(i).Target] = i
			bodies = bodies || a.comparesBody(a.step(i))
		}
		if err := m.join(ctx, bodies); err != nil {
			return nil, err
		}
		for _, i := range m.wanted {
			m.gone = append(m.gone, i)
		}
		if err := m.awaitGone(ctx); err != nil {
			return nil, err
		}
		creates = append(creates, m.gone...)
	}
	slices.Sort(creates)
	return creates, nil
}

// byType sorts steps by the type of their objects.
func (a *application) byType(steps []int) [][]int {
	var sorted [][]int
	at := map[coffer.ResourceType]int{}
	for _, i := range steps {
		t := a.step(i).Type
		if _, known := at[t]; !known {
			at[t] = len(sorted)
			sorted = append(sorted, nil)
		}
		sorted[at[t]] = append(sorted[at[t]], i)
	}
	return sorted
}

// comparesBody says whether an object that exists is compared with the recovery point's.
func (a *application) comparesBody(s *plan.Step) bool {
	return s.Action == plan.Patch || s.Action == plan.Replace || s.Policy != plan.SkipExisting
}

// join lists what exists, and meets what is wanted. A type that cannot be listed is no reason to leave out the others.
func (m *meeting) join(ctx context.Context, bodies bool) error {
	list := m.Cluster.ListMetadata
	if bodies {
		list = m.Cluster.List
	}
	var met error
	err := m.eachLive(ctx, list, m.t, m.targets(), func(page coffer.Page) error {
		met = m.page(ctx, page)
		return met
	})
	if met != nil || ctx.Err() != nil || !unlistable(err) {
		return err
	}
	return m.untold(err)
}

// untold settles what is wanted and exists as far as is known, if nobody tells what it is like.
func (m *meeting) untold(why error) error {
	for _, i := range m.wanted {
		s := m.step(i)
		switch {
		case m.policy(s) == plan.FailIfExists:
			return existsMeanwhile(s)
		case m.comparesBody(s):
			m.failed(i, fmt.Errorf("it exists, and was left as it is, for it is not known what it is like: %w", why))
		default:
			m.settle(i, outcomeExisting, "it exists, and was left as it is; who made it is not known: "+why.Error())
		}
	}
	clear(m.wanted)
	return nil
}

// targets are the namespaces of what is wanted.
func (m *meeting) targets() []string {
	var namespaces []string
	for ref := range m.wanted {
		namespaces = append(namespaces, ref.Namespace)
	}
	slices.Sort(namespaces)
	return slices.Compact(namespaces)
}

// listFunc is coffer.Cluster.List, or ListMetadata.
type listFunc func(ctx context.Context, t coffer.ResourceType, namespace string, each func(coffer.Page) error) error

// fewNamespaces is how many namespaces are listed one by one; of more, the whole cluster is.
const fewNamespaces = 8

// eachLive calls each for the pages of one list for each namespace, or of one for all.
func (r *restore) eachLive(ctx context.Context, list listFunc, t coffer.ResourceType, namespaces []string, each func(coffer.Page) error) error {
	if len(namespaces) > fewNamespaces {
		namespaces = []string{""}
	}
	for _, namespace := range namespaces {
		if err := list(ctx, t, namespace, each); err != nil {
			return err
		}
	}
	return nil
}

// existing is an object that is compared with the recovery point's.
type existing struct {
	body json.RawMessage
	// patched says that this run has patched it already, and perhaps that it may have created it.
	patched, perhaps bool
	// made says that this run has created it, and that only its status is to be written.
	made bool
}

// page meets the objects of one page: those that need no comparison at once, the others with their archived bodies.
func (m *meeting) page(ctx context.Context, page coffer.Page) error {
	live := map[int]existing{}
	var compared []int
	for _, item := range page.Items {
		var h liveHeader
		if err := json.Unmarshal(item, &h); err != nil {
			return fmt.Errorf("read %s: %w", m.t.GroupResource, err)
		}
		ref := coffer.ObjectRef{GroupResource: m.t.GroupResource, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}
		i, wanted := m.wanted[ref]
		if !wanted {
			continue
		}
		delete(m.wanted, ref)
		if m.meet(i, &h) {
			live[i] = existing{body: item, patched: h.managedBy(patcherOf(m.run())), perhaps: m.mayBeMade(i, &h), made: m.made(&h)}
			compared = append(compared, i)
		}
	}
	return m.eachBody(ctx, compared, func(ctx context.Context, i int, body []byte) error { return m.compare(ctx, i, body, live[i]) })
}

// meet settles what needs no comparison, and answers true for what does.
func (m *meeting) meet(i int, h *liveHeader) (compare bool) {
	s := m.step(i)
	switch {
	case h.leaves():
		m.leaves(i)
	case m.made(h):
		m.recognise(i, h)
		return m.wantsStatus(s, h)
	case m.mayBeMade(i, h) && m.comparesBody(s):
		m.knowUID(i, h.Metadata.UID)
		return true
	case m.mayBeMade(i, h):
		m.recognise(i, h)
	case s.Action == plan.Replace && h.Metadata.UID != s.UID:
		m.knowUID(i, h.Metadata.UID)
		m.left(i, coffer.CodeChanged, "changed meanwhile: it is not the object that the plan was to replace, and was left as it is; restore again to replace it")
	case s.Target.GroupResource == claimType.GroupResource && s.Volume != nil:
		m.knowUID(i, h.Metadata.UID)
		m.left(i, coffer.CodeVolumeRestoredEmpty, "changed meanwhile: somebody has made the claim, and its volume was left untouched: delete the claim to have the data of the recovery point")
	case !m.comparesBody(s):
		m.knowUID(i, h.Metadata.UID)
		m.settle(i, outcomeExisting, "changed meanwhile: it exists, and was left as it is")
	default:
		m.knowUID(i, h.Metadata.UID)
		return true
	}
	return false
}

// recognise settles a step that an earlier process of this run has carried out.
func (a *application) recognise(i int, h *liveHeader) {
	a.knowUID(i, h.Metadata.UID)
	if h.Metadata.Annotations[pendingOwners] != a.run() {
		a.mu.Lock()
		a.linked[i] = true
		a.mu.Unlock()
	}
	a.settle(i, createdBy(a.step(i)), "")
}

// wantsStatus says whether the status of an object may be restored.
func (m *meeting) wantsStatus(s *plan.Step, h *liveHeader) bool {
	return m.changes.status[s.Target.GroupResource] || h.Metadata.Annotations[transform.StatusAnnotation] != ""
}

func (m *meeting) leaves(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaving = append(m.leaving, i)
}

func (m *meeting) isGone(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = append(m.gone, i)
}

// maxGrace is how long what is being deleted is waited for at most, whatever grace period it was given.
const maxGrace = time.Hour

// awaitGone waits until the objects that are being deleted are gone, once their grace periods are over. Those that are not in time
// are failures.
func (m *meeting) awaitGone(ctx context.Context) error {
	if len(m.leaving) == 0 {
		return nil
	}
	var there map[int]liveHeader
	began := m.Now()
	limit := m.TerminationTimeout
	for {
		_, err := poll(ctx, limit, func(ctx context.Context) (_ bool, err error) {
			there, err = m.stillLeaving(ctx)
			return err == nil && len(there) == 0, err
		})
		if err != nil {
			return err
		}
		var last time.Time
		for _, h := range there {
			if h.Metadata.DeletionTimestamp.After(last) {
				last = h.Metadata.DeletionTimestamp
			}
		}
		grace := min(last.Sub(m.Now()), maxGrace-m.Now().Sub(began))
		if grace <= 0 {
			break
		}
		limit = grace + m.TerminationTimeout
	}
	for _, i := range m.leaving {
		h, still := there[i]
		if !still {
			m.gone = append(m.gone, i)
			continue
		}
		m.failed(i, stillThere(m.step(i).Target, h.Metadata.Finalizers, m.Now().Sub(began).Round(time.Second)))
	}
	return nil
}

// stillLeaving are those of the objects that are being deleted which are still there.
func (m *meeting) stillLeaving(ctx context.Context) (map[int]liveHeader, error) {
	there := map[int]liveHeader{}
	m.wanted = map[coffer.ObjectRef]int{}
	for _, i := range m.leaving {
		m.wanted[m.step(i).Target] = i
	}
	return there, m.eachLive(ctx, m.Cluster.ListMetadata, m.t, m.targets(), func(page coffer.Page) error {
		for _, item := range page.Items {
			var h liveHeader
			if err := json.Unmarshal(item, &h); err != nil {
				return fmt.Errorf("read %s: %w", m.t.GroupResource, err)
			}
			ref := coffer.ObjectRef{GroupResource: m.t.GroupResource, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}
			// Another one of the same name is found when it is created.
			if i, leaving := m.wanted[ref]; leaving && h.leaves() {
				there[i] = h
			}
		}
		return nil
	})
}

// stillThere is the error for an object that does not go away.
func stillThere(target coffer.ObjectRef, finalizers []string, limit time.Duration) error {
	why := "its grace period"
	if len(finalizers) > 0 {
		why = fmt.Sprintf("finalizers %q", finalizers)
	}
	return coffer.Errorf(coffer.CodeObjectFailed, "it is still being deleted after %s: %s keep it", limit, why).
		WithHint("`kubectl get %s -o yaml` says who is to act; restore again once it is gone", kubectlName(target))
}

func kubectlName(ref coffer.ObjectRef) string {
	if ref.Namespace == "" {
		return ref.GroupResource.String() + " " + ref.Name
	}
	return ref.GroupResource.String() + " -n " + ref.Namespace + " " + ref.Name
}
