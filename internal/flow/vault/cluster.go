package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// The types of a cluster and what is configured at it.
const (
	typeCluster   = "Microsoft.ContainerService/managedClusters"
	typeBinding   = "Microsoft.ContainerService/managedClusters/trustedAccessRoleBindings"
	typeExtension = "Microsoft.KubernetesConfiguration/extensions"
	typeVault     = "Microsoft.DataProtection/backupVaults"
	typePolicy    = typeVault + "/backupPolicies"
)

// BackupOperator is the one role of trusted access.
const BackupOperator = "Microsoft.DataProtection/backupVaults/backup-operator"

// operatorGroup is the API group of runs.
const operatorGroup = "clusterbackup.dataprotection.microsoft.com"

// OperatorRule is a rule of a role in a cluster, as Kubernetes has it.
type OperatorRule struct {
	Verbs     []string `json:"verbs"`
	APIGroups []string `json:"apiGroups"`
	Resources []string `json:"resources"`
}

// BackupOperatorRules are all that BackupOperator allows, in the extension's namespace: to see and to make runs, and to look into what they
// made. Hooks, storage locations and secrets are the cluster's own. They are the rules of the ClusterRole backup-operator of the
// extension's chart.
func BackupOperatorRules() []OperatorRule {
	own := []string{operatorGroup}
	return []OperatorRule{
		{
			Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}, APIGroups: own,
			Resources: []string{"backups", "restores", "restoretests", "deletebackups", "validateforbackups", "validateforrestores"},
		},
		{Verbs: []string{"get"}, APIGroups: own, Resources: []string{"backups/contents", "backups/inventory", "restores/contents"}},
	}
}

var (
	clusterName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$`)
	bindingName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,22}[a-zA-Z0-9])?$`)
)

// ClusterKind is a Kubernetes cluster, under the name that clients of AKS know. It is pending until its extension has joined.
func ClusterKind(tenant string) Kind {
	return Kind{
		Type: typeCluster, Noun: "cluster", Parents: []string{typeGroup}, Deleted: http.StatusNoContent, Body: clusterBody{},
		Judge: func(_ context.Context, _ catalogue.View, p Proposal) (Verdict, error) {
			if !clusterName.MatchString(p.ID.Name()) {
				return Verdict{}, invalid(p.ID, "the name of a cluster has 1 to 63 letters, digits, - and _")
			}
			if err := checkTracked(p); err != nil {
				return Verdict{}, err
			}
			identity, err := identityFacts(p, tenant)
			if err != nil {
				return Verdict{}, err
			}
			state, links, err := clusterState(p)
			if err != nil {
				return Verdict{}, err
			}
			f := object{"properties": object{"provisioningState": "Succeeded", "coffer": state}}
			if identity != nil {
				f["identity"] = identity
			}
			body, err := withoutClusterSecrets(p.ID, p.Body)
			if err == nil {
				body, err = withoutCoffer(body)
			}
			return Verdict{Body: body, Facts: facts(f), Links: links}, err
		},
		Removable: mustBeUnprotected,
	}
}

type clusterBody struct {
	tracked
	identified
	clusterSecrets
}

// clusterSecrets are the fields of a managed cluster that Azure takes and never shows. There is no use for them here.
type clusterSecrets struct {
	Properties struct {
		ServicePrincipalProfile struct {
			Secret *string `json:"secret"`
		} `json:"servicePrincipalProfile"`
		WindowsProfile struct {
			AdminPassword *string `json:"adminPassword"`
		} `json:"windowsProfile"`
		AADProfile struct {
			ServerAppSecret *string `json:"serverAppSecret"`
		} `json:"aadProfile"`
	} `json:"properties"`
}

// withoutClusterSecrets is a body without its secrets.
func withoutClusterSecrets(id catalogue.ID, body json.RawMessage) (json.RawMessage, error) {
	found, err := arm.Decode[clusterSecrets](body)
	if err != nil {
		return nil, malformed(id, err)
	}
	for _, one := range []struct {
		there *string
		patch string
	}{
		{found.Properties.ServicePrincipalProfile.Secret, `{"properties":{"servicePrincipalProfile":{"secret":null}}}`},
		{found.Properties.WindowsProfile.AdminPassword, `{"properties":{"windowsProfile":{"adminPassword":null}}}`},
		{found.Properties.AADProfile.ServerAppSecret, `{"properties":{"aadProfile":{"serverAppSecret":null}}}`},
	} {
		if one.there == nil {
			continue
		}
		if body, err = jsonpatch.MergePatch(body, []byte(one.patch)); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// clusterState is what is known of whether a cluster has joined: a change of its tags changes nothing of that.
func clusterState(p Proposal) (ClusterFacts, []catalogue.Link, error) {
	if p.Before == nil {
		return pendingCluster(p.ID), nil, nil
	}
	f, err := ClusterFactsOf(*p.Before)
	return f, p.Before.Links, err
}

// withoutCoffer is a body without what only the server says, which clients send back as they have got it. It would show through where the
// server has nothing to say any more.
func withoutCoffer(body json.RawMessage) (json.RawMessage, error) {
	var found struct {
		Properties struct {
			Coffer json.RawMessage `json:"coffer"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(body, &found); err != nil || found.Properties.Coffer == nil {
		return body, err
	}
	return jsonpatch.MergePatch(body, []byte(`{"properties":{"coffer":null}}`))
}

// mustBeUnprotected refuses to delete a cluster that backup instances protect.
func mustBeUnprotected(ctx context.Context, v catalogue.View, r catalogue.Resource) error {
	instances, err := v.Resources(ctx, catalogue.ResourceQuery{Linked: &catalogue.Link{Relation: catalogue.LinkDatasource, Target: r.ID.Key()}, Limit: 1})
	if err != nil || len(instances) == 0 {
		return err
	}
	if in := instances[0].ID; strings.EqualFold(in.Type(), typeDeleted) {
		return inTheWay("the cluster "+r.ID.Name()+" is that", []string{in.Name()})
	}
	return coffer.Errorf(coffer.CodeConflict, "%s is protected by %s", r.ID, instances[0].ID).WithHint("delete the backup instance first")
}

// settingPrefix is how the secrets of an extension are named.
const settingPrefix = "configurationProtectedSettings/"

// purposeOf is what a setting is sealed for: one secret of one extension.
func purposeOf(owner catalogue.ID, secret string) string {
	return "extension-settings " + owner.Key() + " " + secret
}

// maxSetting is how long the value of a setting may be.
const maxSetting = 16 << 10

type extensionBody struct {
	Properties struct {
		ExtensionType string `json:"extensionType"`
		Scope         struct {
			Namespace *json.RawMessage `json:"namespace"`
		} `json:"scope"`
		ConfigurationSettings          map[string]*string `json:"configurationSettings"`
		ConfigurationProtectedSettings map[string]*string `json:"configurationProtectedSettings"`
	} `json:"properties"`
}

// ExtensionKind is the Backup extension of a cluster with its settings, of which the protected ones are kept sealed.
func ExtensionKind(sealer catalogue.Sealer, tenant string) Kind {
	return Kind{
		Type: typeExtension, Noun: "extension", Parents: []string{typeCluster}, Secrets: sealer, Body: extensionBody{},
		Judge: func(ctx context.Context, v catalogue.View, p Proposal) (Verdict, error) {
			body, err := decode[extensionBody](p)
			if err != nil {
				return Verdict{}, err
			}
			if err := checkExtension(p.ID, body); err != nil {
				return Verdict{}, err
			}
			if err := mustBeOnlyExtension(ctx, v, p.ID); err != nil {
				return Verdict{}, err
			}
			verdict, err := sealSettings(ctx, sealer, p, body.Properties.ConfigurationProtectedSettings)
			if err != nil {
				return Verdict{}, err
			}
			identity := object{"type": "SystemAssigned", "tenantId": tenant, "principalId": extensionPrincipal(p)}
			_, cluster, err := clusterAt(ctx, v, p.ID.Parent())
			if err != nil {
				return Verdict{}, err
			}
			location, err := proposedLocation(ctx, v, p, body)
			if err != nil {
				return Verdict{}, err
			}
			if location != nil && location.Wanted != nil {
				verdict.Links = []catalogue.Link{{Relation: catalogue.LinkAwaited, Target: awaitedCluster}}
			}
			properties := extensionState(p.ID.Parent(), cluster, location)
			properties["aksAssignedIdentity"], properties["isSystemExtension"] = identity, false
			verdict.Facts = facts(object{"properties": properties})
			if verdict.Body == nil {
				verdict.Body = p.Body
			}
			verdict.Body, err = withoutCoffer(verdict.Body)
			return verdict, err
		},
		Removable: func(ctx context.Context, v catalogue.View, r catalogue.Resource) error {
			cluster, err := v.Resource(ctx, r.ID.Parent())
			if err != nil {
				return err
			}
			return mustBeUnprotected(ctx, v, cluster)
		},
	}
}

func checkExtension(id catalogue.ID, body extensionBody) error {
	const kind = "microsoft.dataprotection.kubernetes"
	if !strings.EqualFold(body.Properties.ExtensionType, kind) {
		return invalid(id, "properties.extensionType is %.100q", body.Properties.ExtensionType).WithHint("use %s", kind)
	}
	if scope := body.Properties.Scope.Namespace; scope != nil && string(*scope) != "null" {
		return invalid(id, "properties.scope.namespace is set: the extension is of the whole cluster").WithHint("use properties.scope.cluster")
	}
	for _, settings := range []map[string]*string{body.Properties.ConfigurationSettings, body.Properties.ConfigurationProtectedSettings} {
		for name, value := range settings {
			if name == "" || len(name) > 256 || value != nil && len(*value) > maxSetting {
				return invalid(id, "the setting %.60q is too long, or has no name", name)
			}
		}
	}
	return nil
}

// mustBeOnlyExtension holds that a cluster has one Backup extension.
func mustBeOnlyExtension(ctx context.Context, v catalogue.View, id catalogue.ID) error {
	others, err := v.Resources(ctx, catalogue.ResourceQuery{Type: typeExtension, Under: id.Parent(), Limit: 2})
	if err != nil {
		return err
	}
	for _, o := range others {
		if !o.ID.Is(id) {
			return coffer.Errorf(coffer.CodeConflict, "%s has the Backup extension already: %s", id.Parent(), o.ID).WithHint("change that one, or delete it first")
		}
	}
	return nil
}

// sealSettings takes the values of protected settings out of a body. A null keeps what was there; one that is not named goes.
func sealSettings(ctx context.Context, sealer catalogue.Sealer, p Proposal, settings map[string]*string) (Verdict, error) {
	var verdict Verdict
	hidden := map[string]*string{}
	for name, value := range settings {
		hidden[name] = nil
		if value == nil {
			continue
		}
		sealed, err := sealer.Seal(ctx, purposeOf(p.ID, settingPrefix+name), []byte(*value))
		if err != nil {
			return Verdict{}, err
		}
		verdict.Secrets = append(verdict.Secrets, catalogue.Secret{Name: settingPrefix + name, Sealed: sealed})
	}
	if p.Before != nil {
		var before extensionBody
		if err := json.Unmarshal(p.Before.Body, &before); err != nil {
			return Verdict{}, err
		}
		for name := range before.Properties.ConfigurationProtectedSettings {
			if _, stays := settings[name]; !stays {
				verdict.Forget = append(verdict.Forget, settingPrefix+name)
			}
		}
	}
	if len(settings) == 0 {
		return verdict, nil
	}
	var err error
	verdict.Body, err = setProperty(p.Body, "configurationProtectedSettings", hidden)
	return verdict, err
}

// extensionPrincipal is who the extension is to the storage, for as long as it is there.
func extensionPrincipal(p Proposal) string {
	if p.Before != nil {
		var before struct {
			Properties struct {
				Identity struct {
					PrincipalID string `json:"principalId"`
				} `json:"aksAssignedIdentity"`
			} `json:"properties"`
		}
		if json.Unmarshal(orEmpty(p.Before.Facts), &before) == nil && before.Properties.Identity.PrincipalID != "" {
			return before.Properties.Identity.PrincipalID
		}
	}
	return p.NewObjectID()
}
