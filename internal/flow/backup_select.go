package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
	"github.com/coffer-backup/coffer/internal/decide/volume"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// scope is what a Backup asks for, applied to the cluster as it is now.
type scope struct {
	*selection.Selection
	// types of the cluster, and what of its discovery failed.
	types []coffer.ResourceType
	gaps  []coffer.TypeGap
	// spaces are the cluster's namespaces.
	spaces []selection.Space
	// warnings of filters that match nothing.
	warnings []selection.Warning
}

// CheckBackup refuses what can be seen to be wrong with a request without asking a cluster. extension is the namespace
// of the Backup extension.
func CheckBackup(spec v1alpha1.BackupSpec, extension string) error {
	if spec.OnlyNeededClusterScopeResources && spec.IncludeClusterScopeResources != nil {
		return coffer.Errorf(coffer.CodeInvalid, "includeClusterScopeResources and onlyNeededClusterScopeResources are both set").
			WithHint("leave the first out to have only what is needed")
	}
	for _, named := range []struct {
		field string
		names []string
	}{{"includedNamespaces", spec.IncludedNamespaces}, {"excludedNamespaces", spec.ExcludedNamespaces}} {
		if n := len(named.names); n > v1alpha1.MaxNamespaces {
			return coffer.Errorf(coffer.CodeInvalid, "%s names %d namespaces, and at most %d can be named", named.field, n, v1alpha1.MaxNamespaces).
				WithHint("write patterns as in team-*, or leave includedNamespaces empty for all and name the ones to leave out")
		}
	}
	if _, err := volume.ParsePolicies(spec.VolumePolicies); err != nil {
		return err
	}
	return backupConfig(spec, extension).Check()
}

func backupConfig(spec v1alpha1.BackupSpec, extension string) selection.Config {
	c := selection.Config{
		Rules: selection.Rules{
			Included: spec.IncludedNamespaces, Excluded: spec.ExcludedNamespaces,
			SystemNamespaces: selection.SystemNamespaces(extension),
		},
		IncludedTypes: spec.IncludedResourceTypes, ExcludedTypes: spec.ExcludedResourceTypes,
		LabelSelectors: spec.LabelSelectors, OrLabelSelectors: spec.OrLabelSelectors,
	}
	for _, o := range spec.IncludedObjects {
		c.Objects = append(c.Objects, selection.ObjectName{Type: o.Type, Namespace: o.Namespace, Name: o.Name})
	}
	whole := c.All() && len(c.Objects) == 0 && !spec.OnlyNeededClusterScopeResources
	c.ClusterScope = clusterScope(spec.IncludeClusterScopeResources, whole)
	return c
}

func clusterScope(asked *bool, whole bool) selection.ClusterScope {
	switch {
	case asked != nil && *asked, asked == nil && whole:
		return selection.ClusterScopeAll
	case asked != nil:
		return selection.ClusterScopeNone
	}
	return selection.ClusterScopeNeeded
}

// lookAround applies the request to the cluster as it is now: its types, and its namespaces with their labels.
func (b *backup) lookAround(ctx context.Context) error {
	types, gaps, err := b.Cluster.Types(ctx)
	if err != nil {
		return err
	}
	all, err := b.namespaces(ctx)
	if err != nil {
		return err
	}
	spaces := make([]selection.Space, 0, len(all))
	for _, n := range all {
		spaces = append(spaces, selection.Space{Name: n.Name, Labels: n.Labels})
	}
	chosen, warnings, err := selection.New(backupConfig(b.object.Spec, b.Namespace), types, spaces)
	if err != nil && len(gaps) > 0 {
		// What is not known may be of an API group that does not answer.
		return coffer.Errorf(coffer.CodeOf(err), "%w; the types of %s are not known: %s", err, gaps[0].What, gaps[0].Reason)
	}
	if err != nil {
		return err
	}
	b.scope = &scope{Selection: chosen, types: types, gaps: gaps, spaces: spaces, warnings: warnings}
	return nil
}

// namespaces are the cluster's, or, if they may not be listed, those that are named and that there are.
func (b *backup) namespaces(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	all, err := list[metav1.PartialObjectMetadata](ctx, b.Cluster, namespaceType, "")
	config := backupConfig(b.object.Spec, b.Namespace)
	if coffer.CodeOf(err) != coffer.CodeForbidden || config.All() || len(config.Named()) < len(config.Included) {
		return all, err
	}
	for _, name := range config.Named() {
		body, err := b.Cluster.Get(ctx, namespaceType, "", name)
		if coffer.CodeOf(err) == coffer.CodeNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		var one metav1.PartialObjectMetadata
		if err := json.Unmarshal(body, &one); err != nil {
			return nil, fmt.Errorf("read namespace %s: %w", name, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// look is lookAround for a process that has not yet.
func (b *backup) look(ctx context.Context) error {
	if b.scope != nil {
		return nil
	}
	return b.lookAround(ctx)
}

// checkNamespaces refuses names of namespaces that are not there, and warns of what selects nothing.
func (b *backup) checkNamespaces(context.Context) error {
	for _, w := range b.scope.warnings {
		b.warn(coffer.CodeNothingMatches, w.Subject, w.Message)
	}
	var missing []string
	for _, wanted := range backupConfig(b.object.Spec, b.Namespace).Named() {
		if !slices.ContainsFunc(b.scope.spaces, func(s selection.Space) bool { return s.Name == wanted }) {
			missing = append(missing, fmt.Sprintf("%q", wanted))
		}
	}
	if len(missing) > 0 {
		return coffer.Errorf(coffer.CodeNamespaceNotFound, "includedNamespaces: the cluster has no namespace %s", someOf(missing)).
			WithHint("see `kubectl get namespaces`")
	}
	for _, named := range backupConfig(b.object.Spec, b.Namespace).Named() {
		if d := b.scope.Namespace(named); !d.Include {
			b.warn(coffer.CodeNothingMatches, "includedNamespaces "+named, "the namespace is left out: it has "+d.Reason)
		}
	}
	return nil
}

// someOf lists the first few of many.
func someOf(all []string) string {
	const shown = 5
	if len(all) <= shown {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:shown], ", "), len(all)-shown)
}

// checkPicks asks for each object that was named whether it exists: there are few of them, and a type may have many.
func (b *backup) checkPicks(ctx context.Context) error {
	picks := b.scope.Picks()
	absent := make([]bool, len(picks))
	calls, ctx := errgroup.WithContext(ctx)
	calls.SetLimit(parallelCalls)
	for i, p := range picks {
		calls.Go(func() error {
			_, err := b.Cluster.Get(ctx, p.Type, p.Ref.Namespace, p.Ref.Name)
			if absent[i] = coffer.CodeOf(err) == coffer.CodeNotFound; absent[i] {
				return nil
			}
			return err
		})
	}
	if err := calls.Wait(); err != nil {
		return err
	}
	var missing []string
	for i, p := range picks {
		if absent[i] {
			missing = append(missing, p.Ref.String())
		}
	}
	if len(missing) > 0 {
		return coffer.Errorf(coffer.CodeNotFound, "includedObjects: the cluster has no %s", someOf(missing)).
			WithHint("correct the name, or remove it")
	}
	return nil
}

// checkFound refuses a recovery point of nothing, and tells of named objects that went away meanwhile.
func (b *backup) checkFound(to *collection, volumes []coffer.Volume) error {
	for _, p := range b.scope.Picks() {
		space := b.scope.Namespace(p.Ref.Namespace)
		switch {
		case to.holds(p):
		case p.Ref.Namespace != "" && !space.Include:
			b.warn(coffer.CodeNothingMatches, p.Ref.String(), "it is not in the recovery point: the namespace has "+space.Reason)
		default:
			b.warn(coffer.CodeNothingMatches, p.Ref.String(), "it is not in the recovery point: "+to.whyNot(p.Ref))
		}
	}
	captured := slices.ContainsFunc(volumes, func(v coffer.Volume) bool { return v.Result == coffer.VolumeCaptured })
	if to.count() > 0 || captured || b.object.Spec.AllowEmpty {
		return nil
	}
	return coffer.Errorf(coffer.CodeNothingToDo, "no object of the cluster is selected, so there would be nothing in the recovery point").
		WithHint("correct namespaces, types and labels; or set allowEmpty if nothing is what you want at times")
}

// captureScope captures the selected types stage by stage: what is needed is known once those that need it have been
// seen.
func (b *backup) captureScope(ctx context.Context, capture func(context.Context, coffer.ResourceType) error, to *collection) error {
	for _, stage := range b.scope.Stages(b.scope.types) {
		// All begin at once, so that they are of about one moment. How much of them is in memory is the cluster's care.
		all, ctx := errgroup.WithContext(ctx)
		for _, t := range stage {
			if d := b.scope.Type(t); !d.Include {
				to.skippedType(t, d.Reason)
				continue
			}
			if b.scope.OnlyNeeded(t) && !to.needsAny(t.GroupResource) {
				to.skippedType(t, "no selected object needs one")
				continue
			}
			all.Go(func() error { return capture(ctx, t) })
		}
		if err := all.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// listNamespaces are the namespaces to list one by one for a type; a single empty one stands for the whole cluster.
func (b *backup) listNamespaces(t coffer.ResourceType) []string {
	if !t.Namespaced {
		return []string{""}
	}
	names, bounded := b.scope.Namespaces(t.GroupResource)
	if bounded && len(names) <= maxNamespaceLists {
		return names
	}
	return []string{""}
}

// podNamespaces are the namespaces to list for pods: those of pods to capture, and of pods that use a claim that is.
func (b *backup) podNamespaces(decisions []volume.Decision) []string {
	names := b.listNamespaces(podType)
	for _, d := range decisions {
		if ns := d.Volume.Namespace; !slices.Contains(names, "") && !slices.Contains(names, ns) {
			names = append(names, ns)
		}
	}
	return names
}

// selectedClaims lists the claims in scope. Those that their label leaves out are among them: the ledger names their
// volumes.
func (b *backup) selectedClaims(ctx context.Context) ([]corev1.PersistentVolumeClaim, error) {
	if !b.scope.Type(claimType).Include {
		return nil, nil
	}
	var found []corev1.PersistentVolumeClaim
	for _, namespace := range b.listNamespaces(claimType) {
		some, err := listSome(ctx, b.Cluster, claimType, namespace, func(c corev1.PersistentVolumeClaim) bool {
			return c.DeletionTimestamp == nil && !b.decide(claimType, c.ObjectMeta).OutOfScope
		})
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return found, nil
}

// decide decides on an object that nothing needs.
func (b *backup) decide(t coffer.ResourceType, o metav1.ObjectMeta) selection.Decision {
	h := coffer.Header{Metadata: coffer.HeaderMetadata{Name: o.Name, Namespace: o.Namespace, Labels: o.Labels}}
	return b.scope.Object(t, h, nil, nil)
}

// toFreeze says whether the hooks of a pod are to be run: it uses a volume of which a snapshot is taken, or it is
// selected itself and none of its volumes was left out. Nobody's application is frozen for data that nobody wants.
func (b *backup) toFreeze(pod corev1.Pod, decisions map[string]volume.Decision) bool {
	leftOut := false
	for _, v := range pod.Spec.Volumes {
		var claim string
		switch {
		case v.PersistentVolumeClaim != nil:
			claim = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			claim = pod.Name + "-" + v.Name
		default:
			continue
		}
		d, selected := decisions[pod.Namespace+"/"+claim]
		if d.Volume.Result == coffer.VolumeCaptured {
			return true
		}
		leftOut = leftOut || !selected || d.LeftOut
	}
	return !leftOut && b.scope.Type(podType).Include && b.decide(podType, pod.ObjectMeta).Include
}

// noteNeeds takes down what a captured object needs.
func (b *backup) noteNeeds(to *collection, ref coffer.ObjectRef, body []byte) {
	if !b.scope.Closes() {
		return
	}
	needs := selection.Needs(ref, body)
	to.mu.Lock()
	defer to.mu.Unlock()
	for _, n := range needs {
		of := to.needs[n.Type]
		if of == nil {
			of = map[string]string{}
			to.needs[n.Type] = of
		}
		if _, known := of[n.Name]; !known {
			of[n.Name] = ref.String() + " is " + n.Word + " it"
		}
	}
}

// needsAny says whether anything of a type is needed.
func (c *collection) needsAny(t coffer.GroupResource) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.needs[t]) > 0
}

// needed implements selection.Needed by what has been captured up to now.
func (c *collection) needed(t coffer.GroupResource, name string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason, found := c.needs[t][name]
	return reason, found
}

// noteDecision puts a decision that needs a word into the ledger: what was left out of what was asked for, by name;
// what the filters left out of the selected namespaces, counted; and what is there because something needs it. What
// other namespaces hold is nobody's business.
func (b *backup) noteDecision(to *collection, ref coffer.ObjectRef, d selection.Decision) {
	if d.Include && d.Reason == "" || d.OutOfScope && ref.Namespace != "" && !b.scope.Namespace(ref.Namespace).Include {
		return
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	switch {
	case d.OutOfScope:
		to.unasked[coffer.TypeGap{What: ref.GroupResource.String(), Reason: d.Reason}]++
	case !d.Include:
		to.coverage.SkippedObjects = append(to.coverage.SkippedObjects, coffer.SkippedObject{ObjectRef: ref, Reason: d.Reason})
	default:
		to.coverage.Needed = append(to.coverage.Needed, coffer.NeededObject{ObjectRef: ref, Reason: d.Reason})
	}
}

// holds says whether an object that was named is captured.
func (c *collection) holds(p selection.Pick) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resources.Has(p.Type.APIVersion(), p.Type.Kind, p.Ref)
}

// whyNot is the reason for which an object that was named is not captured.
func (c *collection) whyNot(ref coffer.ObjectRef) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.coverage.SkippedObjects {
		if o.ObjectRef == ref {
			return o.Reason
		}
	}
	return "it went away while the backup was running, or its type could not be read"
}

// veleroFilters are the filters in Velero's words.
func (b *backup) veleroFilters() recoverypoint.VeleroFilters {
	spec := b.object.Spec
	return recoverypoint.VeleroFilters{
		IncludedNamespaces: spec.IncludedNamespaces, ExcludedNamespaces: spec.ExcludedNamespaces,
		IncludedResources: b.scope.Included(), ExcludedResources: b.scope.Excluded(),
		IncludeClusterResources: spec.IncludeClusterScopeResources, SnapshotVolumes: b.snapshotsWanted(),
		LabelSelectors: b.scope.LabelSelectors(),
	}
}
