package arm

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

var update = flag.Bool("update", false, "write the table of roles and routes")

// places are where the test looks for resources of each type, by the type in lower case.
var places = map[string]string{
	"microsoft.resources/subscriptions":                                    subscription,
	"microsoft.resources/resourcegroups":                                   group,
	"microsoft.storage/storageaccounts":                                    group + "/providers/Microsoft.Storage/storageAccounts/one",
	"microsoft.containerservice/managedclusters":                           cluster,
	"microsoft.containerservice/managedclusters/trustedaccessrolebindings": cluster + "/trustedAccessRoleBindings/one",
	"microsoft.kubernetesconfiguration/extensions":                         cluster + "/providers/Microsoft.KubernetesConfiguration/extensions/one",
	"microsoft.dataprotection/backupvaults":                                vaultID,
	"microsoft.dataprotection/backupvaults/deletedbackupinstances":         vaultID + "/deletedBackupInstances/one",
	"microsoft.containerservice/locations/trustedaccessroles":              subscription + "/providers/Microsoft.ContainerService/locations/one/trustedAccessRoles",
	"microsoft.dataprotection/locations":                                   group + "/providers/Microsoft.DataProtection/locations/one",
	"microsoft.authorization/roleassignments":                              group + "/providers/Microsoft.Authorization/roleAssignments/66666666-6666-4666-8666-666666666666",
	"microsoft.authorization/roledefinitions":                              group + "/providers/Microsoft.Authorization/roleDefinitions/" + access.OwnerID,
	"coffer.backup/serviceprincipals":                                      "/providers/Coffer.Backup/servicePrincipals/66666666-6666-4666-8666-666666666666",
	"microsoft.dataprotection/backupinstances":                             cluster + "/providers/Microsoft.DataProtection/backupInstances",
	"coffer.backup/revealsecrets":                                          extension + "/providers/Coffer.Backup/revealSecrets",
	"coffer.backup/jointoken":                                              cluster + "/providers/Coffer.Backup/joinToken",
	"coffer.backup/kubeconfig":                                             cluster + "/providers/Coffer.Backup/kubeconfig",
	"coffer.backup/leave":                                                  cluster + "/providers/Coffer.Backup/leave",
	"coffer.backup/check":                                                  binding + "/providers/Coffer.Backup/check",
	"coffer.backup/auditentries":                                           group + "/providers/Coffer.Backup/auditEntries",
	"microsoft.dataprotection/resourceguards":                              guardID,
	"microsoft.dataprotection/backupvaults/backupresourceguardproxies":     proxyID,
	"coffer.backup/alerts":                                                 vaultID + "/providers/Coffer.Backup/alerts/one",
	"microsoft.resourcegraph/resources":                                    "/providers/Microsoft.ResourceGraph/resources",
}

// pathOf is a path that a route is for.
func pathOf(t *testing.T, r route) string {
	t.Helper()
	kind := strings.ToLower(r.kind)
	if _, known := places[kind]; !known && len(r.below) == 1 && strings.HasPrefix(r.kind, "Coffer.Backup/") {
		return pathOf(t, route{kind: r.below[0]}) + "/providers/" + r.kind
	}
	if place, ok := places[kind]; ok {
		if r.on == onRest && !strings.HasSuffix(strings.ToLower(place), kind[strings.LastIndex(kind, "/"):]) {
			return place[:strings.LastIndex(place, "/")]
		}
		return place
	}
	at := strings.LastIndex(kind, "/")
	parent, ok := places[kind[:max(at, 0)]]
	switch {
	case kind == anyProvider:
		return subscription + "/providers/Microsoft.DataProtection"
	case strings.HasSuffix(kind, "/register"):
		return subscription + "/providers/" + r.kind
	case !strings.Contains(kind, "/"):
		return "/" + r.kind
	case strings.HasPrefix(kind, "microsoft.resources/subscriptions/"):
		return subscription + r.kind[at:]
	case strings.HasPrefix(kind, "microsoft.dataprotection/operation"):
		return group + "/providers/" + r.kind + "/one"
	case strings.HasPrefix(kind, "microsoft.dataprotection/backupvaults/backupjobs/"):
		parent = vaultID + "/backupJobs/one"
	case !ok:
		// Below what lies below a vault.
		parent = vaultID + "/backupInstances/one"
	}
	if r.on == onRest {
		return parent + r.kind[at:]
	}
	return parent + r.kind[at:] + "/one"
}

// openRoutes are for everybody who is somebody: what they answer is what the caller may read, or nothing that is anybody's.
var openRoutes = []string{
	"GET subscriptions", "GET tenants", "GET providers", "GET providers/*", "POST Microsoft.ResourceGraph/resources",
}

func TestEveryRouteIsForTheRolesThatTheTableSays(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	roles := access.Roles()
	for i, role := range roles {
		w.must(201, http.MethodPut, fmt.Sprintf("/providers/Microsoft.Authorization/roleAssignments/77777777-7777-4777-8777-%012d%s", i, version),
			fmt.Sprintf(`{"properties":{"roleDefinitionId":%q,"principalId":%q}}`, role.DefinitionID(""), w.objectID(role.Name)))
	}
	server := w.Config.Handler.(*Server)
	var lines []string
	for _, kind := range slices.Sorted(maps.Keys(server.routes)) {
		for _, r := range server.routes[kind] {
			lines = append(lines, w.rolesOf(roles, r))
		}
	}
	got := strings.Join(lines, "\n") + "\n"
	file := filepath.Join("testdata", "roles.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("go test -run %s -update writes the table anew; look at it:\n%s", t.Name(), diff)
	}
}

// rolesOf is a line of the table: a route, and whom it lets in.
func (w *world) rolesOf(roles []access.Role, r route) string {
	w.t.Helper()
	path := pathOf(w.t, r)
	target, err := catalogue.ParsePath(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if found, _, ok := w.Config.Handler.(*Server).routes.find(r.method, target); !ok || found.kind != r.kind || found.on != r.on {
		w.t.Fatalf("%s %s is not on the route of %s (%+v)", r.method, path, r.kind, found.kind)
	}
	name := r.method + " " + r.kind
	if r.on == onRest {
		name += " (below)"
	}
	open := slices.Contains(openRoutes, r.method+" "+r.kind) || r.method == http.MethodGet && r.action == ""
	if r.action == "" && !open {
		w.t.Errorf("%s is for everybody, and not in the list of those", name)
	}
	var admitted []string
	for _, role := range roles {
		// Nothing is changed: the body is no JSON, and what is deleted has another version.
		got := w.do(role.Name, r.method, path+version, "{", "If-Match", `"999-1"`)
		if got.status != http.StatusForbidden {
			admitted = append(admitted, role.Name)
		}
		if decided := access.Decide(catalogue.Principal{ObjectID: w.objectID(role.Name)}, w.held(role), r.action, target.ID).Allowed; r.action != "" && decided != (got.status != http.StatusForbidden) {
			w.t.Errorf("%s as %s: %d %s, and the role says %v", name, role.Name, got.status, got.text, decided)
		}
	}
	if got := w.do("guest", r.method, path+version, "{", "If-Match", `"999-1"`); !open && got.status != http.StatusForbidden {
		w.t.Errorf("%s without a role: %d %s", name, got.status, got.text)
	}
	if r.action == "" {
		return fmt.Sprintf("%s\n    everybody, as far as they may read what is shown", name)
	}
	return fmt.Sprintf("%s\n    %s\n    %s", name, r.action, strings.Join(admitted, ", "))
}

// held is the role, at the root.
func (w *world) held(role access.Role) []access.Assignment {
	var found []access.Assignment
	err := w.db.View(w.t.Context(), func(ctx context.Context, v catalogue.View) error {
		all, err := v.Resources(ctx, catalogue.ResourceQuery{Type: access.AssignmentType, Limit: 1000})
		for _, r := range all {
			a, err := access.ReadAssignment(r.ID, r.Body)
			if err != nil {
				return err
			}
			if a.Role == role.ID && a.Scope == "" {
				found = append(found, a)
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}
