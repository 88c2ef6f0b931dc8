package arm

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// mustBeAsDescribed fails unless what a route has answered is as the OpenAPI document says.
func (w *world) mustBeAsDescribed(method, path string, got reply) {
	w.t.Helper()
	if len(got.text) == 0 {
		return
	}
	path, _, _ = strings.Cut(path, "?")
	r, found := w.Config.Handler.(*Server).routeOf(method, path)
	if !found || got.status == http.StatusUnauthorized {
		// Not even a route is known then.
		w.mustBeAn(w.document.Paths.Value("/subscriptions").Get.Responses.Default(), got)
		return
	}
	operation := w.document.Paths.Value(r.templates()[0]).GetOperation(method)
	response := operation.Responses.Status(got.status)
	if response == nil {
		response = operation.Responses.Default()
		if got.status < http.StatusBadRequest {
			w.t.Errorf("%s %s answers %d, which is not described", method, path, got.status)
		}
	}
	w.mustBeAn(response, got)
}

func (w *world) mustBeAn(response *openapi3.ResponseRef, got reply) {
	w.t.Helper()
	media := response.Value.Content.Get("application/json")
	if media == nil {
		w.t.Errorf("nothing is described, and the answer is %s", got.text)
		return
	}
	var v any
	if err := json.Unmarshal([]byte(got.text), &v); err != nil {
		// A number that Go has no type for.
		return
	}
	if err := media.Schema.Value.VisitJSON(v); err != nil {
		w.t.Errorf("the answer is not as it is described: %v\n%s", err, got.text)
	}
}

func TestTheDocumentDescribesEveryRoute(t *testing.T) {
	w := newWorld(t)
	d := w.document
	if err := d.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	described := 0
	var ids []string
	for path, item := range d.Paths.Map() {
		for method, o := range item.Operations() {
			described++
			if slices.Contains(ids, o.OperationID) {
				t.Errorf("two operations are called %s", o.OperationID)
			}
			ids = append(ids, o.OperationID)
			// What is described is there: with names in the place of braces it leads to a route.
			concrete := strings.NewReplacer("{scope}", "subscriptions/s", "{provider}", "Microsoft.DataProtection", "{", "", "}", "").Replace(path)
			if r, ok := w.Config.Handler.(*Server).routeOf(method, concrete); !ok || !slices.Contains(r.templates(), path) {
				t.Errorf("%s %s is described, and leads to %q", method, path, r.kind)
			}
		}
	}
	routes := 0
	for _, kind := range w.Config.Handler.(*Server).routes {
		routes += len(kind)
	}
	if described < routes {
		t.Errorf("%d operations are described, of %d routes", described, routes)
	}
	for _, known := range []string{
		"/subscriptions/{subscription}/resourceGroups/{resourceGroup}/providers/Microsoft.DataProtection/backupVaults/{backupVault}/backupInstances/{backupInstance}/validateRestore",
		"/{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignment}",
		vaultTemplate + "/providers/Coffer.Backup/alerts/{alert}/acknowledge",
		vaultTemplate + "/providers/Coffer.Backup/pendingDeletions",
		vaultTemplate + "/providers/Coffer.Backup/meter",
		vaultTemplate + "/providers/Coffer.Backup/orphans",
		vaultTemplate + "/providers/Coffer.Backup/removeOrphans",
		vaultTemplate + "/backupInstances/{backupInstance}/providers/Coffer.Backup/slots",
	} {
		if d.Paths.Value(known) == nil {
			t.Errorf("%s is not described", known)
		}
	}
}
