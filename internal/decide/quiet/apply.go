package quiet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Labels are what the namespaces of a run bear: they are recognised by it, and no backup takes them.
func Labels(run string) map[string]string {
	return map[string]string{
		RunLabel:                        run,
		"velero.io/exclude-from-backup": "true",
		"app.kubernetes.io/managed-by":  "coffer",
	}
}

// RunLabel says of a namespace which run it belongs to, by the UID of that.
const RunLabel = "clusterbackup.dataprotection.microsoft.com/restore-test"

// work is one object being changed.
type work struct {
	Policy
	object, metadata map[string]any
	deviations       []Deviation
}

// Apply makes the changes to an object that is about to be created, and lists them. Whatever was made of the object before, by
// whomever, nothing of it has effects outside of the test afterwards.
func (p Policy) Apply(of coffer.GroupResource, run string, body []byte) ([]byte, []Deviation, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // A float64 would change large integers.
	w := &work{Policy: p}
	if err := decoder.Decode(&w.object); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", of, err)
	}
	if w.object == nil {
		return nil, nil, fmt.Errorf("read %s: not an object", of)
	}
	w.metadata = child(w.object, "metadata")
	w.object["metadata"] = w.metadata
	w.general()
	if of == (coffer.GroupResource{Resource: "namespaces"}) {
		labels := child(w.metadata, "labels")
		maps.Copy(labels, stringsOf(Labels(run)))
		w.metadata["labels"] = labels
	}
	if quieten := kinds[of]; quieten != nil {
		quieten(w)
	}
	out, err := json.Marshal(w.object)
	if err != nil {
		return nil, nil, fmt.Errorf("encode %s: %w", of, err)
	}
	return out, w.deviations, nil
}

// kinds are what single types need beyond the general.
var kinds = map[coffer.GroupResource]func(*work){
	services:                                         quietService,
	{Group: "batch", Resource: "cronjobs"}:           quietCronJob,
	{Group: "batch", Resource: "jobs"}:               quietJob,
	{Resource: "serviceaccounts"}:                    quietAccount,
	{Resource: "pods"}:                               quietPod,
	{Resource: "podtemplates"}:                       quietPodTemplate,
	{Resource: "replicationcontrollers"}:             quietWorkload,
	{Group: "apps", Resource: "deployments"}:         quietWorkload,
	{Group: "apps", Resource: "replicasets"}:         quietWorkload,
	{Group: "apps", Resource: "statefulsets"}:        quietWorkload,
	{Group: "apps", Resource: "daemonsets"}:          quietWorkload,
	{Group: "apps", Resource: "controllerrevisions"}: quietRevision,
}

// outsideAnnotations are those by which controllers act outside of an object's namespace, whatever it is: they make names or addresses
// outside of the cluster, or copies in other namespaces, over what is there.
var outsideAnnotations = []string{
	"external-dns.alpha.kubernetes.io/", "external-dns.kubernetes.io/", "dns.alpha.kubernetes.io/",
	"tailscale.com/", "cloud.google.com/neg",
	"replicator.v1.mittwald.de/", "reflector.v1.k8s.emberstack.com/", "config-syncer.appscode.com/", "kubed.appscode.com/",
}

const whyOutside = "a controller would act on what is outside of the test"

// general is what is done with every object.
func (w *work) general() {
	if list, _ := w.metadata["finalizers"].([]any); len(list) > 0 {
		w.drop(w.metadata, "metadata", "finalizers", "it would have a controller act when the test is removed")
	}
	w.dropAnnotations(w.metadata, "metadata", outsideAnnotations, whyOutside)
}

func (w *work) dropAnnotations(metadata map[string]any, path string, prefixes []string, why string) {
	annotations := child(metadata, "annotations")
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if hasAny(key, prefixes) {
			delete(annotations, key)
			w.deviate(path+".annotations["+key+"]", "it is left out: "+why)
		}
	}
}

func (w *work) deviate(field, reason string) {
	w.deviations = append(w.deviations, Deviation{Field: field, Reason: reason})
}

// drop deletes a field, if it is there.
func (w *work) drop(object map[string]any, path, field, why string) {
	if _, has := object[field]; has {
		delete(object, field)
		w.deviate(path+"."+field, "it is left out: "+why)
	}
}

// set sets a field, if it is not that already.
func (w *work) set(object map[string]any, path, field string, value any, why string) {
	if object[field] != value {
		object[field] = value
		w.deviate(path+"."+field, fmt.Sprintf("it is %v: %s", value, why))
	}
}

// child is an object's field that is an object; a new one, not yet linked, where there is none.
func child(object map[string]any, field string) map[string]any {
	if c, ok := object[field].(map[string]any); ok {
		return c
	}
	return map[string]any{}
}

func text(object map[string]any, field string) string {
	s, _ := object[field].(string)
	return s
}

func stringsOf(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// cloudIdentities are annotations that give the pods of an account an identity outside of the cluster.
var cloudIdentities = []string{"eks.amazonaws.com/", "iam.gke.io/", "azure.workload.identity/"}

func quietAccount(w *work) {
	if !w.External {
		w.dropAnnotations(w.metadata, "metadata", cloudIdentities, "its pods would act under that identity in the cloud")
	}
}

func quietCronJob(w *work) {
	spec := child(w.object, "spec")
	w.object["spec"] = spec
	w.set(spec, "spec", "suspend", true, "a CronJob does not run in a test")
	template := child(spec, "jobTemplate")
	w.template(child(template, "spec"), "spec.jobTemplate.spec")
}

func quietJob(w *work) {
	spec := child(w.object, "spec")
	if !w.Jobs {
		w.set(spec, "spec", "suspend", true, "a Job does not run in a test, unless runJobs is set")
	}
	w.template(spec, "spec")
}

func quietWorkload(w *work) { w.template(child(w.object, "spec"), "spec") }

func quietPodTemplate(w *work) { w.template(w.object, "") }

// quietRevision changes what a workload would be rolled back to.
func quietRevision(w *work) { w.template(child(child(w.object, "data"), "spec"), "data.spec") }

func quietPod(w *work) { w.pod(child(w.object, "spec"), "spec") }

// template changes the pods that are made of an object's template.
func (w *work) template(object map[string]any, path string) {
	template, has := object["template"].(map[string]any)
	if !has {
		return
	}
	path = strings.TrimPrefix(path+".template", ".")
	w.dropAnnotations(child(template, "metadata"), path+".metadata", outsideAnnotations, whyOutside)
	w.pod(child(template, "spec"), path+".spec")
}
