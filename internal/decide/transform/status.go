package transform

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// StatusAnnotation is Velero's annotation that says of one object whether its status is restored.
const StatusAnnotation = "velero.io/restore-status"

// noStatus are types whose status is never restored, whoever asks: it says how far the cluster is with them, and controllers, this
// program included, would take it for the truth.
var noStatus = map[coffer.GroupResource]bool{
	{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}: true, // served names, versions in the store
	{Group: "apiregistration.k8s.io", Resource: "apiservices"}:             true, // whether it answers
	{Resource: "namespaces"}:             true, // whether it is going away
	{Resource: "persistentvolumes"}:      true, // whether they are bound
	{Resource: "persistentvolumeclaims"}: true,
}

// takeStatus takes the status off the object, and answers the patch that brings it back, if it is wanted.
func (w *work) takeStatus() ([]byte, error) {
	status, has := w.object["status"]
	delete(w.object, "status")
	if !has || status == nil || noStatus[w.Target.GroupResource] || !w.statusWanted() {
		return nil, nil
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return nil, fmt.Errorf("encode the status of %s: %w", w.Target, err)
	}
	return patch, nil
}

func (w *work) statusWanted() bool {
	said, has := child(w.metadata, "annotations")[StatusAnnotation]
	if !has {
		return w.Status
	}
	s, _ := said.(string)
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true":
		return true
	case "false":
		return false
	}
	w.note("metadata.annotations["+StatusAnnotation+"]", "it is neither true nor false, so restoreStatus of the restore decides")
	return w.Status
}
