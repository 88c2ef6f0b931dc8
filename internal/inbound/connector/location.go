package connector

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/extension"
)

// LocationConfig is what a cluster's storage location is shown and changed by.
type LocationConfig struct {
	// Client is the connector itself. It reads past any cache.
	Client client.Client
	// Namespace is the extension's, and Name that of its BackupStorageLocation.
	Namespace, Name string
	// Allowed says that the cluster's owner lets the server change where recovery points are written to.
	Allowed bool
	Log     *slog.Logger
}

// manager is who the connector is among those that set fields.
const manager = "coffer-connector"

// NewLocation says where the extension writes recovery points to, and changes it, if the cluster's owner has said at join that the server may. What it may change, package
// extension decides; that it is this one object and no other is for the API server to hold, too.
func NewLocation(c LocationConfig) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodPut || r.URL.Path != wire.LocationPath {
			http.NotFound(w, r)
			return
		}
		status, err := c.answer(w, r)
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			c.Log.Warn("storage location not answered", "method", r.Method, "error", err)
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(problemWith(err))
			return
		}
		_ = json.NewEncoder(w).Encode(status)
	})
}

// problemWith is what a server is told of an error.
func problemWith(err error) wire.Problem {
	if coded, ok := errors.AsType[*coffer.Error](err); ok {
		return wire.Problem{Code: string(coded.Code), Message: coded.Message, Hint: coded.Hint, Final: !coded.Transient}
	}
	return wire.Problem{Code: string(coffer.CodeClusterNotReachable), Message: "the connector does not reach its API server"}
}

func (c LocationConfig) answer(w http.ResponseWriter, r *http.Request) (wire.LocationStatus, error) {
	var wanted *catalogue.StorageLocation
	if r.Method == http.MethodPut {
		read, err := readLocation(http.MaxBytesReader(w, r.Body, wire.MaxMessage))
		if err != nil {
			return wire.LocationStatus{}, err
		}
		wanted = &read
	}
	var object v1alpha1.BackupStorageLocation
	err := c.Client.Get(r.Context(), client.ObjectKey{Namespace: c.Namespace, Name: c.Name}, &object)
	if err != nil {
		return wire.LocationStatus{}, c.explain(err)
	}
	changed := false
	if wanted != nil {
		if changed, err = c.move(r.Context(), &object, *wanted); err != nil {
			return wire.LocationStatus{}, err
		}
	}
	status := wire.LocationStatus{Location: wire.Location(extension.LocationOf(object.Spec)), Changed: changed}
	if object.Status.ObservedGeneration == object.Generation {
		status.Phase, status.Message = string(object.Status.Phase), object.Status.Message
	}
	return status, nil
}

// readLocation reads what a server wants: a field that settings do not have is not passed over.
func readLocation(body io.Reader) (catalogue.StorageLocation, error) {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	var said wire.Location
	if err := decoder.Decode(&said); err != nil || decoder.More() {
		return catalogue.StorageLocation{}, coffer.Errorf(coffer.CodeInvalidInput, "the server has sent no storage location").WithHint("upgrade the extension: it may be older than the server")
	}
	return catalogue.StorageLocation(said), nil
}

// move makes a location the object's. It may be called again at any time, by whichever process.
func (c LocationConfig) move(ctx context.Context, object *v1alpha1.BackupStorageLocation, wanted catalogue.StorageLocation) (changed bool, err error) {
	if !c.Allowed {
		return false, coffer.Errorf(coffer.CodeForbidden, "the cluster's owner has not let the server change where recovery points are written to").
			WithHint("its owner does: coffer cluster join --allow-settings-by-owner")
	}
	moved, err := extension.Move(object.Spec, wanted)
	if err != nil {
		return false, err
	}
	if extension.LocationOf(object.Spec) != wanted {
		before := object.DeepCopy()
		note, err := noteMove(*object, moved)
		if err != nil {
			return false, err
		}
		metav1.SetMetaDataAnnotation(&object.ObjectMeta, v1alpha1.AnnotationSettings, note)
		object.Spec = moved
		// What somebody has changed since it was read, is looked at first.
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := c.Client.Patch(ctx, object, patch, client.FieldOwner(manager)); err != nil {
			return false, c.explain(err)
		}
		changed = true
		c.Log.Info("storage location changed by the server's settings", "name", c.Name, "from", extension.Named(before.Spec), "to", extension.Named(moved))
	}
	if err := c.disown(ctx, object); err != nil {
		// The extension may have been faster, with what it has found. It is tried again when the server asks again.
		c.Log.Info("fields of the storage location are held until the server asks again", "error", err)
	}
	return changed, nil
}

// noteMove says what an object was changed from, and to, so that the chart can keep what it has become: it is what it was, as the chart's values have it, that counts.
func noteMove(object v1alpha1.BackupStorageLocation, to v1alpha1.BackupStorageLocationSpec) (string, error) {
	type note struct {
		From wire.Location `json:"from"`
		To   wire.Location `json:"to"`
	}
	var was note
	is := wire.Location(extension.Named(object.Spec))
	if json.Unmarshal([]byte(object.Annotations[v1alpha1.AnnotationSettings]), &was) != nil || was.To != is {
		was.From = is
	}
	text, err := json.Marshal(note{was.From, wire.Location(extension.Named(to))})
	return string(text), err
}

// disown leaves the fields to whoever sets them next: an installation of the extension is refused while somebody else holds what it sets.
func (c LocationConfig) disown(ctx context.Context, object *v1alpha1.BackupStorageLocation) error {
	mine := func(f metav1.ManagedFieldsEntry) bool { return f.Manager == manager }
	if !slices.ContainsFunc(object.ManagedFields, mine) {
		return nil
	}
	before := object.DeepCopy()
	object.ManagedFields = slices.DeleteFunc(object.ManagedFields, mine)
	if len(object.ManagedFields) == 0 {
		// This is how the API server is told that there are none: an empty list it takes for one that was left out.
		object.ManagedFields = []metav1.ManagedFieldsEntry{{}}
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	return c.Client.Patch(ctx, object, patch, client.FieldOwner(manager))
}

// explain says of an answer of the API server what there is to do about it; what passes by itself is as it is.
func (c LocationConfig) explain(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return coffer.Errorf(coffer.CodeLocationNotFound, "there is no BackupStorageLocation %s in namespace %s", c.Name, c.Namespace).WithHint("install the extension anew: coffer extension install")
	case apierrors.IsForbidden(err):
		return coffer.Errorf(coffer.CodeForbidden, "the connector may not do that with BackupStorageLocation %s", c.Name).WithHint("install the extension with connector.allowSettingsByOwner")
	case apierrors.IsInvalid(err):
		return coffer.Errorf(coffer.CodeInvalidInput, "the cluster's API server refuses it: %w", err)
	}
	return err
}
