package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
)

// inventory finds out which of the objects of a plan exist, by lists of metadata: for each type one of the whole cluster,
// or one for each of a few namespaces.
type inventory struct {
	cluster coffer.Cluster
	// targets are the objects that are looked for.
	targets map[coffer.ObjectRef]struct{}

	mu   sync.Mutex // guards all below
	have map[coffer.ObjectRef]plan.Live
	// unknown says why it is not known what there is of a type in a namespace; an empty namespace stands for all.
	unknown map[typeIn]string
}

// typeIn is a type in one namespace.
type typeIn struct {
	coffer.GroupResource
	namespace string
}

// takeInventory looks for the objects of a plan. A type that cannot be listed is said to be unknown, and is no failure.
func (r *restore) takeInventory(ctx context.Context, p plan.Plan) (plan.Inventory, error) {
	began := r.Now()
	i := &inventory{cluster: r.Cluster, targets: map[coffer.ObjectRef]struct{}{}, have: map[coffer.ObjectRef]plan.Live{}, unknown: map[typeIn]string{}}
	for _, name := range p.Namespaces {
		i.targets[coffer.ObjectRef{GroupResource: namespaceType.GroupResource, Name: name}] = struct{}{}
	}
	types := map[coffer.ResourceType]map[string]bool{}
	for _, s := range p.Steps {
		if !s.Writes() || s.Type.Resource == "" {
			continue
		}
		i.targets[s.Target] = struct{}{}
		if types[s.Type] == nil {
			types[s.Type] = map[string]bool{}
		}
		types[s.Type][s.Target.Namespace] = true
	}
	if err := i.spaces(ctx, p.Namespaces); err != nil {
		return plan.Inventory{}, err
	}
	// Which namespaces count is known before the lists begin to write to what it is known by.
	namespacesOf := map[coffer.ResourceType][]string{}
	for t, in := range types {
		if t.GroupResource != namespaceType.GroupResource {
			namespacesOf[t] = slices.DeleteFunc(slices.Sorted(maps.Keys(in)), i.void)
		}
	}
	lists, listCtx := errgroup.WithContext(ctx)
	for t, namespaces := range namespacesOf {
		lists.Go(func() error { return i.list(listCtx, t, namespaces) })
	}
	if err := lists.Wait(); err != nil {
		return plan.Inventory{}, err
	}
	r.Log.Info("inventory taken", "types", len(types), "targets", len(i.targets), "existing", len(i.have), "took", r.Now().Sub(began))
	return plan.Inventory{Objects: i.have, UnknownFunc: i.why}, nil
}

// why says why it is not known whether an object exists.
func (i *inventory) why(ref coffer.ObjectRef) string {
	if why, unknown := i.unknown[typeIn{ref.GroupResource, ref.Namespace}]; unknown {
		return why
	}
	return i.unknown[typeIn{GroupResource: ref.GroupResource}]
}

// void says of a namespace that nothing in it counts: it does not exist, or is being deleted.
func (i *inventory) void(namespace string) bool {
	ref := coffer.ObjectRef{GroupResource: namespaceType.GroupResource, Name: namespace}
	live, exists := i.have[ref]
	return namespace != "" && (live.Terminating || !exists && i.why(ref) == "")
}

// spaces looks for namespaces: in a list, or one by one where that is not allowed.
func (i *inventory) spaces(ctx context.Context, names []string) error {
	err := i.cluster.ListMetadata(ctx, namespaceType, "", i.page(namespaceType))
	if coffer.CodeOf(err) != coffer.CodeForbidden {
		return i.note(namespaceType, "", err)
	}
	for _, name := range names {
		body, err := i.cluster.Get(ctx, namespaceType, "", name)
		switch {
		case coffer.CodeOf(err) == coffer.CodeNotFound:
		case coffer.Final(err):
			return i.note(namespaceType, "", err)
		case err != nil:
			return err
		default:
			if err := i.take(namespaceType, body); err != nil {
				return err
			}
		}
	}
	return nil
}

// list lists a type where its objects are to be: namespaces one by one if they are few, or hold little of what the cluster
// has, or if nothing else is allowed.
func (i *inventory) list(ctx context.Context, t coffer.ResourceType, namespaces []string) error {
	switch {
	case !t.Namespaced:
		return i.note(t, "", i.cluster.ListMetadata(ctx, t, "", i.page(t)))
	case len(namespaces) <= maxNamespaceLists:
		return i.listEach(ctx, t, namespaces)
	}
	begun := false
	each := i.page(t)
	err := i.cluster.ListMetadata(ctx, t, "", func(p coffer.Page) error {
		if !begun && len(namespaces) <= maxSparseLists && p.Remaining > int64(len(namespaces))*requestWorth {
			return errSparse
		}
		begun = true
		return each(p)
	})
	if errors.Is(err, errSparse) || coffer.CodeOf(err) == coffer.CodeForbidden && !begun {
		return i.listEach(ctx, t, namespaces)
	}
	return i.note(t, "", err)
}

func (i *inventory) listEach(ctx context.Context, t coffer.ResourceType, namespaces []string) error {
	for _, namespace := range namespaces {
		if err := i.note(t, namespace, i.cluster.ListMetadata(ctx, t, namespace, i.page(t))); err != nil {
			return err
		}
	}
	return nil
}

// note takes down why a list could not be had. What may pass by itself is returned.
func (i *inventory) note(t coffer.ResourceType, namespace string, err error) error {
	if err == nil || !coffer.Final(err) && coffer.CodeOf(err) != coffer.CodeUnanswered {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.unknown[typeIn{t.GroupResource, namespace}] = "what exists is not known: " + err.Error()
	return nil
}

// page takes the targets among the objects of a page.
func (i *inventory) page(t coffer.ResourceType) func(coffer.Page) error {
	return func(p coffer.Page) error {
		for _, raw := range p.Items {
			if err := i.take(t, raw); err != nil {
				return err
			}
		}
		return nil
	}
}

func (i *inventory) take(t coffer.ResourceType, raw []byte) error {
	var o struct {
		Metadata struct {
			Name              string `json:"name"`
			Namespace         string `json:"namespace"`
			UID               string `json:"uid"`
			DeletionTimestamp string `json:"deletionTimestamp"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return coffer.Errorf(coffer.CodeUnanswered, "list %s: what the API server sends is no object: %w", t.GroupResource, err)
	}
	ref := coffer.ObjectRef{GroupResource: t.GroupResource, Namespace: o.Metadata.Namespace, Name: o.Metadata.Name}
	if _, wanted := i.targets[ref]; !wanted {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.have[ref] = plan.Live{UID: o.Metadata.UID, Terminating: o.Metadata.DeletionTimestamp != ""}
	return nil
}

// planText counts the steps of a plan for the log.
func planText(p plan.Plan) string {
	counts := map[plan.Action]int{}
	for _, s := range p.Steps {
		counts[s.Action]++
	}
	return fmt.Sprint(counts)
}
