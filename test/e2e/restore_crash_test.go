//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
	"github.com/coffer-backup/coffer/test/shop"
)

// mortal is what is restored while the extension dies: objects that are created, with owners and a workload, and three that are
// met.
const mortal = `
apiVersion: v1
kind: Namespace
metadata: {name: mortal}
---
apiVersion: v1
kind: Namespace
metadata: {name: mortal-too}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: mortal}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: __IMAGE__, imagePullPolicy: Never, command: [sleep, "100000"]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: met, namespace: mortal-too}
data: {a: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: untouched, namespace: mortal-too}
data: {a: "1"}
---
apiVersion: v1
kind: Secret
metadata: {name: replaced, namespace: mortal-too}
stringData: {a: "1"}
`

// owned is how many ConfigMaps belong to the Deployment.
const owned = 1000

// births counts how often objects of three types come to be, by KIND NAMESPACE/NAME.
type births struct {
	mu     sync.Mutex // guards all below
	counts map[string]int
	seen   map[string]bool
	lost   error
}

// watchBirths watches from now on. What the API server says twice is one birth.
func watchBirths(t *testing.T, namespaces ...string) *births {
	t.Helper()
	c, err := client.NewWithWatch(lab.config, client.Options{Scheme: newScheme()})
	if err != nil {
		t.Fatal(err)
	}
	b := &births{counts: map[string]int{}, seen: map[string]bool{}}
	var watching sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(func() { stop(); watching.Wait() })
	for kind, apiVersion := range map[string]string{"ConfigMap": "v1", "Secret": "v1", "Deployment": "apps/v1"} {
		list := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kind + "List"}}
		if err := c.List(ctx, list); err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			b.seen[string(o.UID)] = true
		}
		events, err := c.Watch(ctx, list.DeepCopy(), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
		if err != nil {
			t.Fatal(err)
		}
		watching.Go(func() {
			defer events.Stop()
			for event := range events.ResultChan() {
				b.note(kind, event, namespaces)
			}
			if ctx.Err() == nil {
				b.note(kind, watch.Event{Type: watch.Error}, nil)
			}
		})
	}
	return b
}

func (b *births) note(kind string, event watch.Event, namespaces []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, isObject := event.Object.(client.Object)
	if event.Type == watch.Error || !isObject {
		b.lost = fmt.Errorf("the watch of %s ended: %+v", kind, event.Object)
		return
	}
	for _, ns := range namespaces {
		if o.GetNamespace() == ns && event.Type == watch.Added && !b.seen[string(o.GetUID())] {
			b.seen[string(o.GetUID())] = true
			b.counts[kind+" "+ns+"/"+o.GetName()]++
		}
	}
}

// number is how many objects have come to be, but for those that Kubernetes makes.
func (b *births) number() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for object := range b.counts {
		if !strings.HasSuffix(object, "/kube-root-ca.crt") {
			n++
		}
	}
	return n
}

// mustBeOnce fails unless so many objects came to be, and none twice.
func (b *births) mustBeOnce(t *testing.T, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d objects have come to be", want), time.Minute, func(context.Context) (bool, error) { return b.number() >= want, nil })
	if n := b.number(); n != want {
		t.Errorf("%d objects have come to be, want %d", n, want)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost != nil {
		t.Error(b.lost)
	}
	for object, n := range b.counts {
		if n != 1 {
			t.Errorf("%s was made %d times", object, n)
		}
	}
}

// newMortal makes the namespaces "mortal", with ConfigMaps that belong to a Deployment, and "mortal-too".
func newMortal(t *testing.T) {
	t.Helper()
	shopIn(t, "mortal")
	shopIn(t, "mortal-too")
	apply(t, strings.ReplaceAll(mortal, "__IMAGE__", lab.images.Toolbox))
	owner := live(t, "apps/v1", "Deployment", "mortal/web")
	var work errgroup.Group
	work.SetLimit(16)
	for i := range owned {
		work.Go(func() error {
			return lab.client.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
				Namespace: "mortal", Name: fmt.Sprintf("m-%04d", i),
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: owner.GetUID()}},
			}})
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
}

// killMortal removes the namespace "mortal", with others, and changes what is in "mortal-too".
func killMortal(t *testing.T, others ...shop.Shop) {
	t.Helper()
	mustDestroy(t, append(others, shop.Shop{Client: lab.client, Namespace: "mortal"})...)
	change(t, "v1", "ConfigMap", "mortal-too/met", `{"data":{"a":"2"}}`)
	change(t, "v1", "Secret", "mortal-too/replaced", `{"data":{"a":"Mg=="}}`)
}

// mortalRestore makes all that is there no more, patches what was changed, and replaces Secrets.
func mortalRestore(name string) *v1alpha1.Restore {
	return &v1alpha1.Restore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.RestoreSpec{
		BackupName: "deadly-1", ConflictPolicy: v1alpha1.ConflictPatch, ConfirmReplace: true,
		ConflictPolicies: []v1alpha1.TypeConflictPolicy{{Type: "secrets", Policy: v1alpha1.ConflictReplace}},
	}}
}

// mustBeImmortal fails unless a restore did all that it was to, once: more is how many objects it makes beside the mortal ones.
func mustBeImmortal(t *testing.T, r v1alpha1.Restore, more int, made *births) {
	t.Helper()
	mustAgreeWithReport(t, r)
	mustSucceed(t, r, 0)
	// The namespace, the Deployment, and the ConfigMaps. The accounts called default are made by whoever is first.
	accounts := 0
	_, lines := outcomes(t, r)
	for object, o := range lines {
		if strings.HasPrefix(object, "serviceaccounts ") && o.Result == restorerecord.Created {
			accounts++
		}
	}
	if p := r.Status.Progress; p.Created-accounts != owned+2+more || p.Patched != 1 || p.Replaced != 1 {
		t.Errorf("restore %s: %+v, want %d created objects and %d accounts", r.Name, p, owned+2+more, accounts)
	}
	mustHaveResults(t, r, map[string]restorerecord.Result{
		"namespaces mortal": restorerecord.Created, "deployments.apps mortal/web": restorerecord.Created, "configmaps mortal/m-0000": restorerecord.Created,
		"configmaps mortal-too/met": restorerecord.Patched, "configmaps mortal-too/untouched": restorerecord.Existing, "secrets mortal-too/replaced": restorerecord.Replaced,
	})
	mustHold(t, live(t, "v1", "ConfigMap", "mortal-too/met"), map[string]string{"data.a": "1"})
	mustHold(t, live(t, "v1", "Secret", "mortal-too/replaced"), map[string]string{"data.a": "MQ=="})
	made.mustBeOnce(t, owned+2)
	owner := live(t, "apps/v1", "Deployment", "mortal/web").GetUID()
	var all corev1.ConfigMapList
	if err := lab.client.List(t.Context(), &all, client.InNamespace("mortal")); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range all.Items {
		if m.Name == "kube-root-ca.crt" {
			continue
		}
		if found++; len(m.OwnerReferences) != 1 || m.OwnerReferences[0].UID != owner || len(m.Annotations) > 0 {
			t.Errorf("ConfigMap %s has owners %v and annotations %v", m.Name, m.OwnerReferences, m.Annotations)
		}
	}
	if found != owned {
		t.Errorf("there are %d owned ConfigMaps, want %d", found, owned)
	}
}

// mustOutliveAKillInTheMiddle restores the mortal namespaces once more, and kills the extension twice while it writes.
func mustOutliveAKillInTheMiddle(t *testing.T) {
	t.Helper()
	killMortal(t)
	made := watchBirths(t, "mortal", "mortal-too")
	r := mortalRestore("deadly-middle")
	r.Spec.IncludedNamespaces = []string{"mortal", "mortal-too"}
	if err := lab.client.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, some := range []int{owned / 10, owned / 2} {
		eventually(t, "some objects are restored", 2*time.Minute, func(context.Context) (bool, error) {
			replaceDeadExtension(t)
			return made.number() >= some, nil
		})
		killExtension(t)
		t.Logf("killed when %d of %d objects had come to be", made.number(), owned)
	}
	mustBeImmortal(t, endAfterDeath(t, r.Name), 0, made)
}
