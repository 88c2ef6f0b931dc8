package flow

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/encryption"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/outbound/blob/filesystem"
)

// world is a cluster, its storage and a blob container, in memory but for the last. It keeps what a dead process
// leaves behind.
type world struct {
	t         testing.TB
	container coffer.Container
	// own is the container of ownLocation; nil for none.
	own coffer.Container
	// root is the folder that holds the container.
	root string
	key  ed25519.PrivateKey

	mu        sync.Mutex // guards all below
	objects   map[string]map[string]any
	snapshots map[string]*fakeSnapshot // by run/namespace/request: API objects
	disks     map[string]bool          // by handle: snapshots on the storage
	frozen    map[string]bool          // by namespace/pod
	cutFrozen map[string]bool          // by handle: whether the namespace's pods were frozen when it was cut
	execs     []string
	failExec  func(coffer.Exec) (coffer.ExecResult, error)
	uids      int
	// runs counts restores, which have each a UID of their own.
	runs int

	hooks        map[string]v1alpha1.BackupHook
	restoreHooks map[string]v1alpha1.RestoreHook
	// modifiers are the data of ConfigMaps with resource modifiers, by namespace/name.
	modifiers map[string]map[string]string
	readOnly  bool
	// listed are the types that were listed.
	listed []string
	// extra are types that the cluster serves beside worldTypes.
	extra []coffer.ResourceType
	// list, if set, may answer a list itself; then it answers true.
	list func(t coffer.ResourceType, namespace string, each func(coffer.Page) error) (bool, error)
	// velero and trustUnsigned are the location's.
	velero, trustUnsigned bool
	// secret is the data of the Secret that the location names for encryption; nil for none.
	secret map[string][]byte
	// read counts the bytes that were read of each blob.
	read map[string]int64
	// hiccup is a blob of which a read fails once, in the middle, and goes on if it is read on.
	hiccup string
	// forbidden is a namespace in which nothing may be created.
	forbidden string
	// confined says that no namespace may be created.
	confined bool
	// reclaim is the policy of the volumes that are made for created claims; empty for none.
	reclaim string
	// stray is a volume that was there before, which Kubernetes binds claims to instead of having one made; empty for none.
	stray string
	// ask answers requests to Services and pods; nil is status 503.
	ask func(coffer.Ask) coffer.Answer
	// stuck says that no stateful set becomes ready.
	stuck bool

	// created, patched and deleted are the objects that were, in that order; deleted with their UIDs.
	created, patched, deleted []string
	// gets counts the objects that were read one by one.
	gets int
	// grace is how long a pod is given to end before it is deleted.
	grace time.Duration
	// onDelete, if set, is called for what is about to be deleted.
	onDelete func(key string)
	// refuse, if set, may refuse to create an object, or what a patch would make of one.
	refuse func(verb, key string, o map[string]any) error

	// restores are the Restore objects of the cluster, by name.
	restores map[string]v1alpha1.Restore
	// tried are the objects for which a dry run was made, in that order.
	tried []string
	// admit, if set, changes what is created or patched, as admission does.
	admit func(key string, o map[string]any)

	// callsLeft is after how many calls of the outside the process dies; negative for never.
	callsLeft int
	calls     int
	dead      bool
}

type fakeSnapshot struct {
	state     coffer.SnapshotState
	presented bool
}

var errDead = errors.New("the process is dead")

func newWorld(t testing.TB) *world {
	t.Helper()
	root := t.TempDir()
	if err := filesystem.Create(root, "backups"); err != nil {
		t.Fatal(err)
	}
	c, err := filesystem.Open(root, "backups")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := filesystem.Create(root, ownLocation); err != nil {
		t.Fatal(err)
	}
	own, err := filesystem.Open(root, ownLocation)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Close() })
	w := &world{
		t: t, container: c, own: own, root: root, callsLeft: -1,
		key:  ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
		read: map[string]int64{}, objects: map[string]map[string]any{}, snapshots: map[string]*fakeSnapshot{}, disks: map[string]bool{},
		frozen: map[string]bool{}, cutFrozen: map[string]bool{},
		hooks: map[string]v1alpha1.BackupHook{}, restoreHooks: map[string]v1alpha1.RestoreHook{},
	}
	w.add("namespaces", "", "kube-system", nil)
	return w
}

// call counts one call of the outside. It answers an error if the process is dead, or dies now.
func (w *world) call() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errDead
	}
	w.calls++
	if w.callsLeft == 0 {
		w.dead = true
		return errDead
	}
	w.callsLeft--
	return nil
}

// dieAfter lets the process die at its n-th call from now on; the effect of that call is not seen any more.
func (w *world) dieAfter(n int) { w.calls, w.callsLeft, w.dead = 0, n, false }

// revive starts a new process that does not die.
func (w *world) revive() { w.callsLeft, w.dead = -1, false }

func objectKey(resource, namespace, name string) string {
	return resource + "|" + namespace + "|" + name
}

// add puts an object into the cluster.
func (w *world) add(resource, namespace, name string, fields map[string]any) map[string]any {
	w.uids++
	metadata := map[string]any{
		"name": name, "uid": fmt.Sprintf("uid-%d", w.uids), "creationTimestamp": time.Now().UTC().Format(time.RFC3339),
	}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	o := map[string]any{"metadata": metadata}
	for k, v := range fields {
		if k == "ownerReferences" || k == "labels" || k == "annotations" {
			metadata[k] = v
			continue
		}
		o[k] = v
	}
	manage(o, "somebody")
	w.objects[objectKey(resource, namespace, name)] = o
	return o
}

func (w *world) names(resource, namespace string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for key := range w.objects {
		if parts := strings.Split(key, "|"); parts[0] == resource && (namespace == "" || parts[1] == namespace) {
			names = append(names, parts[2])
		}
	}
	slices.Sort(names)
	return names
}

func (w *world) removeNamespace(namespace string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.objects, func(key string, _ map[string]any) bool {
		parts := strings.Split(key, "|")
		return parts[1] == namespace || parts[0] == "namespaces" && parts[2] == namespace
	})
}

func (w *world) config() Config {
	return Config{
		Cluster: w, Snapshots: (*worldSnapshots)(w), Settings: (*worldSettings)(w),
		Namespace: v1alpha1.DefaultNamespace, Version: "test",
		CutTimeout: 300 * time.Millisecond, ReadyTimeout: 300 * time.Millisecond, BindTimeout: 300 * time.Millisecond, WorkloadTimeout: 300 * time.Millisecond, RetryPause: time.Millisecond,
		TerminationTimeout: 300 * time.Millisecond, RemovalTimeout: 300 * time.Millisecond,
	}
}

var worldTypes = []coffer.ResourceType{
	namespaceType, podType, claimType, volumeType, classType, deploymentType, statefulSetType, daemonSetType,
	{GroupResource: coffer.GroupResource{Resource: "configmaps"}, Version: "v1", Kind: "ConfigMap", Namespaced: true},
	{GroupResource: coffer.GroupResource{Resource: "secrets"}, Version: "v1", Kind: "Secret", Namespaced: true},
	{GroupResource: coffer.GroupResource{Resource: "events"}, Version: "v1", Kind: "Event", Namespaced: true},
}

// Types implements coffer.Cluster.
func (w *world) Types(context.Context) ([]coffer.ResourceType, []coffer.TypeGap, error) {
	return slices.Concat(worldTypes, w.extra), nil, w.call()
}

// Versions implements coffer.Cluster.
func (w *world) Versions(ctx context.Context) ([]coffer.ResourceType, []coffer.TypeGap, error) {
	return w.Types(ctx)
}

// ListMetadata implements coffer.Cluster. It sends more than it has to, as an old API server does.
func (w *world) ListMetadata(ctx context.Context, t coffer.ResourceType, namespace string, each func(coffer.Page) error) error {
	return w.List(ctx, t, namespace, each)
}

// List implements coffer.Cluster.
func (w *world) List(_ context.Context, t coffer.ResourceType, namespace string, each func(coffer.Page) error) error {
	if err := w.call(); err != nil {
		return err
	}
	if w.list != nil {
		if done, err := w.list(t, namespace, each); done {
			return err
		}
	}
	w.mu.Lock()
	w.listed = append(w.listed, t.GroupResource.String())
	var page []json.RawMessage
	for _, key := range slices.Sorted(maps.Keys(w.objects)) {
		parts := strings.Split(key, "|")
		if parts[0] != t.GroupResource.String() || namespace != "" && parts[1] != namespace {
			continue
		}
		page = append(page, w.encode(w.objects[key]))
	}
	w.mu.Unlock()
	return each(coffer.Page{Items: page})
}

func (w *world) encode(o map[string]any) json.RawMessage {
	body, err := json.Marshal(o)
	if err != nil {
		w.t.Error(err)
	}
	return body
}

// Get implements coffer.Cluster.
func (w *world) Get(_ context.Context, t coffer.ResourceType, namespace, name string) (json.RawMessage, error) {
	if err := w.call(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gets++
	o, ok := w.objects[objectKey(t.GroupResource.String(), namespace, name)]
	if !ok {
		return nil, coffer.Errorf(coffer.CodeNotFound, "no %s %s/%s", t.GroupResource, namespace, name)
	}
	return w.encode(o), nil
}

// As implements coffer.Cluster.
func (w *world) As(manager string) coffer.Cluster { return &actor{world: w, manager: manager} }

// actor is the world under a field manager.
type actor struct {
	*world
	manager string
}

// Create implements coffer.Cluster.
func (w *world) Create(ctx context.Context, t coffer.ResourceType, namespace string, body []byte) (json.RawMessage, error) {
	return (&actor{w, "test"}).Create(ctx, t, namespace, body)
}

// Patch implements coffer.Cluster.
func (w *world) Patch(ctx context.Context, t coffer.ResourceType, namespace, name string, patch []byte) error {
	return (&actor{w, "test"}).Patch(ctx, t, namespace, name, patch)
}

// TryCreate implements coffer.Cluster.
func (w *world) TryCreate(ctx context.Context, t coffer.ResourceType, namespace string, body []byte) (json.RawMessage, error) {
	return (&actor{w, "test"}).TryCreate(ctx, t, namespace, body)
}

// TryPatch implements coffer.Cluster.
func (w *world) TryPatch(_ context.Context, t coffer.ResourceType, namespace, name string, patch []byte) (json.RawMessage, error) {
	if err := w.call(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := objectKey(t.GroupResource.String(), namespace, name)
	w.tried = append(w.tried, key)
	o := w.objects[key]
	if o == nil {
		return nil, coffer.Errorf(coffer.CodeNotFound, "no %s", name)
	}
	merged, err := jsonpatch.MergePatch(w.encode(o), patch)
	if err != nil {
		return nil, err
	}
	return w.tryStore("patch", key, merged)
}

// TryCreate implements coffer.Cluster. As in an API server, that an object exists is found out last.
func (w *actor) TryCreate(_ context.Context, t coffer.ResourceType, namespace string, body []byte) (json.RawMessage, error) {
	if err := w.call(); err != nil {
		return nil, err
	}
	var h coffer.Header
	if err := json.Unmarshal(body, &h); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := objectKey(t.GroupResource.String(), namespace, h.Metadata.Name)
	w.tried = append(w.tried, key)
	if namespace != "" && w.objects[objectKey("namespaces", "", namespace)] == nil {
		return nil, coffer.Errorf(coffer.CodeNotFound, "no namespace %s", namespace)
	}
	stored, err := w.tryStore("create", key, body)
	if err == nil && w.objects[key] != nil {
		return nil, coffer.Errorf(coffer.CodeExists, "%s exists", key)
	}
	return stored, err
}

func (w *world) tryStore(verb, key string, body []byte) (json.RawMessage, error) {
	var o map[string]any
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, err
	}
	if w.admit != nil {
		w.admit(key, o)
	}
	if w.refuse != nil {
		if err := w.refuse(verb, key, o); err != nil {
			return nil, err
		}
	}
	return w.encode(o), nil
}

// Create implements coffer.Cluster. A claim is bound at once; a StatefulSet makes its pod.
func (w *actor) Create(_ context.Context, t coffer.ResourceType, namespace string, body []byte) (json.RawMessage, error) {
	if err := w.call(); err != nil {
		return nil, err
	}
	var o map[string]any
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, err
	}
	metadata := o["metadata"].(map[string]any)
	name := metadata["name"].(string)
	w.mu.Lock()
	defer w.mu.Unlock()
	resource := t.GroupResource.String()
	key := objectKey(resource, namespace, name)
	if w.refuse != nil {
		if err := w.refuse("create", key, o); err != nil {
			return nil, err
		}
	}
	if w.objects[key] != nil {
		return nil, coffer.Errorf(coffer.CodeExists, "%s exists", key)
	}
	if namespace != "" && w.objects[objectKey("namespaces", "", namespace)] == nil {
		return nil, coffer.Errorf(coffer.CodeNotFound, "no namespace %s", namespace)
	}
	w.uids++
	metadata["uid"] = fmt.Sprintf("uid-%d", w.uids)
	metadata["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	manage(o, w.manager)
	switch resource {
	case "persistentvolumeclaims":
		o["status"] = map[string]any{"phase": "Bound"}
		if source, _ := child(o, "spec")["dataSource"].(map[string]any); source != nil && !w.presents(namespace, source["name"]) {
			o["status"] = map[string]any{"phase": "Pending"}
			break
		}
		if w.stray != "" {
			w.bindStray(o)
			break
		}
		if w.reclaim != "" {
			w.provision(namespace, name, metadata["uid"].(string))
		}
	case "namespaces":
		// As the controller of ServiceAccounts does.
		w.add("serviceaccounts", name, "default", nil)
	case "statefulsets.apps":
		o["status"] = map[string]any{"replicas": 1}
		if !w.stuck {
			o["status"] = map[string]any{
				"replicas": 1, "readyReplicas": 1, "currentReplicas": 1, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "a",
			}
		}
		pod := w.add("pods", namespace, name+"-0", runningPod())
		pod["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{
			"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "controller": true, "uid": metadata["uid"],
		}}
	case "pods":
		o["status"] = map[string]any{"phase": "Running", "conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}
	}
	w.objects[key] = o
	w.created = append(w.created, key)
	return w.encode(o), nil
}

func child(o map[string]any, field string) map[string]any {
	m, _ := o[field].(map[string]any)
	return m
}

// presents says whether a snapshot is usable.
func (w *world) presents(namespace string, name any) bool {
	for id, x := range w.snapshots {
		parts := strings.SplitN(id, "/", 3)
		if parts[1] == namespace && (*worldSnapshots)(w).PresentedName(parts[0], parts[2]) == name {
			return x.state.Ready
		}
	}
	return false
}

// bindStray binds a claim to a volume that was there before it.
func (w *world) bindStray(claim map[string]any) {
	metadata := claim["metadata"].(map[string]any)
	child(claim, "spec")["volumeName"] = w.stray
	v := w.add("persistentvolumes", "", w.stray, map[string]any{"spec": map[string]any{
		"persistentVolumeReclaimPolicy": "Delete",
		"claimRef":                      map[string]any{"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]},
	}})
	v["metadata"].(map[string]any)["creationTimestamp"] = time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
}

// provision makes the volume of a claim, as a provisioner does.
func (w *world) provision(namespace, name, uid string) {
	w.add("persistentvolumes", "", "pvc-"+uid, map[string]any{
		"annotations": map[string]any{"pv.kubernetes.io/provisioned-by": "disk"},
		"spec": map[string]any{
			"persistentVolumeReclaimPolicy": w.reclaim, "claimRef": map[string]any{"namespace": namespace, "name": name, "uid": uid},
		},
	})
}

// empty removes what is in a namespace that is deleted, and the volumes that go with their claims.
func (w *world) empty(namespace string) {
	for key, o := range w.objects {
		parts := strings.Split(key, "|")
		spec := child(o, "spec")
		claimed := parts[0] == "persistentvolumes" && child(spec, "claimRef")["namespace"] == namespace
		if parts[1] == namespace || claimed && spec["persistentVolumeReclaimPolicy"] == "Delete" {
			delete(w.objects, key)
		}
	}
}

// manage notes a field manager, unless there is no field that it could manage.
func manage(o map[string]any, manager string) {
	metadata := o["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	fields := len(labels) + len(annotations)
	for key := range o {
		if key != "apiVersion" && key != "kind" && key != "metadata" {
			fields++
		}
	}
	managers, _ := metadata["managedFields"].([]any)
	if fields > 0 && !slices.ContainsFunc(managers, func(m any) bool { return m.(map[string]any)["manager"] == manager }) {
		metadata["managedFields"] = append(managers, map[string]any{"manager": manager})
	}
}

// Patch implements coffer.Cluster.
func (w *actor) Patch(_ context.Context, t coffer.ResourceType, namespace, name string, patch []byte) error {
	if err := w.call(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := objectKey(t.GroupResource.String(), namespace, name)
	o := w.objects[key]
	if o == nil {
		return coffer.Errorf(coffer.CodeNotFound, "no %s", name)
	}
	merged, err := jsonpatch.MergePatch(w.encode(o), patch)
	if err != nil {
		return err
	}
	var patched map[string]any
	if err := json.Unmarshal(merged, &patched); err != nil {
		return err
	}
	if w.refuse != nil {
		if err := w.refuse("patch", key, patched); err != nil {
			return err
		}
	}
	manage(patched, w.manager)
	w.objects[key] = patched
	w.patched = append(w.patched, key)
	return nil
}

// Delete implements coffer.Cluster: what has finalizers stays until somebody removes them, a claim until no pod uses it.
func (w *world) Delete(_ context.Context, t coffer.ResourceType, namespace, name, uid string) (bool, error) {
	if err := w.call(); err != nil {
		return false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := objectKey(t.GroupResource.String(), namespace, name)
	o := w.objects[key]
	switch {
	case o == nil:
		return false, coffer.Errorf(coffer.CodeNotFound, "no %s", key)
	case o["metadata"].(map[string]any)["uid"] != uid:
		return false, coffer.Errorf(coffer.CodeChanged, "%s is another one", key)
	}
	if w.onDelete != nil {
		w.onDelete(key)
	}
	w.deleted = append(w.deleted, key+" "+uid)
	metadata := o["metadata"].(map[string]any)
	if t.GroupResource == podType.GroupResource && w.grace > 0 {
		metadata["deletionTimestamp"] = time.Now().UTC().Add(w.grace + time.Second).Format(time.RFC3339)
		time.AfterFunc(w.grace, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.collect(key)
		})
		return false, nil
	}
	if metadata["finalizers"] != nil || t.GroupResource == claimType.GroupResource && w.isUsed(namespace, name) {
		metadata["deletionTimestamp"] = time.Now().UTC().Format(time.RFC3339)
		return false, nil
	}
	if t.GroupResource == namespaceType.GroupResource {
		w.empty(name)
	}
	w.collect(key)
	return true, nil
}

func (w *world) isUsed(namespace, claim string) bool {
	for key, o := range w.objects {
		if strings.HasPrefix(key, "pods|"+namespace+"|") && strings.Contains(string(w.encode(o)), `"claimName":"`+claim+`"`) {
			return true
		}
	}
	return false
}

// collect removes an object, what it owns, and what has waited for its end.
func (w *world) collect(key string) {
	uid := w.objects[key]["metadata"].(map[string]any)["uid"]
	delete(w.objects, key)
	for other, o := range w.objects {
		metadata := o["metadata"].(map[string]any)
		owners, _ := metadata["ownerReferences"].([]any)
		if slices.ContainsFunc(owners, func(o any) bool { return o.(map[string]any)["uid"] == uid }) {
			w.collect(other)
		}
	}
	for other, o := range w.objects {
		metadata := o["metadata"].(map[string]any)
		if parts := strings.Split(other, "|"); parts[0] == "persistentvolumeclaims" && metadata["deletionTimestamp"] != nil && metadata["finalizers"] == nil && !w.isUsed(parts[1], parts[2]) {
			w.collect(other)
		}
	}
}

// PatchStatus implements coffer.Cluster: of the types of the world, none but "widgets.acme.io" has a status to write.
func (w *world) PatchStatus(_ context.Context, t coffer.ResourceType, namespace, name string, patch []byte) error {
	if err := w.call(); err != nil {
		return err
	}
	var p map[string]any
	if err := json.Unmarshal(patch, &p); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.objects[objectKey(t.GroupResource.String(), namespace, name)]
	if o == nil || t.Resource != "widgets" {
		return coffer.Errorf(coffer.CodeNotFound, "no %s", name)
	}
	o["status"] = p["status"]
	return nil
}

// Forbidden implements coffer.Cluster.
func (w *world) Forbidden(_ context.Context, _, namespace string, types []coffer.GroupResource) ([]coffer.GroupResource, error) {
	if err := w.call(); err != nil {
		return nil, err
	}
	if namespace == "" && w.confined || namespace != "" && namespace == w.forbidden {
		return types, nil
	}
	return nil, nil
}

// Release implements coffer.Cluster.
func (w *world) Release(context.Context) (string, error) { return "v1.34.1", w.call() }

// Exec implements coffer.Cluster: the commands "freeze" and "thaw" do what they say.
func (w *world) Exec(ctx context.Context, e coffer.Exec) (coffer.ExecResult, error) {
	// The command may have run although the process died before it knew.
	w.mu.Lock()
	if !w.dead {
		w.execs = append(w.execs, e.Namespace+"/"+e.Pod+" "+e.Command[0])
		switch e.Command[0] {
		case "freeze":
			w.frozen[e.Namespace+"/"+e.Pod] = true
		case "thaw":
			delete(w.frozen, e.Namespace+"/"+e.Pod)
		}
	}
	fail := w.failExec
	w.mu.Unlock()
	if err := w.call(); err != nil {
		return coffer.ExecResult{}, err
	}
	if fail == nil {
		return coffer.ExecResult{}, nil
	}
	result, err := fail(e)
	if ctx.Err() != nil {
		return coffer.ExecResult{}, ctx.Err()
	}
	return result, err
}

// Ask implements coffer.Cluster.
func (w *world) Ask(_ context.Context, a coffer.Ask) (coffer.Answer, error) {
	if err := w.call(); err != nil {
		return coffer.Answer{}, err
	}
	if w.ask == nil {
		return coffer.Answer{Status: 503, Body: "no endpoints available"}, nil
	}
	return w.ask(a), nil
}

func runningPod() map[string]any {
	return map[string]any{
		"labels": map[string]any{"app": "db"},
		"spec": map[string]any{
			"containers": []any{map[string]any{"name": "db"}},
			"volumes":    []any{map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": "data"}}},
		},
		"status": map[string]any{
			"conditions": []any{map[string]any{"type": "Ready", "status": "True"}},
			"phase":      "Running", "containerStatuses": []any{map[string]any{"name": "db", "state": map[string]any{"running": map[string]any{}}}},
		},
	}
}

// worldSnapshots is the world as coffer.Snapshots.
type worldSnapshots world

func (s *worldSnapshots) call() error { return (*world)(s).call() }

func snapshotID(run, namespace, request string) string { return run + "/" + namespace + "/" + request }

// Available implements coffer.Snapshots.
func (s *worldSnapshots) Available(context.Context) error { return s.call() }

// Classes implements coffer.Snapshots.
func (s *worldSnapshots) Classes(context.Context) ([]coffer.SnapshotClass, error) {
	return []coffer.SnapshotClass{{Name: "lab", Driver: "disk"}}, s.call()
}

// Cut implements coffer.Snapshots.
func (s *worldSnapshots) Cut(_ context.Context, r coffer.SnapshotRequest) error {
	if err := s.call(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := snapshotID(r.Run, r.Namespace, r.Name)
	if s.snapshots[id] != nil {
		return nil
	}
	s.uids++
	handle := fmt.Sprintf("handle-%d", s.uids)
	s.snapshots[id] = &fakeSnapshot{state: coffer.SnapshotState{
		Namespace: r.Namespace, Request: r.Name, Cut: true, CutTime: time.Now(), Ready: true, Handle: handle, Driver: "disk", RestoreSize: 1 << 20,
	}}
	s.disks[handle] = true
	s.cutFrozen[handle] = s.frozen[r.Namespace+"/db-0"]
	return nil
}

// Observe implements coffer.Snapshots.
func (s *worldSnapshots) Observe(_ context.Context, run string) ([]coffer.SnapshotState, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var states []coffer.SnapshotState
	for id, x := range s.snapshots {
		if strings.HasPrefix(id, run+"/") {
			states = append(states, x.state)
		}
	}
	return states, nil
}

// Cuts implements coffer.Snapshots.
func (s *worldSnapshots) Cuts(context.Context) ([]coffer.RunSnapshots, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	byRun := map[string]*coffer.RunSnapshots{}
	for id, x := range s.snapshots {
		run, _, _ := strings.Cut(id, "/")
		if x.presented {
			continue
		}
		if byRun[run] == nil {
			byRun[run] = &coffer.RunSnapshots{Run: run, Created: x.state.CutTime}
		}
		byRun[run].Snapshots++
		byRun[run].Bytes += x.state.RestoreSize
	}
	var found []coffer.RunSnapshots
	for _, r := range byRun {
		found = append(found, *r)
	}
	return found, nil
}

// Release implements coffer.Snapshots.
func (s *worldSnapshots) Release(_ context.Context, run string, match func(coffer.SnapshotState) bool) (bool, error) {
	return s.remove(run, match, false)
}

// Discard implements coffer.Snapshots.
func (s *worldSnapshots) Discard(_ context.Context, run string, match func(coffer.SnapshotState) bool) (bool, error) {
	return s.remove(run, match, true)
}

func (s *worldSnapshots) remove(run string, match func(coffer.SnapshotState) bool, data bool) (bool, error) {
	if err := s.call(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	left := true
	for id, x := range s.snapshots {
		if !strings.HasPrefix(id, run+"/") || match != nil && !match(x.state) {
			continue
		}
		left = false
		delete(s.snapshots, id)
		if data && !x.presented {
			delete(s.disks, x.state.Handle)
		}
	}
	return left, nil
}

// Present implements coffer.Snapshots.
func (s *worldSnapshots) Present(_ context.Context, r coffer.PresentRequest) (string, error) {
	if err := s.call(); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshots[snapshotID(r.Run, r.Namespace, r.Name)] = &fakeSnapshot{presented: true, state: coffer.SnapshotState{
		Namespace: r.Namespace, Request: r.Name, Handle: r.Handle, Ready: s.disks[r.Handle], Problem: "no such snapshot",
	}}
	return s.PresentedName(r.Run, r.Name), nil
}

// PresentedName implements coffer.Snapshots.
func (s *worldSnapshots) PresentedName(run, request string) string {
	return "coffer-" + run + "-" + request
}

// Destroy implements coffer.Snapshots.
func (s *worldSnapshots) Destroy(_ context.Context, _, handle string) error {
	if err := s.call(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.disks, handle)
	return nil
}

// worldSettings is the world as flow.Settings.
type worldSettings world

// Location implements Settings.
func (s *worldSettings) Location(_ context.Context, name string) (Location, error) {
	if err := (*world)(s).call(); err != nil {
		return Location{}, err
	}
	at := (*world)(s).location()
	at.Name, at.ReadOnly, at.Container = name, s.readOnly, (*worldContainer)(s)
	at.Velero, at.TrustUnsigned = s.velero, s.trustUnsigned
	if name == ownLocation {
		at.ReadOnly, at.Velero, at.TrustUnsigned, at.Container = false, false, false, s.ownContainer()
	}
	if s.secret != nil {
		at.KeysFunc = func(context.Context) (encryption.Keys, error) {
			if err := (*world)(s).call(); err != nil {
				return encryption.Keys{}, err
			}
			return encryption.Parse("backup-keys", s.secret)
		}
	}
	return at, nil
}

// WritableLocations implements Settings.
func (s *worldSettings) WritableLocations(context.Context) ([]string, error) {
	var names []string
	if !s.readOnly && !s.velero {
		names = append(names, "default")
	}
	if s.own != nil {
		names = append(names, ownLocation)
	}
	return names, (*world)(s).call()
}

// Restore implements Settings.
func (s *worldSettings) Restore(_ context.Context, name string) (v1alpha1.Restore, error) {
	r, ok := s.restores[name]
	if !ok {
		return r, coffer.Errorf(coffer.CodeRestoreNotFound, "no Restore %s", name)
	}
	return r, (*world)(s).call()
}

// ownLocation is the name of a location that the cluster may always write to, if the world has it.
const ownLocation = "own"

// ownContainer is the world's other container, out of reach of a dead process.
func (s *worldSettings) ownContainer() coffer.Container {
	return &guarded{Container: s.own, call: (*world)(s).call}
}

// guarded is a container that a dead process cannot reach.
type guarded struct {
	coffer.Container
	call func() error
}

// Put implements coffer.Container.
func (g *guarded) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if err := g.call(); err != nil {
		return 0, err
	}
	return g.Container.Put(ctx, key, r)
}

// Get implements coffer.Container.
func (g *guarded) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := g.call(); err != nil {
		return nil, err
	}
	return g.Container.Get(ctx, key, offset, length)
}

// location is the location as a living process sees it.
func (w *world) location() Location {
	return Location{Name: "default", Container: w.container, TrustedSigners: []string{recoverypoint.SignerText(w.key.Public().(ed25519.PublicKey))}}
}

// SigningKey implements Settings.
func (s *worldSettings) SigningKey(context.Context) (ed25519.PrivateKey, error) {
	return s.key, (*world)(s).call()
}

// BackupHook implements Settings.
func (s *worldSettings) BackupHook(_ context.Context, ref v1alpha1.NamespacedReference) (v1alpha1.BackupHook, error) {
	h, ok := s.hooks[ref.Namespace+"/"+ref.Name]
	if !ok {
		return h, coffer.Errorf(coffer.CodeHookNotFound, "no BackupHook %s/%s", ref.Namespace, ref.Name)
	}
	return h, (*world)(s).call()
}

// RestoreHook implements Settings.
func (s *worldSettings) RestoreHook(_ context.Context, ref v1alpha1.NamespacedReference) (v1alpha1.RestoreHook, error) {
	return s.restoreHooks[ref.Namespace+"/"+ref.Name], (*world)(s).call()
}

// ResourceModifiers implements Settings.
func (s *worldSettings) ResourceModifiers(_ context.Context, ref v1alpha1.NamespacedReference) (map[string]string, error) {
	if err := (*world)(s).call(); err != nil {
		return nil, err
	}
	data, ok := s.modifiers[ref.Namespace+"/"+ref.Name]
	if !ok {
		return nil, coffer.Errorf(coffer.CodeModifierNotFound, "no ConfigMap %s/%s", ref.Namespace, ref.Name)
	}
	return data, nil
}

// worldContainer is the world's container, out of reach of a dead process.
type worldContainer world

func (c *worldContainer) call() error { return (*world)(c).call() }

// Put implements coffer.Container.
func (c *worldContainer) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if err := c.call(); err != nil {
		return 0, err
	}
	return c.container.Put(ctx, key, r)
}

// Get implements coffer.Container.
func (c *worldContainer) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := c.call(); err != nil {
		return nil, err
	}
	in, err := c.container.Get(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	return &countedBlob{ReadCloser: in, w: (*world)(c), key: key}, nil
}

// countedBlob counts what is read of a blob.
type countedBlob struct {
	io.ReadCloser
	w   *world
	key string
}

// Read implements io.Reader.
func (b *countedBlob) Read(p []byte) (int, error) {
	if b.hiccups() {
		return 0, errHiccup
	}
	n, err := b.ReadCloser.Read(p)
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	b.w.read[b.key] += int64(n)
	return n, err
}

var errHiccup = errors.New("the connection broke")

func (b *countedBlob) hiccups() bool {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if b.w.hiccup != b.key || b.w.read[b.key] == 0 {
		return false
	}
	b.w.hiccup = ""
	return true
}

// Stat implements coffer.Container.
func (c *worldContainer) Stat(ctx context.Context, key string) (coffer.BlobInfo, error) {
	if err := c.call(); err != nil {
		return coffer.BlobInfo{}, err
	}
	return c.container.Stat(ctx, key)
}

// List implements coffer.Container.
func (c *worldContainer) List(ctx context.Context, prefix string) iter.Seq2[coffer.BlobInfo, error] {
	if err := c.call(); err != nil {
		return func(yield func(coffer.BlobInfo, error) bool) { yield(coffer.BlobInfo{}, err) }
	}
	return c.container.List(ctx, prefix)
}

// Delete implements coffer.Container.
func (c *worldContainer) Delete(ctx context.Context, key string) error {
	if err := c.call(); err != nil {
		return err
	}
	return c.container.Delete(ctx, key)
}
