package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

const instanceCollection = "backupInstances"

func (p *program) newBackupInstance() *cobra.Command {
	cmd := group("backup-instance", "Protect clusters by a policy of a Backup vault, back them up and restore them through the vault",
		p.newInstanceCreate(), p.newInstanceInitialize(), p.newInstanceBackupConfig(), p.newInstanceRestoreConfig(), p.newInstanceShow(), p.newInstanceList(),
		p.newInstanceUpdate(), p.newInstanceDelete(), p.newInstanceValidate(), p.newInstanceValidateUpdate(), p.newInstancePermissions(), p.newInstanceBackup(),
		p.newInstanceRestore(), p.newInstanceValidateRestore("validate-for-restore"), p.newInstanceGraph(),
		p.newInstanceStop(), p.newInstanceSuspend(), p.newInstanceResume(), p.newInstanceSync(), p.newInstancePreviewChange(), p.newInstanceSlots(), p.newInstanceDeleted())
	cmd.Aliases = []string{"instance"}
	return p.onServer(cmd)
}

func instanceNoun() noun {
	return noun{
		name: "backup instance", create: "coffer backup-instance create", fields: instanceFields,
		heading: []string{"NAME", "CLUSTER", "POLICY", "NAMESPACES", "STATE"}, row: instanceRow,
	}
}

// instanceView is a backup instance as the server shows it.
type instanceView struct {
	ID         catalogue.ID         `json:"id"`
	Name       string               `json:"name"`
	Tags       map[string]*string   `json:"tags"`
	Properties instancePropertyView `json:"properties"`
}

type instancePropertyView struct {
	arm.Instance
	CurrentProtectionState string               `json:"currentProtectionState"`
	ProvisioningState      string               `json:"provisioningState"`
	ProtectionErrorDetails *arm.UserFacingError `json:"protectionErrorDetails"`
}

func (v instanceView) cluster() catalogue.ID {
	if d := v.Properties.DataSourceInfo; d != nil {
		return catalogue.ID(d.ResourceID)
	}
	return ""
}

func (v instanceView) policy() catalogue.ID {
	if i := v.Properties.PolicyInfo; i != nil {
		return catalogue.ID(i.PolicyID)
	}
	return ""
}

func (v instanceView) snapshotGroup() string {
	if i := v.Properties.PolicyInfo; i != nil && i.PolicyParameters != nil && len(i.PolicyParameters.DataStoreParametersList) > 0 {
		return i.PolicyParameters.DataStoreParametersList[0].ResourceGroupID
	}
	return ""
}

// configuration is what of the cluster is backed up. Left out, it is everything.
func (v instanceView) configuration() arm.ClusterBackupParameters {
	if i := v.Properties.PolicyInfo; i != nil && i.PolicyParameters != nil && len(i.PolicyParameters.BackupDatasourceParametersList) > 0 {
		return i.PolicyParameters.BackupDatasourceParametersList[0]
	}
	yes := true
	return arm.ClusterBackupParameters{ObjectType: arm.TypeClusterBackupSettings, SnapshotVolumes: &yes, IncludeClusterScopeResources: &yes}
}

func (v instanceView) state() string {
	if v.Properties.CurrentProtectionState != "" {
		return v.Properties.CurrentProtectionState
	}
	return v.Properties.ProvisioningState
}

func instanceFields(text json.RawMessage) ([]field, error) {
	v, err := decodeAs[instanceView](text)
	if err != nil {
		return nil, err
	}
	c := v.configuration()
	fields := []field{
		{"Name", v.Name},
		{"Friendly name", v.Properties.FriendlyName},
		{"Backup vault", v.ID.Parent().Name()},
		{"Resource group", groupName(v.ID)},
		{"Cluster", string(v.cluster())},
		{"Policy", v.policy().Name()},
		{"Snapshot resource group", v.snapshotGroup()},
		{"Namespaces", namespacesText(c.IncludedNamespaces, c.ExcludedNamespaces)},
		{"Types", strings.Join(c.IncludedResourceTypes, ", ")},
		{"Types left out", strings.Join(c.ExcludedResourceTypes, ", ")},
		{"Labels", strings.Join(c.LabelSelectors, ", ")},
		{"Cluster-scoped objects", scopeText(c)},
		{"Volume snapshots", said(c.SnapshotVolumes)},
		{"Hooks", strings.Join(references(c.BackupHookReferences), ", ")},
		{"Tags", tagsText(v.Tags)},
		{"State", v.state()},
	}
	if e := v.Properties.ProtectionErrorDetails; e != nil {
		fields = append(fields, field{"Error", problemText(*e)})
	}
	return append(fields, field{"ID", string(v.ID)}), nil
}

// scopeText says which cluster-scoped objects are backed up.
func scopeText(c arm.ClusterBackupParameters) string {
	if c.Coffer != nil && c.Coffer.OnlyNeededClusterScopeResources {
		return "needed"
	}
	return said(c.IncludeClusterScopeResources)
}

// said is a setting that may be left out.
func said(b *bool) string {
	if b == nil {
		return ""
	}
	return yesNo(*b)
}

func instanceRow(text json.RawMessage) ([]string, error) {
	v, err := decodeAs[instanceView](text)
	c := v.configuration()
	return []string{v.Name, v.cluster().Name(), v.policy().Name(), namespacesText(c.IncludedNamespaces, c.ExcludedNamespaces), v.state()}, err
}

// instanceFlags name a backup instance.
type instanceFlags struct {
	scopeFlags
	name string
}

func (f *instanceFlags) bind(p *program, cmd *cobra.Command) {
	f.bindPlain(p, cmd)
	bindName(cmd, &f.name)
}

// bindPlain leaves --name to the command.
func (f *instanceFlags) bindPlain(p *program, cmd *cobra.Command) {
	f.bindVault(p, cmd)
	cmd.Flags().StringVarP(&f.name, "backup-instance-name", "n", "", "backup instance")
	mustComplete(cmd, "backup-instance-name", p.completeInstances)
}

func (p *program) completeInstances(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeBelowVault(cmd, "/"+instanceCollection)
}

// bindOnly is for lists of something else, of which only that of an instance is wanted; what is for people.
func (f *instanceFlags) bindOnly(p *program, cmd *cobra.Command, what string) {
	cmd.Flags().StringVarP(&f.name, "backup-instance-name", "n", "", what)
	cmd.Flags().StringVar(&f.name, "instance", "", "")
	_ = cmd.Flags().MarkHidden("instance") // It is there; so it was called first.
	mustComplete(cmd, "backup-instance-name", p.completeInstances)
}

// instanceID is the id of the backup instance that is meant.
func (s session) instanceID(ctx context.Context, f instanceFlags) (string, error) {
	if f.name == "" {
		return "", usageError{errors.New("name the backup instance with --backup-instance-name; `coffer backup-instance list` shows them")}
	}
	return s.childID(ctx, f.scopeFlags, "backup-instance-name", "/"+instanceCollection, f.name)
}

// idOf is the id that somebody has given for a name: its type has to end as the collection does.
func idOf(flag, text, collection string) (string, error) {
	id, err := catalogue.ParseID(text)
	if err != nil || !strings.HasSuffix(id.Type(), "/"+collection) {
		return "", usageError{fmt.Errorf("--%s %.200q is not an id of one of the %s", flag, text, collection)}
	}
	return string(id), nil
}

// atInstance is the server, and the id of the backup instance that is meant there.
func (p *program) atInstance(ctx context.Context, at instanceFlags) (session, string, error) {
	return atServer(ctx, p, session.instanceID, at)
}

// readInstance reads a backup instance.
func (s session) readInstance(ctx context.Context, id string) (instanceView, error) {
	reply, err := s.Do(ctx, Call{Method: http.MethodGet, Path: id})
	if err != nil {
		return instanceView{}, err
	}
	return decodeAs[instanceView](reply.Body)
}

func (p *program) newInstanceShow() *cobra.Command {
	var at instanceFlags
	cmd := p.newShow("Show a backup instance", instanceNoun(), located(p.atInstance, &at))
	cmd.Example = "  coffer backup-instance show -g shop -v shop-vault -n shop"
	at.bind(p, cmd)
	return cmd
}

func (p *program) newInstanceList() *cobra.Command {
	var at scopeFlags
	cmd := p.newListBelow("List the backup instances of a Backup vault", instanceNoun(), "/"+instanceCollection, located(p.atVault, &at))
	cmd.Example = "  coffer backup-instance list -g shop -v shop-vault"
	at.bindVault(p, cmd)
	return cmd
}

func (p *program) newInstanceDelete() *cobra.Command {
	var at instanceFlags
	var yes, noWait, retain bool
	var guarded guardedFlags
	cmd := &cobra.Command{
		Use: "delete", Short: "End the protection of a cluster, and delete its recovery points with their snapshots", Args: noArgs,
		Long: `End the protection of a cluster, and delete its recovery points with their snapshots. Where the vault has soft delete, as new vaults have, the
backup instance can be had again for some days (deleted-backup-instance undelete), and its recovery points stay until then; otherwise they go at once, for good.

With --retain-data they are left where they are, in the cluster's blob container and as snapshots, and only the vault forgets them. That
works also where the cluster is gone.`,
		Example: `  coffer backup-instance delete -g shop -v shop-vault -n shop
  coffer backup-instance delete -g shop -v shop-vault -n shop --retain-data --yes`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atInstance(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.removeInstance(cmd.Context(), s, id, removal{yes: yes, noWait: noWait, retain: retain, guarded: guarded})
		},
	}
	at.bind(p, cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&retain, "retain-data", false, "leave the recovery points where they are")
	guarded.bind(cmd, guard.DeleteInstance)
	bindNoWait(cmd, &noWait)
	return cmd
}

// removal says how a backup instance is deleted.
type removal struct {
	yes, noWait, retain bool
	guarded             guardedFlags
}

// removeInstance deletes a backup instance once a person has read what goes with it.
func (p *program) removeInstance(ctx context.Context, s session, id string, r removal) error {
	n := 0
	err := s.Each(ctx, id+"/"+pointCollection, func(json.RawMessage) error {
		n++
		return nil
	})
	name := catalogue.ID(id).Name()
	if coffer.CodeOf(err) == coffer.CodeResourceNotFound {
		_, err = fmt.Fprintf(p.Err, "There was no backup instance %s.\n", name)
		return err
	}
	if err != nil {
		return err
	}
	path, what := id, fmt.Sprintf("Its recovery points (%d) stay in the blob container, and the vault forgets them.", n)
	if r.retain {
		path += "?retainData=true"
	} else if what, err = s.goes(ctx, id, n); err != nil {
		return err
	}
	if !r.yes {
		if err := p.confirm(fmt.Sprintf("Delete backup instance %s? %s", name, what)); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintln(p.Err, what); err != nil {
		return err
	}
	if err := r.guarded.unlock(ctx, p, s, string(catalogue.ID(id).Parent()), id); err != nil {
		return err
	}
	if err := p.removeAt(ctx, s, instanceNoun(), name, path, r.noWait); err != nil || r.retain || n == 0 {
		return err
	}
	return p.tellDeleted(ctx, s, id)
}

func (p *program) newInstanceGraph() *cobra.Command {
	var cluster string
	var states []string
	cmd := &cobra.Command{
		Use: "list-from-resourcegraph", Short: "List the backup instances of all vaults", Args: noArgs,
		Example: "  coffer backup-instance list-from-resourcegraph --protection-status ProtectionError",
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := "RecoveryServicesResources | where type =~ 'microsoft.dataprotection/backupvaults/backupinstances'"
			var err error
			if query, err = graphTerm(query, "datasource-id", "properties.dataSourceInfo.resourceID", cluster); err != nil {
				return err
			}
			if query, err = graphTerm(query, "protection-status", "properties.currentProtectionState", states...); err != nil {
				return err
			}
			return p.graph(cmd.Context(), instanceNoun().such(cluster != "" || len(states) > 0), query)
		},
	}
	cmd.Flags().StringVar(&cluster, "datasource-id", "", "only those of this cluster, by its id")
	cmd.Flags().StringSliceVar(&states, "protection-status", nil, "only those in one of these states, such as ProtectionConfigured")
	return cmd
}

// graphTerm adds a condition to a query, if there is a value: the field is one of the values.
func graphTerm(query, flag, field string, values ...string) (string, error) {
	var quoted []string
	for _, v := range values {
		if v == "" {
			continue
		}
		if strings.ContainsAny(v, `'\`) {
			return "", usageError{fmt.Errorf("--%s %.200q: quotes and backslashes are not possible in it", flag, v)}
		}
		quoted = append(quoted, "'"+v+"'")
	}
	if len(quoted) == 0 {
		return query, nil
	}
	return query + " | where " + field + " in~ (" + strings.Join(quoted, ", ") + ")", nil
}

// graph asks Azure Resource Graph's question of the server, page by page, and prints what it finds. It is about the subscription that
// the command line names, or else about all.
func (p *program) graph(ctx context.Context, n noun, query string) error {
	s, err := p.server()
	if err != nil {
		return err
	}
	body := struct {
		Query         string         `json:"query"`
		Subscriptions []string       `json:"subscriptions,omitempty"`
		Options       map[string]any `json:"options"`
	}{Query: query, Options: map[string]any{}}
	if s.subscription != "" {
		id, err := s.subscriptionID(ctx)
		if err != nil {
			return err
		}
		body.Subscriptions = []string{catalogue.ID(id).Name()}
	}
	var all []json.RawMessage
	for {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("query: %w", err)
		}
		reply, err := s.Do(ctx, Call{Method: http.MethodPost, Path: "/providers/Microsoft.ResourceGraph/resources", Body: text})
		if err != nil {
			return err
		}
		page, err := decodeAs[struct {
			Data []json.RawMessage `json:"data"`
			Skip string            `json:"$skipToken"`
		}](reply.Body)
		if err != nil {
			return err
		}
		all = append(all, page.Data...)
		if page.Skip == "" || len(page.Data) == 0 {
			return p.showAll(n, all)
		}
		body.Options["$skipToken"] = page.Skip
	}
}
