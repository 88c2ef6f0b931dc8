package transform

import "strings"

// carePod frees a pod from its node, and from what admission put into it.
func carePod(w *work) {
	spec := child(w.object, "spec")
	for _, f := range []string{
		"nodeName",
		// Admission computes these from the class and refuses ones that differ.
		"priority", "preemptionPolicy",
		// They cannot be created with a pod.
		"ephemeralContainers",
	} {
		delete(spec, f)
	}
	if text(spec, "runtimeClassName") != "" {
		// This one too comes from a class.
		delete(spec, "overhead")
	}
	legacy := text(spec, "serviceAccountName") + "-token-"
	token := named(func(name string) bool {
		return strings.HasPrefix(name, "kube-api-access-") || legacy != "-token-" && strings.HasPrefix(name, legacy)
	})
	dropElements(spec, "volumes", token)
	for _, field := range []string{"containers", "initContainers"} {
		for _, container := range elements(spec, field) {
			dropElements(container, "volumeMounts", token)
		}
	}
}

// careJob drops the selector and labels that tie a job to its former UID, unless a person chose the selector.
func careJob(w *work) {
	spec := child(w.object, "spec")
	if manual, _ := spec["manualSelector"].(bool); manual {
		return
	}
	delete(spec, "selector")
	keys := []string{"controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name"}
	dropKeys(w.metadata, "labels", keys...)
	dropKeys(w.metadata, "annotations", "batch.kubernetes.io/job-tracking")
	dropKeys(child(child(spec, "template"), "metadata"), "labels", keys...)
}

// careStatefulSet gives its future claims the classes that its present ones get.
func careStatefulSet(w *work) {
	for _, claim := range elements(child(w.object, "spec"), "volumeClaimTemplates") {
		delete(claim, "status")
		w.mapClass(child(claim, "metadata"), child(claim, "spec"))
	}
}
