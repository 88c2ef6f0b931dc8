package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// What protect makes, if it is not told other names.
const (
	defaultVault  = "backup-vault"
	defaultPolicy = "four-hourly"
)

// protectFlags say how a cluster is protected.
type protectFlags struct {
	at               scopeFlags
	join             joinFlags
	policy, instance string
	namespaces       []string
	snapshots        string
	yes              bool
}

func (f *protectFlags) bind(p *program, cmd *cobra.Command) {
	f.at.bindVault(p, cmd)
	f.join.bind(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.policy, "backup-policy-name", defaultPolicy, "backup policy; if there is none of this name, one is made with a backup every four hours, kept for seven days")
	flags.StringVar(&f.instance, "backup-instance-name", "", "backup instance (default the cluster's name)")
	flags.StringSliceVar(&f.namespaces, "included-namespaces", nil, "namespaces to back up, separated by commas (default all)")
	flags.StringVar(&f.snapshots, "snapshot-resource-group", "", "id of the resource group for snapshots, where the driver takes one (default the cluster's)")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	mustComplete(cmd, "backup-policy-name", p.completePolicies)
}

func (p *program) newProtect() *cobra.Command {
	var f protectFlags
	cmd := &cobra.Command{
		Use: "protect CLUSTER", Short: "Protect the cluster of the kubeconfig in one step: join it, and back it up by a policy", Args: oneCluster, ValidArgsFunction: p.completeClusters,
		Long: `Protect the cluster of the kubeconfig in one step.

It makes what is missing of: the resource group, the Backup vault, the joined cluster with the Backup extension, a backup policy, trusted access of
the vault to the cluster, which the same kubeconfig approves, and a backup instance. What is there is used as it is, so it can be repeated.`,
		Example: `  coffer protect shop-1 -g shop -l westeurope
  coffer protect shop-1 -g shop -v shop-vault --included-namespaces shop,shop-data --context prod --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.join.readChanges(cmd)
			return p.protect(cmd.Context(), args[0], f)
		},
	}
	f.bind(p, cmd)
	return p.onBoth(cmd)
}

// protected is what a cluster is protected by: ids of the server.
type protected struct{ cluster, vault, policy, instance string }

// protectionOf names everything, and makes nothing.
func (s session) protectionOf(ctx context.Context, cluster string, f protectFlags) (o protected, err error) {
	if o.cluster, err = s.clusterID(ctx, f.at, cluster); err != nil {
		return o, err
	}
	if f.at.group == "" && s.profile.ResourceGroup == "" {
		f.at.group = groupName(catalogue.ID(o.cluster))
	}
	f.at.vault = cmp.Or(f.at.vault, s.profile.VaultName, defaultVault)
	if o.vault, err = s.vaultID(ctx, f.at); err != nil {
		return o, err
	}
	if o.policy, err = s.policyID(ctx, policyFlags{scopeFlags: f.at, name: f.policy}); err != nil {
		return o, err
	}
	f.instance = cmp.Or(f.instance, catalogue.ID(o.cluster).Name())
	if err := checkSegment("backup-instance-name", f.instance); err != nil {
		return o, err
	}
	o.instance = o.vault + "/" + instanceCollection + "/" + f.instance
	return o, nil
}

// protect does one step after another; each looks at what is there, and does what is missing.
func (p *program) protect(ctx context.Context, cluster string, f protectFlags) error {
	s, err := p.server()
	if err != nil {
		return err
	}
	o, err := s.protectionOf(ctx, cluster, f)
	if err != nil {
		return err
	}
	if !f.yes {
		question := fmt.Sprintf("Join the cluster of %s to %s as %s, and let Backup vault %s back it up and restore it?",
			p.target.name(), s.profile.URL, catalogue.ID(o.cluster).Name(), catalogue.ID(o.vault).Name())
		if err := p.confirm(question); err != nil {
			return err
		}
	}
	location, err := p.ensureVault(ctx, s, o, f.join.location)
	if err != nil {
		return err
	}
	f.join.location = location
	joined, err := p.join(ctx, s, o.cluster, f.join)
	if err != nil {
		return err
	}
	v, err := decodeAs[clusterView](joined)
	if err != nil {
		return err
	}
	for _, note := range v.Properties.Coffer.Notes {
		p.told("Note: %s", note)
	}
	if err := p.ensurePolicy(ctx, s, o.policy); err != nil {
		return err
	}
	if err := p.ensureAccess(ctx, s, o); err != nil {
		return err
	}
	text, err := p.ensureInstance(ctx, s, o, f)
	if err != nil {
		return err
	}
	p.told("Cluster %s is protected. A backup at once:\n  coffer backup-instance adhoc-backup -g %s -v %s --backup-instance-name %s --rule-name BackupHourly --wait",
		catalogue.ID(o.cluster).Name(), groupName(catalogue.ID(o.vault)), catalogue.ID(o.vault).Name(), catalogue.ID(o.instance).Name())
	return p.showOne(instanceNoun(), text)
}

// name is what a person calls the cluster of a kubeconfig.
func (t Target) name() string {
	switch {
	case t.Context != "":
		return "context " + t.Context
	case t.Kubeconfig != "":
		return t.Kubeconfig
	}
	return "the current context"
}

// ensureVault makes the vault, and its resource group and that of the cluster, where they are missing. It answers the vault's region.
func (p *program) ensureVault(ctx context.Context, s session, o protected, location string) (string, error) {
	vault, _, there, err := readAs[vaultView](ctx, s, o.vault)
	if err != nil {
		return "", err
	}
	if there {
		location = cmp.Or(location, vault.Location)
	}
	location = cmp.Or(location, s.profile.Location)
	for _, group := range []string{string(catalogue.ID(o.vault).Group()), string(catalogue.ID(o.cluster).Group())} {
		found, _, there, err := readAs[groupView](ctx, s, group)
		if err != nil {
			return "", err
		}
		if there {
			location = cmp.Or(location, found.Location)
			continue
		}
		if location == "" {
			return "", usageError{fmt.Errorf("there is no resource group %s yet: say in which region it is to be with --location", catalogue.ID(group).Name())}
		}
		if _, err := s.send(ctx, http.MethodPut, group, map[string]any{"location": location}); err != nil {
			return "", fmt.Errorf("create resource group %s: %w", catalogue.ID(group).Name(), err)
		}
		p.told("Resource group %s is made, in %s.", catalogue.ID(group).Name(), location)
	}
	if there {
		return location, nil
	}
	body := map[string]any{
		"location": location, "identity": map[string]any{"type": "SystemAssigned"},
		"properties": map[string]any{"storageSettings": []storageSetting{{DatastoreType: "VaultStore", Type: "LocallyRedundant"}}},
	}
	if _, err := s.send(ctx, http.MethodPut, o.vault, body); err != nil {
		return "", fmt.Errorf("create backup vault %s: %w", catalogue.ID(o.vault).Name(), err)
	}
	p.told("Backup vault %s is made, in %s.", catalogue.ID(o.vault).Name(), location)
	return location, nil
}

// ensurePolicy makes the policy that one begins with, if there is none of this name.
func (p *program) ensurePolicy(ctx context.Context, s session, id string) error {
	_, _, there, err := readAs[policyView](ctx, s, id)
	if err != nil || there {
		return err
	}
	if _, err := s.send(ctx, http.MethodPut, id, map[string]any{"properties": retention.Template()}); err != nil {
		return fmt.Errorf("create backup policy %s: %w", catalogue.ID(id).Name(), err)
	}
	p.told("Backup policy %s is made: a backup every four hours, kept for seven days.", catalogue.ID(id).Name())
	return nil
}

// ensureAccess gives the vault trusted access to the cluster, by the kubeconfig that the cluster was joined by.
func (p *program) ensureAccess(ctx context.Context, s session, o protected) error {
	v, err := p.ensureBinding(ctx, s, o.cluster, o.vault)
	if err != nil {
		return err
	}
	if v.Properties.Coffer.State == bindingApproved {
		return nil
	}
	if _, err := p.approve(ctx, s, v); err != nil {
		return err
	}
	p.told("Backup vault %s has trusted access to cluster %s.", catalogue.ID(o.vault).Name(), catalogue.ID(o.cluster).Name())
	return nil
}

// ensureBinding is the binding of a vault to a cluster, which is made if there is none.
func (p *program) ensureBinding(ctx context.Context, s session, cluster, vault string) (bindingView, error) {
	v, there, err := firstOf(ctx, s, cluster+"/"+bindingCollection, func(b bindingView) bool {
		return catalogue.ID(b.Properties.SourceResourceID).Is(catalogue.ID(vault))
	})
	if err != nil || there {
		return v, err
	}
	id := cluster + "/" + bindingCollection + "/" + bindingNameFor(vault)
	body := map[string]any{"properties": map[string]any{"sourceResourceId": vault, "roles": []string{operatorRole}}}
	text, err := s.send(ctx, http.MethodPut, id, body)
	if err != nil {
		return v, fmt.Errorf("ask for trusted access: %w", err)
	}
	return decodeAs[bindingView](text)
}

// bindingForm is what bindings can be called.
var bindingForm = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,22}[a-zA-Z0-9])?$`)

// bindingNameFor is what the binding of a vault is called: as the vault, where that is possible, and it is the same each time.
func bindingNameFor(vault string) string {
	if name := catalogue.ID(vault).Name(); bindingForm.MatchString(name) {
		return name
	}
	sum := sha256.Sum256([]byte(catalogue.ID(vault).Key()))
	return "vault-" + hex.EncodeToString(sum[:6])
}

// ensureInstance makes the backup instance, if there is none of this name.
func (p *program) ensureInstance(ctx context.Context, s session, o protected, f protectFlags) (json.RawMessage, error) {
	name := catalogue.ID(o.instance).Name()
	_, text, there, err := readAs[instanceView](ctx, s, o.instance)
	if err != nil {
		return nil, err
	}
	if there {
		p.told("Backup instance %s is there already, and was left as it is.", name)
		return text, nil
	}
	cluster, _, _, err := readAs[clusterView](ctx, s, o.cluster)
	if err != nil {
		return nil, err
	}
	body := protectedBody(cluster, o, f)
	found, err := s.send(ctx, http.MethodPost, o.vault+"/validateForBackup", arm.ValidateForBackupRequest{BackupInstance: body})
	if err != nil {
		return nil, fmt.Errorf("check whether cluster %s can be backed up: %w", cluster.Name, err)
	}
	checks, err := decodeAs[checksView](found)
	if err != nil {
		return nil, err
	}
	for _, c := range checks.Properties.Coffer.Checks {
		if c.Status == "Warning" {
			p.told("Warning: %s", strings.TrimSuffix(c.Message+"; "+c.Remedy, "; "))
		}
	}
	if text, err = s.send(ctx, http.MethodPut, o.instance, arm.InstanceResource{Properties: body}); err != nil {
		return nil, fmt.Errorf("create backup instance %s: %w", name, err)
	}
	p.told("Backup instance %s is made: %s.", name, cmp.Or(strings.Join(f.namespaces, ", "), "all namespaces"))
	return text, nil
}

// checksView is what a cluster found that could be in the way of its backups.
type checksView struct {
	Properties struct {
		Coffer struct {
			Checks []struct {
				Status  string `json:"status"`
				Message string `json:"message"`
				Remedy  string `json:"remedy"`
			} `json:"checks"`
		} `json:"coffer"`
	} `json:"properties"`
}

// protectedBody is the instance that backs up namespaces of a cluster, or all of it, with its volumes.
func protectedBody(cluster clusterView, o protected, f protectFlags) *arm.Instance {
	source := arm.Datasource{
		ObjectType: arm.TypeDatasource, DatasourceType: arm.ManagedClusters, ResourceType: arm.ManagedClusters,
		ResourceID: o.cluster, ResourceURI: o.cluster, ResourceName: catalogue.ID(o.cluster).Name(), ResourceLocation: cluster.Location,
	}
	set := source
	set.ObjectType = arm.TypeDatasourceSet
	yes := true
	return &arm.Instance{
		ObjectType: arm.TypeInstance, FriendlyName: catalogue.ID(o.instance).Name(), DataSourceInfo: &source, DataSourceSetInfo: &set,
		PolicyInfo: &arm.PolicyInfo{PolicyID: o.policy, PolicyParameters: &arm.PolicyParameters{
			DataStoreParametersList: []arm.DataStoreParameters{{
				ObjectType: arm.TypeOperationalStoreSettings, DataStoreType: arm.OperationalStore,
				ResourceGroupID: cmp.Or(f.snapshots, string(catalogue.ID(o.cluster).Group())),
			}},
			BackupDatasourceParametersList: []arm.ClusterBackupParameters{{
				ObjectType: arm.TypeClusterBackupSettings, SnapshotVolumes: &yes, IncludeClusterScopeResources: &yes, IncludedNamespaces: f.namespaces,
			}},
		}},
	}
}
