package arm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3gen"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// propertiesOf are the types of the properties of resources, by resource type in lower case. Others have any.
var propertiesOf = map[string]any{
	"microsoft.dataprotection/backupvaults":                                arm.Vault{},
	"microsoft.dataprotection/locations/deletedvaults":                     arm.DeletedVault{},
	"microsoft.dataprotection/backupvaults/backuppolicies":                 arm.Policy{},
	"microsoft.dataprotection/backupvaults/backupinstances":                arm.Instance{},
	"microsoft.dataprotection/backupvaults/backupinstances/recoverypoints": arm.RecoveryPoint{},
	"microsoft.dataprotection/backupvaults/deletedbackupinstances":         arm.Instance{},
	"microsoft.dataprotection/backupvaults/backupjobs":                     arm.Job{},
	"coffer.backup/alerts":                                                 arm.Alert{},
	"microsoft.dataprotection/resourceguards":                              arm.ResourceGuard{},
	"microsoft.dataprotection/backupvaults/backupresourceguardproxies":     arm.ResourceGuardProxy{},
}

// bodiesOf are the types of what is sent to actions, and repliesOf of what they answer.
var (
	bodiesOf = map[string]any{
		"microsoft.dataprotection/backupvaults/validateforbackup":                       arm.ValidateForBackupRequest{},
		"microsoft.dataprotection/backupvaults/backupinstances/validateformodifybackup": arm.ValidateForBackupRequest{},
		"microsoft.dataprotection/backupvaults/backupinstances/validaterestore":         arm.ValidateRestoreRequest{},
		"microsoft.resourcegraph/resources":                                             graphRequest{},
		"coffer.backup/jointoken":                                                       joinTokenRequest{},
		"coffer.backup/kubeconfig":                                                      vault.KubeconfigRequest{},
		"microsoft.dataprotection/backupvaults/backupinstances/backup":                  arm.BackupRequest{},
		"microsoft.dataprotection/backupvaults/backupinstances/suspendbackups":          arm.SuspendRequest{},
		"microsoft.dataprotection/backupvaults/backupinstances/stopprotection":          arm.SuspendRequest{},
		"microsoft.dataprotection/backupvaults/backupinstances/sync":                    arm.SyncRequest{},
		"microsoft.dataprotection/backupvaults/backupinstances/restore":                 arm.RestoreRequest{},
		"coffer.backup/plan":            arm.RestoreRequest{},
		"coffer.backup/hold":            arm.HoldRequest{},
		"coffer.backup/forgetdeletions": arm.ForgetDeletionsRequest{},
		"coffer.backup/purge":           arm.SuspendRequest{},
		"coffer.backup/releasehold":     arm.SuspendRequest{},
		"microsoft.dataprotection/backupvaults/backupresourceguardproxies/unlockdelete": arm.UnlockDeleteRequest{},
		"coffer.backup/removeorphans": arm.RemoveOrphansRequest{},
	}
	repliesOf = map[string]any{
		"microsoft.resourcegraph/resources":                        graphAnswer{},
		"microsoft.dataprotection/locations/checknameavailability": nameAnswer{},
		"coffer.backup/auditentries":                               []auditEntry{},
		"coffer.backup/alerts/acknowledge":                         shownAlert{},
		"coffer.backup/alerts/close":                               shownAlert{},
		"coffer.backup/pendingdeletions":                           []arm.PendingDeletion{},
		"coffer.backup/slots":                                      []arm.Slot{},
		"coffer.backup/meter":                                      []arm.MeterReading{},
		"coffer.backup/orphans":                                    []arm.Orphan{},
		"coffer.backup/removeorphans":                              arm.RemovedOrphans{},
		"coffer.backup/jointoken":                                  vault.JoinToken{},
		"coffer.backup/contents":                                   []content.Item{},
		"coffer.backup/coverage":                                   []content.CoverageItem{},
		"coffer.backup/search":                                     []found{},
		"coffer.backup/plan":                                       []content.PlanItem{},
		"coffer.backup/report":                                     []content.ReportItem{},
		"coffer.backup/diff":                                       []content.DiffItem{},
		"coffer.backup/logs":                                       logBody{},
		"coffer.backup/inventory":                                  content.Inventory{},
		"coffer.backup/previewpolicy":                              arm.Preview{},
		"coffer.backup/preview":                                    arm.Preview{},
		"coffer.backup/previewchange":                              arm.PreviewedChanges{},
		"microsoft.containerservice/locations/trustedaccessroles":  []trustedRole{},
		"microsoft.dataprotection/backupvaults/backupresourceguardproxies/unlockdelete": arm.UnlockDeleteResponse{},
	}
)

// OpenAPI is the document that describes all routes, as JSON. It is made of the table that requests are routed by.
func (s *Server) OpenAPI() ([]byte, error) {
	d, err := s.document()
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(d, "", " ")
}

func (s *Server) document() (*openapi3.T, error) {
	d := &openapi3.T{
		OpenAPI: "3.0.3",
		Info: &openapi3.Info{
			Title: "Coffer", Version: "1",
			Description: "Backup vaults for Kubernetes clusters, in the API of Azure Resource Manager. Any well-formed api-version is served. Paths do not mind the case of their words; a scope is the id of a subscription, a resource group or a resource, or empty.",
		},
		Paths: openapi3.NewPaths(), Components: &openapi3.Components{Schemas: openapi3.Schemas{}, SecuritySchemes: openapi3.SecuritySchemes{
			"bearer": &openapi3.SecuritySchemeRef{Value: openapi3.NewJWTSecurityScheme()},
		}},
		Security: *openapi3.NewSecurityRequirements().With(openapi3.NewSecurityRequirement().Authenticate("bearer")),
	}
	for _, kind := range slices.Sorted(maps.Keys(s.routes)) {
		for _, r := range s.routes[kind] {
			operation, err := describeRoute(r, d.Components.Schemas)
			if err != nil {
				return nil, fmt.Errorf("describe %s %s: %w", r.method, r.kind, err)
			}
			for _, path := range r.templates() {
				o := *operation
				o.OperationID = r.method + strings.NewReplacer("/", "_", "{", "", "}", "", ".", "").Replace(path)
				o.Parameters = slices.Concat(pathParameters(path), operation.Parameters)
				d.AddOperation(path, r.method, &o)
			}
		}
	}
	return d, nil
}

// describeRoute is a route without its path.
func describeRoute(r route, schemas openapi3.Schemas) (*openapi3.Operation, error) {
	body, reply, err := r.schemas(schemas)
	if err != nil {
		return nil, err
	}
	o := openapi3.NewOperation()
	o.Tags = []string{strings.Split(r.kind, "/")[0]}
	o.Summary = r.summary()
	if r.action != "" {
		o.Description = "Needs the action " + r.action + "."
	}
	version := openapi3.NewQueryParameter("api-version").WithRequired(true).WithSchema(openapi3.NewStringSchema())
	o.AddParameter(version)
	if r.isList() {
		o.AddParameter(openapi3.NewQueryParameter("$top").WithSchema(openapi3.NewIntegerSchema().WithMin(1)))
		o.AddParameter(openapi3.NewQueryParameter("$skipToken").WithSchema(openapi3.NewStringSchema()))
		o.AddParameter(openapi3.NewQueryParameter("$filter").WithSchema(openapi3.NewStringSchema()))
	}
	for _, name := range r.query {
		o.AddParameter(openapi3.NewQueryParameter(name).WithSchema(openapi3.NewStringSchema()))
	}
	if body != nil {
		o.RequestBody = &openapi3.RequestBodyRef{Value: openapi3.NewRequestBody().WithRequired(true).WithJSONSchemaRef(body)}
	}
	failure, err := schemaOf(arm.CloudError{}, schemas)
	if err != nil {
		return nil, err
	}
	o.AddResponse(0, openapi3.NewResponse().WithDescription("what went wrong, and what to do").WithJSONSchemaRef(failure))
	done := openapi3.NewResponse().WithDescription("done")
	if reply != nil {
		done = done.WithJSONSchemaRef(reply)
	}
	o.AddResponse(http.StatusOK, done)
	if r.accepts {
		o.AddResponse(http.StatusAccepted, openapi3.NewResponse().WithDescription("under way; follow Azure-AsyncOperation or Location"))
	}
	switch r.method {
	case http.MethodPut:
		o.AddResponse(http.StatusCreated, openapi3.NewResponse().WithDescription("created").WithJSONSchemaRef(reply))
	case http.MethodDelete:
		o.AddResponse(http.StatusNoContent, openapi3.NewResponse().WithDescription("there was none"))
	}
	return o, nil
}

func (r route) isList() bool {
	return r.on == onRest && r.method == http.MethodGet && r.kind != anyProvider
}

func (r route) summary() string {
	noun := r.kind[strings.LastIndex(r.kind, "/")+1:]
	switch {
	case r.isList():
		return "List " + noun
	case r.method == http.MethodPost:
		return "Do " + noun
	}
	return map[string]string{http.MethodGet: "Show", http.MethodPut: "Create or replace", http.MethodPatch: "Change", http.MethodDelete: "Delete"}[r.method] + " one of " + noun
}

// schemas are those of what is sent on a route and of what is answered; nil is nothing.
func (r route) schemas(all openapi3.Schemas) (body, reply *openapi3.SchemaRef, err error) {
	key := strings.ToLower(r.kind)
	if r.method == http.MethodPost {
		body, err = schemaOf(cmp.Or[any](bodiesOf[key], map[string]any{}), all)
		if err != nil {
			return nil, nil, err
		}
	}
	if special, ok := repliesOf[key]; ok && (!r.accepts || r.method != http.MethodPost) {
		reply, err = schemaOf(special, all)
		if err == nil && reply.Value.Items != nil {
			reply = pageSchema(reply.Value.Items)
		}
		return body, reply, err
	}
	one, err := resourceSchema(propertiesOf[strings.ToLower(keptType(r.kind))], all)
	switch {
	case err != nil:
		return nil, nil, err
	case r.isList():
		return nil, pageSchema(one), nil
	case r.method == http.MethodPut, r.method == http.MethodPatch:
		return openapi3.NewObjectSchema().NewRef(), one, nil
	case r.method == http.MethodPost, r.method == http.MethodDelete, strings.Contains(key, "operation"), key == anyProvider:
		return body, openapi3.NewObjectSchema().NewRef(), nil
	}
	return nil, one, nil
}

// resourceSchema is that of a resource with properties of a type.
func resourceSchema(properties any, all openapi3.Schemas) (*openapi3.SchemaRef, error) {
	inner := openapi3.NewObjectSchema().NewRef()
	if properties != nil {
		var err error
		if inner, err = schemaOf(properties, all); err != nil {
			return nil, err
		}
	}
	s := openapi3.NewObjectSchema().WithProperty("id", openapi3.NewStringSchema()).WithProperty("name", openapi3.NewStringSchema()).
		WithProperty("type", openapi3.NewStringSchema()).WithProperty("location", openapi3.NewStringSchema()).
		WithProperty("eTag", openapi3.NewStringSchema()).WithProperty("tags", openapi3.NewObjectSchema().WithNullable()).
		WithPropertyRef("properties", inner)
	s.Required = []string{"id"}
	return s.NewRef(), nil
}

func pageSchema(item *openapi3.SchemaRef) *openapi3.SchemaRef {
	list := openapi3.NewArraySchema()
	list.Items = item
	s := openapi3.NewObjectSchema().WithProperty("value", list).WithProperty("nextLink", openapi3.NewStringSchema())
	s.Required = []string{"value"}
	return s.NewRef()
}

// schemaOf is that of a Go type. What the type does not have is possible, too: bodies keep what nobody knows.
func schemaOf(v any, all openapi3.Schemas) (*openapi3.SchemaRef, error) {
	ref, err := openapi3gen.NewSchemaRefForValue(v, all, openapi3gen.UseAllExportedFields())
	if err != nil {
		return nil, err
	}
	relax(ref, map[*openapi3.Schema]bool{})
	return ref, nil
}

// relax lets fields be null, and words be any, as ARM's clients send them.
func relax(ref *openapi3.SchemaRef, seen map[*openapi3.Schema]bool) {
	if ref == nil || ref.Value == nil || seen[ref.Value] {
		return
	}
	seen[ref.Value] = true
	ref.Value.Nullable, ref.Value.Required = true, nil
	for _, p := range ref.Value.Properties {
		relax(p, seen)
	}
	relax(ref.Value.Items, seen)
	relax(ref.Value.AdditionalProperties.Schema, seen)
}

// bases are where the types of a provider lie.
var bases = map[string]string{
	"microsoft.dataprotection/backupvaults":        groupTemplate,
	"microsoft.dataprotection/locations":           subscriptionTemplate,
	"microsoft.dataprotection/resourceguards":      groupTemplate,
	"microsoft.dataprotection/backupinstances":     clusterTemplate,
	"microsoft.dataprotection/operationstatus":     groupTemplate,
	"microsoft.dataprotection/operationresults":    groupTemplate,
	"microsoft.containerservice/managedclusters":   groupTemplate,
	"microsoft.containerservice/locations":         subscriptionTemplate,
	"microsoft.storage/storageaccounts":            groupTemplate,
	"microsoft.kubernetesconfiguration/extensions": clusterTemplate,
	"coffer.backup/serviceprincipals":              "",
	"coffer.backup/jointoken":                      clusterTemplate,
	"coffer.backup/kubeconfig":                     clusterTemplate,
	"coffer.backup/leave":                          clusterTemplate,
	"coffer.backup/check":                          clusterTemplate + "/trustedAccessRoleBindings/{trustedAccessRoleBinding}",
	"coffer.backup/alerts":                         vaultTemplate,
	"microsoft.resourcegraph/resources":            "",
}

const (
	subscriptionTemplate = "/subscriptions/{subscription}"
	groupTemplate        = subscriptionTemplate + "/resourceGroups/{resourceGroup}"
	vaultTemplate        = groupTemplate + "/providers/Microsoft.DataProtection/backupVaults/{backupVault}"
	clusterTemplate      = groupTemplate + "/providers/Microsoft.ContainerService/managedClusters/{managedCluster}"
)

// templates are the paths of a route, with names in braces.
func (r route) templates() []string {
	words := strings.Split(r.kind, "/")
	switch {
	case r.kind == typeSubscription:
		return []string{subscriptionTemplate}
	case r.kind == typeGroup:
		return []string{groupTemplate}
	case r.kind == anyProvider:
		return []string{subscriptionTemplate + "/providers/{provider}"}
	case words[0] == "Microsoft.Resources" && words[1] == "resourceGroups":
		return []string{groupTemplate + "/" + words[2]}
	case words[0] == "Microsoft.Resources" && len(words) == 3:
		return []string{subscriptionTemplate + "/" + words[2]}
	case words[len(words)-1] == "register":
		return []string{subscriptionTemplate + "/providers/" + r.kind}
	case len(words) == 1:
		return []string{"/" + words[0]}
	}
	base, fixed := bases[strings.ToLower(words[0]+"/"+words[1])]
	switch {
	case fixed:
	case len(r.below) == 1 && r.below[0] != "":
		base = route{kind: r.below[0], on: onResource}.templates()[0]
	default:
		base = "/{scope}"
	}
	path := base + "/providers/" + words[0]
	for i, word := range words[1:] {
		path += "/" + word
		if i < len(words)-2 || r.on == onResource {
			path += "/{" + strings.TrimSuffix(word, "s") + "}"
		}
	}
	if r.isList() && base == groupTemplate && len(words) == 2 {
		return []string{path, strings.Replace(path, groupTemplate, subscriptionTemplate, 1)}
	}
	return []string{path}
}

func pathParameters(path string) openapi3.Parameters {
	var found openapi3.Parameters
	for _, word := range strings.Split(path, "/") {
		if name := strings.Trim(word, "{}"); name != word {
			found = append(found, &openapi3.ParameterRef{Value: openapi3.NewPathParameter(name).WithSchema(openapi3.NewStringSchema())})
		}
	}
	return found
}

// routeOf is the route of a path, for those who judge what it answers.
func (s *Server) routeOf(method, path string) (route, bool) {
	target, err := catalogue.ParsePath(path)
	if err != nil {
		return route{}, false
	}
	r, _, ok := s.routes.find(method, target)
	return r, ok
}
