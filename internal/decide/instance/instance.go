// Package instance decides on backup instances and their restores. It checks what a client asks for, and makes of it what a
// cluster is told.
package instance

import (
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/refusal"
	"github.com/coffer-backup/coffer/internal/decide/vault"
)

// Case is an instance that somebody wants to have, or to have otherwise.
type Case struct {
	// Vault is the one that it belongs to, and Location that vault's.
	Vault    catalogue.ID
	Location string
	// Body are its properties, and At their path in the request's body.
	Body *arm.Instance
	At   string
	// Was is what it is now; nil if it is new.
	Was *Configuration
}

// Configuration is an instance that can be followed.
type Configuration struct {
	FriendlyName string
	// Cluster is what is backed up, Policy when and for how long, both in the client's spelling.
	Cluster, Policy catalogue.ID
	// SnapshotGroup is where the client wants snapshots to be. It is a name here, and nothing else.
	SnapshotGroup catalogue.ID
	// Backup is what a run of the instance is told. Its StorageLocation is left to the cluster.
	Backup v1alpha1.BackupSpec
}

// reader makes values of wire forms, and gathers what is wrong. Nothing of the form can be relied on.
type reader struct{ refusal.List }

// policiesType and the like are types of resources.
const (
	policiesType       = "Microsoft.DataProtection/backupVaults/backupPolicies"
	groupsType         = "Microsoft.Resources/resourceGroups"
	storageAccountType = "Microsoft.Storage/storageAccounts"
)

// Check reads an instance. The error tells everything that is wrong. Whether the policy is there is the caller's to see.
func Check(c Case) (Configuration, error) {
	const what = "the backup instance"
	var r reader
	if c.Body == nil {
		r.Addf(c.At, "", "is missing")
		return Configuration{}, r.Err(what)
	}
	r.Form(c.Body.Problems(c.At))
	read := Configuration{FriendlyName: c.Body.FriendlyName}
	const longestName = 512
	if len(read.FriendlyName) > longestName {
		r.Addf(arm.At(c.At, "friendlyName"), "", "has %d characters: at most %d are possible", len(read.FriendlyName), longestName)
	}
	path := arm.At(c.At, "dataSourceInfo")
	read.Cluster = r.cluster(path, c.Body.DataSourceInfo)
	r.location(arm.At(path, "resourceLocation"), c.Body.DataSourceInfo, c.Location)
	r.set(arm.At(c.At, "dataSourceSetInfo"), c.Body.DataSourceInfo, c.Body.DataSourceSetInfo)
	if info := c.Body.PolicyInfo; info != nil {
		path = arm.At(c.At, "policyInfo")
		read.Policy = r.policy(arm.At(path, "policyId"), info.PolicyID, c.Vault)
		if info.PolicyParameters != nil {
			r.parameters(arm.At(path, "policyParameters"), info.PolicyParameters, &read)
		}
	}
	if c.Was != nil {
		r.change(c.At, *c.Was, read)
	}
	if err := r.Err(what); err != nil {
		return Configuration{}, err
	}
	return read, nil
}

// id reads the id of a resource of a type; empty is refused by the form.
func (r *reader) id(path, text, kind, example string) catalogue.ID {
	if text == "" {
		return ""
	}
	id, err := catalogue.ParseID(text)
	switch {
	case err != nil:
		r.Addf(path, "write "+example, "is not a resource id: %s", err)
		return ""
	case !strings.EqualFold(id.Type(), kind):
		r.Addf(path, "write "+example, "is the id of a %s: expected a %s", id.Type(), kind)
		return ""
	case id.Group() == "":
		r.Addf(path, "write "+example, "lies in no resource group of a subscription")
		return ""
	case kind == groupsType && !id.Is(id.Group()):
		r.Addf(path, "write "+example, "is not the id of a resource group: those lie in a subscription")
		return ""
	}
	return id
}

// cluster reads what is backed up, or restored to.
func (r *reader) cluster(path string, d *arm.Datasource) catalogue.ID {
	if d == nil {
		return ""
	}
	id := r.id(arm.At(path, "resourceID"), d.ResourceID, arm.ManagedClusters,
		"/subscriptions/S/resourceGroups/G/providers/Microsoft.ContainerService/managedClusters/NAME")
	if id == "" {
		return ""
	}
	for _, same := range []struct{ field, value, want string }{
		{"resourceUri", strings.TrimRight(d.ResourceURI, "/"), string(id)},
		{"resourceName", d.ResourceName, id.Name()},
	} {
		if same.value != "" && !strings.EqualFold(same.value, same.want) {
			r.Addf(arm.At(path, same.field), "it says the same as resourceID, or is left out", "is %s, and resourceID says %s", shown(same.value), shown(same.want))
		}
	}
	return id
}

// location holds that a cluster is where the vault is: that is what operational recovery points need.
func (r *reader) location(path string, d *arm.Datasource, want string) {
	if d != nil && d.ResourceLocation != "" && vault.Location(d.ResourceLocation) != vault.Location(want) {
		r.Addf(path, "use a vault in the cluster's region", "is %s, and the vault is in %s", shown(d.ResourceLocation), want)
	}
}

// set holds that the set is the datasource itself. Azure takes an instance without it, and fails to protect it later.
func (r *reader) set(path string, info, set *arm.Datasource) {
	const hint = "dataSourceSetInfo has the same values as dataSourceInfo, with objectType DatasourceSet"
	if set == nil {
		r.Add(path, coffer.Errorf(coffer.CodeInvalidWorkflowData, "is missing").WithHint(hint))
		return
	}
	if info == nil {
		return
	}
	for _, f := range []struct{ field, is, want string }{
		{"resourceID", set.ResourceID, info.ResourceID},
		{"resourceUri", set.ResourceURI, info.ResourceURI},
		{"resourceName", set.ResourceName, info.ResourceName},
		{"resourceLocation", vault.Location(set.ResourceLocation), vault.Location(info.ResourceLocation)},
	} {
		if f.is != "" && !strings.EqualFold(strings.Trim(f.is, "/"), strings.Trim(f.want, "/")) {
			r.Add(arm.At(path, f.field), coffer.Errorf(coffer.CodeInvalidWorkflowData, "is %s, and that of the datasource itself is %s", shown(f.is), shown(f.want)).WithHint(hint))
			return
		}
	}
}

func (r *reader) policy(path, text string, of catalogue.ID) catalogue.ID {
	example := string(of) + "/backupPolicies/NAME"
	id := r.id(path, text, policiesType, example)
	if id != "" && !id.Parent().Is(of) {
		r.Addf(path, "write "+example+", or create the instance in that vault", "is of the vault %s: an instance follows a policy of its own vault", id.Parent().Name())
		return ""
	}
	return id
}

func (r *reader) parameters(at string, p *arm.PolicyParameters, into *Configuration) {
	if len(p.DataStoreParametersList) > 0 {
		path := arm.At(arm.Item(arm.At(at, "dataStoreParametersList"), 0), "resourceGroupId")
		into.SnapshotGroup = r.id(path, p.DataStoreParametersList[0].ResourceGroupID, groupsType, "/subscriptions/S/resourceGroups/NAME")
	}
	if len(p.BackupDatasourceParametersList) > 0 {
		path := arm.Item(arm.At(at, "backupDatasourceParametersList"), 0)
		into.Backup = r.backup(path, &p.BackupDatasourceParametersList[0])
		return
	}
	// Left out, everything is backed up.
	yes := true
	into.Backup = v1alpha1.BackupSpec{SnapshotVolumes: &yes, IncludeClusterScopeResources: &yes}
}

// change refuses what an instance cannot have otherwise: its recovery points are of that cluster, and its snapshots in that group.
func (r *reader) change(at string, was, now Configuration) {
	if now.Cluster != "" && !now.Cluster.Is(was.Cluster) {
		r.Addf(arm.At(at, "dataSourceInfo.resourceID"), "create another backup instance for the other cluster", "is another cluster than %s", was.Cluster)
	}
	if now.SnapshotGroup != "" && !now.SnapshotGroup.Is(was.SnapshotGroup) {
		r.Addf(arm.At(at, "policyInfo.policyParameters.dataStoreParametersList[0].resourceGroupId"), "write "+string(was.SnapshotGroup),
			"is another resource group: that of the snapshots stays as it is")
	}
}

// shown is a text that somebody has sent, or its beginning.
func shown(text string) string {
	const most = 200
	if len(text) > most {
		return `"` + strings.ToValidUTF8(text[:most], "") + `..."`
	}
	return `"` + text + `"`
}
