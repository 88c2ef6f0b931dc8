package flow

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/hook"
	"github.com/coffer-backup/coffer/internal/decide/volume"
)

// parallelGroups bounds how many namespaces are frozen at the same time, and parallelCalls the requests within one.
const (
	parallelGroups = 8
	parallelCalls  = 16
)

// group is what is frozen and snapshotted at one moment: the hooked pods and the claims of one namespace, or all the
// claims of the namespaces that no hook applies to.
type group struct {
	pods   []hookedPod
	claims []volume.Decision
}

type hookedPod struct {
	pod   corev1.Pod
	hooks hook.Backup
}

// snapshotVolumes freezes, cuts and thaws. A pod is frozen only until the snapshots of its namespace are cut, not
// until they are ready.
//
// If an earlier process died with pods frozen, nobody knows what was cut while they were: they are thawed, the
// snapshots of the run are deleted, and everything is done again.
func (b *backup) snapshotVolumes(ctx context.Context) error {
	if len(b.object.Status.FrozenPods) > 0 {
		if err := b.thawAll(ctx); err != nil {
			return err
		}
		if err := b.discardSnapshots(ctx); err != nil {
			return err
		}
	}
	groups, err := b.groups(ctx)
	if err != nil {
		return err
	}
	if err := b.dropCutGroups(ctx, &groups); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(parallelGroups)
	for _, g := range groups {
		all.Go(func() error { return b.snapshotGroup(ctx, g) })
	}
	return all.Wait()
}

// groups finds the claims and the hooked pods in scope.
func (b *backup) groups(ctx context.Context) ([]group, error) {
	if err := b.look(ctx); err != nil {
		return nil, err
	}
	decisions, err := b.decideVolumes(ctx)
	if err != nil {
		return nil, err
	}
	hooked, err := b.hookedPods(ctx, decisions)
	if err != nil {
		return nil, err
	}
	byNamespace := map[string]*group{}
	for _, p := range hooked {
		g := byNamespace[p.pod.Namespace]
		if g == nil {
			g = &group{}
			byNamespace[p.pod.Namespace] = g
		}
		g.pods = append(g.pods, p)
	}
	var unhooked group
	total, skipped := 0, 0
	for _, d := range decisions {
		total++
		if d.Volume.Result == coffer.VolumeSkipped {
			skipped++
			continue
		}
		if g := byNamespace[d.Volume.Namespace]; g != nil {
			g.claims = append(g.claims, d)
		} else {
			unhooked.claims = append(unhooked.claims, d)
		}
	}
	b.update(func() {
		b.object.Status.Progress.VolumesTotal, b.object.Status.Progress.VolumesSkipped = total, skipped
		b.object.Status.Progress.VolumesCut = 0
	})
	var groups []group
	for _, g := range byNamespace {
		groups = append(groups, *g)
	}
	if len(unhooked.claims) > 0 {
		groups = append(groups, unhooked)
	}
	return groups, nil
}

func (b *backup) decideVolumes(ctx context.Context) ([]volume.Decision, error) {
	claims, err := b.selectedClaims(ctx)
	if unlistable(err) {
		b.warn(coffer.CodeTypeNotCaptured, claimType.GroupResource.String(), "no volume was captured: which claims there are could not be read: "+err.Error())
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(claims) == 0 {
		return nil, nil
	}
	byName := map[string]*corev1.PersistentVolume{}
	for _, claim := range claims {
		byName[claim.Spec.VolumeName] = nil
	}
	volumes, err := listSome(ctx, b.Cluster, volumeType, "", func(v corev1.PersistentVolume) bool {
		_, bound := byName[v.Name]
		return bound
	})
	if unlistable(err) {
		b.warn(coffer.CodeTypeNotCaptured, volumeType.GroupResource.String(), "no volume was captured: whose volumes they are could not be read: "+err.Error())
	} else if err != nil {
		return nil, err
	}
	for i := range volumes {
		byName[volumes[i].Name] = &volumes[i]
	}
	classes, err := b.Snapshots.Classes(ctx)
	if err != nil && coffer.CodeOf(err) != coffer.CodeSnapshotAPIUnavailable {
		return nil, err
	}
	policies, err := volume.ParsePolicies(b.object.Spec.VolumePolicies)
	if err != nil {
		return nil, err
	}
	asked := volume.Request{Snapshots: b.snapshotsWanted(), Policies: policies}
	var decisions []volume.Decision
	for _, claim := range claims {
		decisions = append(decisions, volume.Decide(claim, byName[claim.Spec.VolumeName], classes, asked))
	}
	return decisions, nil
}

// hookedPods finds the pods to freeze for the volumes that are captured.
func (b *backup) hookedPods(ctx context.Context, decisions []volume.Decision) ([]hookedPod, error) {
	hooks := b.hooks()
	if len(hooks) == 0 {
		return nil, nil
	}
	byClaim := map[string]volume.Decision{}
	for _, d := range decisions {
		byClaim[d.Volume.Namespace+"/"+d.Volume.Claim] = d
	}
	var found []hookedPod
	for _, namespace := range b.podNamespaces(decisions) {
		pods, err := listSome(ctx, b.Cluster, podType, namespace, func(pod corev1.Pod) bool {
			return b.scope.Namespace(pod.Namespace).Include && !hook.ForBackup(hooks, pod).Empty() && b.toFreeze(pod, byClaim)
		})
		if unlistable(err) {
			// Nobody could say that the application was quiet.
			return nil, coffer.Errorf(coffer.CodeHookFailed, "the pods in which the hooks are to be run could not be read: %w", err).
				WithHint("let the extension list pods, or back up without backupHookReferences")
		}
		if err != nil {
			return nil, err
		}
		for _, pod := range pods {
			found = append(found, hookedPod{pod: pod, hooks: hook.ForBackup(hooks, pod)})
		}
	}
	return found, nil
}

// dropCutGroups leaves out the groups whose snapshots an earlier process has cut and thawed already.
func (b *backup) dropCutGroups(ctx context.Context, groups *[]group) error {
	states, err := b.states(ctx)
	if err != nil {
		return err
	}
	*groups = slices.DeleteFunc(*groups, func(g group) bool {
		if len(g.claims) == 0 {
			return false
		}
		for _, d := range g.claims {
			if !states[snapshotKey(d.Volume)].Cut {
				return false
			}
		}
		b.update(func() { b.object.Status.Progress.VolumesCut += len(g.claims) })
		return true
	})
	return nil
}

// states are the snapshots of the run, by snapshotKey.
func (b *backup) states(ctx context.Context) (map[string]coffer.SnapshotState, error) {
	states, err := b.Snapshots.Observe(ctx, b.run())
	if err != nil && coffer.CodeOf(err) != coffer.CodeSnapshotAPIUnavailable {
		return nil, err
	}
	byKey := map[string]coffer.SnapshotState{}
	for _, s := range states {
		byKey[s.Namespace+"/"+s.Request] = s
	}
	return byKey, nil
}

// snapshotKey is NAMESPACE/REQUEST-NAME of the snapshot of a claim.
func snapshotKey(v coffer.Volume) string { return v.Namespace + "/" + requestName(v) }

// requestName is unique in its namespace and the same each time.
func requestName(v coffer.Volume) string { return coffer.ShortHash(v.Namespace + "/" + v.Claim) }

func (b *backup) snapshotGroup(ctx context.Context, g group) error {
	if len(g.pods) > 0 {
		if err := b.turns.take(ctx, g.pods[0].pod.Namespace); err != nil {
			return err
		}
	}
	began := b.Now()
	if err := b.freeze(ctx, g.pods); err != nil {
		// The rollback thaws what was frozen.
		return err
	}
	cutting := b.Now()
	if err := b.cut(ctx, g.claims); err != nil {
		return err
	}
	b.Log.Info("snapshots cut", "volumes", len(g.claims), "took", b.Now().Sub(cutting))
	if len(g.pods) == 0 {
		return nil
	}
	err := b.thaw(ctx, g.pods)
	if err == nil {
		b.turns.give(g.pods[0].pod.Namespace)
	}
	frozen := b.Now().Sub(began)
	b.Log.Info("pods frozen and thawed", "namespace", g.pods[0].pod.Namespace, "pods", len(g.pods), "frozen", frozen)
	b.update(func() {
		if p := &b.object.Status.Progress; p.LongestFreeze == nil || p.LongestFreeze.Duration < frozen {
			p.LongestFreeze = &metav1.Duration{Duration: frozen.Round(time.Millisecond)}
		}
	})
	return err
}

// cut asks for all snapshots of a group at once and waits until they are cut. One that is not in time is left out of
// the recovery point by capture, which finds it uncut: an application does not stay frozen for it.
func (b *backup) cut(ctx context.Context, claims []volume.Decision) error {
	calls, callCtx := errgroup.WithContext(ctx)
	calls.SetLimit(parallelCalls)
	for _, d := range claims {
		calls.Go(func() error {
			err := b.Snapshots.Cut(callCtx, coffer.SnapshotRequest{
				Name: requestName(d.Volume), Namespace: d.Volume.Namespace, Claim: d.Volume.Claim, Class: d.Class, Run: b.run(),
			})
			if coffer.Final(err) {
				// The namespace is going away, or quota or admission refuse it: this volume only.
				b.skipVolume(d.Volume, coffer.CodeSnapshotUnsupported, err.Error())
				return nil
			}
			return err
		})
	}
	if err := calls.Wait(); err != nil {
		return err
	}
	counted := 0
	_, err := poll(ctx, b.CutTimeout, func(ctx context.Context) (bool, error) {
		states, err := b.states(ctx)
		if err != nil {
			return false, err
		}
		cut, waiting := 0, 0
		for _, d := range claims {
			s, exists := states[snapshotKey(d.Volume)]
			if s.Cut {
				cut++
			} else if exists {
				waiting++
			}
		}
		if cut != counted {
			b.update(func() { b.object.Status.Progress.VolumesCut += cut - counted })
			counted = cut
			if err := b.save(ctx); err != nil {
				return false, err
			}
		}
		return waiting == 0, nil
	})
	return err
}

func (b *backup) skipVolume(v coffer.Volume, code coffer.Code, reason string) {
	b.warn(code, fmt.Sprintf("PersistentVolumeClaim %s/%s", v.Namespace, v.Claim), "its data is not in the recovery point: "+reason)
}
