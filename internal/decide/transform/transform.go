// Package transform decides what an archived object looks like when it is created again.
package transform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Context is what transforming one object depends on.
type Context struct {
	// Source is the object's name in the recovery point, and Target the one in the cluster.
	Source, Target coffer.ObjectRef
	// APIVersion at which it is created.
	APIVersion string
	// Namespaces are those of the recovery point that have another name in the cluster, and that name.
	Namespaces map[string]string
	// StorageClasses are those of the recovery point that give way to others, and the others.
	StorageClasses map[string]string
	// PreserveNodePorts keeps the node ports that the cluster allotted to a Service as well as those a user chose.
	PreserveNodePorts bool
	// Status says that the status is wanted back. An annotation of the object comes before it.
	Status bool
	// Annotations to add.
	Annotations map[string]string
	// Snapshot is the name of the VolumeSnapshot that a claim's volume is made of; empty for none.
	Snapshot string
	// RestoreSize is the least size in bytes that such a volume must have.
	RestoreSize int64
	// KeepVolume says that a claim's PersistentVolume is restored as it was, so that the claim asks for that one.
	KeepVolume bool
	// Modify makes the changes that users want. It gets the JSON of the object as it will be created, but under its
	// name and namespace in the recovery point. Nil for none.
	Modify func(object []byte) []byte
}

// Result is an object as it is to be created.
type Result struct {
	// Object is its JSON.
	Object []byte
	// Status is the JSON merge patch that gives the created object its former status; nil for none.
	Status []byte
	// Notes are what a user has to know of this object.
	Notes []Note
}

// Note is one thing that is not as one might expect.
type Note struct {
	// Field is the path of what it is about.
	Field string
	// Reason says what it is.
	Reason string
}

// String is FIELD: REASON.
func (n Note) String() string { return n.Field + ": " + n.Reason }

// serverFields are metadata that the API server sets, or makes others from.
var serverFields = []string{
	"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
	"managedFields", "selfLink", "ownerReferences", "generateName",
}

// work is one object being transformed.
type work struct {
	Context
	object   map[string]any
	metadata map[string]any
	// archivedVersion is the API version that the object has in the recovery point.
	archivedVersion string
	// managed are its former managedFields.
	managed any
	// followed are the paths of the references that were mapped.
	followed map[string]bool
	notes    []Note
}

// Apply is what to create an archived object with. Owner references are left out, for an owner that does not exist would take
// the object with it: they are set once the owner is there.
func Apply(body []byte, c Context) (Result, error) {
	w := &work{Context: c}
	if err := w.decode(body); err != nil {
		return Result{}, coffer.Errorf(coffer.CodeArchiveCorrupt, "%s is not readable: %w", c.Target, err)
	}
	status, err := w.takeStatus()
	if err != nil {
		return Result{}, err
	}
	w.archivedVersion = text(w.object, "apiVersion")
	w.strip()
	w.object["apiVersion"] = c.APIVersion
	w.followAnnotations()
	if care, special := cares[c.Target.GroupResource]; special {
		care(w)
	}
	if c.Modify != nil {
		if err := w.modify(); err != nil {
			return Result{}, err
		}
	}
	w.name(c.Target)
	w.annotate()
	w.noteReferences()
	out, err := w.encode()
	return Result{Object: out, Status: status, Notes: w.notes}, err
}

// strip drops what the API server sets.
func (w *work) strip() {
	w.managed = w.metadata["managedFields"]
	for _, f := range serverFields {
		delete(w.metadata, f)
	}
}

func (w *work) name(ref coffer.ObjectRef) {
	w.metadata["name"] = ref.Name
	if ref.Namespace != "" {
		w.metadata["namespace"] = ref.Namespace
	}
}

func (w *work) annotate() {
	if len(w.Annotations) == 0 {
		return
	}
	annotations := child(w.metadata, "annotations")
	for k, v := range w.Annotations {
		annotations[k] = v
	}
	w.metadata["annotations"] = annotations
}

// modify lets users' changes be made, which go by the names in the recovery point.
func (w *work) modify() error {
	w.name(w.Source)
	before, err := w.encode()
	if err != nil {
		return err
	}
	if err := w.decode(w.Modify(before)); err != nil {
		return coffer.Errorf(coffer.CodeObjectFailed, "what the resource modifiers make of %s is not readable: %w", w.Target, err)
	}
	w.strip()
	return nil
}

func (w *work) decode(body []byte) error {
	object, err := decode(body)
	if err != nil {
		return err
	}
	w.object, w.metadata = object, child(object, "metadata")
	object["metadata"] = w.metadata
	return nil
}

// decode keeps numbers as they are written: a float64 would change large integers.
func decode(body []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	if object == nil {
		return nil, fmt.Errorf("not an object")
	}
	return object, nil
}

func (w *work) encode() ([]byte, error) {
	out, err := json.Marshal(w.object)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", w.Target, err)
	}
	return out, nil
}

func (w *work) note(field, format string, args ...any) {
	w.notes = append(w.notes, Note{Field: field, Reason: fmt.Sprintf(format, args...)})
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

// elements are the elements of a list that are objects, by their positions.
func elements(object map[string]any, field string) iter.Seq2[int, map[string]any] {
	list, _ := object[field].([]any)
	return func(yield func(int, map[string]any) bool) {
		for i, e := range list {
			if m, ok := e.(map[string]any); ok && !yield(i, m) {
				return
			}
		}
	}
}

// dropKeys drops keys of a field that is an object, and the field if nothing is left of it.
func dropKeys(object map[string]any, field string, keys ...string) {
	m, ok := object[field].(map[string]any)
	if !ok {
		return
	}
	for _, k := range keys {
		delete(m, k)
	}
	if len(m) == 0 {
		delete(object, field)
	}
}

// dropElements drops the elements of a list that are to be dropped, and the list if nothing is left of it.
func dropElements(object map[string]any, field string, drop func(element any) bool) {
	list, ok := object[field].([]any)
	if !ok {
		return
	}
	if list = slices.DeleteFunc(list, drop); len(list) == 0 {
		delete(object, field)
		return
	}
	object[field] = list
}

// named says whether an element is an object whose name is meant.
func named(meant func(name string) bool) func(any) bool {
	return func(e any) bool {
		m, _ := e.(map[string]any)
		name, ok := m["name"].(string)
		return ok && meant(name)
	}
}

func isOneOf(names ...string) func(any) bool {
	return func(e any) bool {
		s, _ := e.(string)
		for _, n := range names {
			if s == n || strings.HasSuffix(n, "/") && strings.HasPrefix(s, n) {
				return true
			}
		}
		return false
	}
}
