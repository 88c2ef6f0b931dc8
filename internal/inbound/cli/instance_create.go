package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

// instanceSpec are the flags by which an instance is described: a file, or what goes into it.
type instanceSpec struct {
	config                        instanceConfig
	policy                        followedPolicy
	file, configFile              string
	datasource, cluster, location string
	group, described              string
	tags                          []string
}

// specFlags are the flags that a file stands for.
func specFlags() []string {
	return append([]string{
		"cluster", "datasource-id", "datasource-type", "datasource-location", "policy-name", "policy-id", "snapshot-resource-group", "friendly-name", "tags",
		"backup-configuration",
	}, configFlags()...)
}

func (f *instanceSpec) bind(p *program, cmd *cobra.Command) {
	f.config.bind(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.cluster, "cluster", "", "cluster to protect, its id or, if only one has it, its name")
	flags.StringVar(&f.cluster, "datasource-id", "", "the same as --cluster")
	flags.StringVarP(&f.location, "datasource-location", "l", "", "region of the cluster, to be compared with that of the vault")
	f.policy.bind(p, cmd, "backup policy of the vault")
	flags.StringVar(&f.group, "snapshot-resource-group", "", "resource group of the snapshots, its name or id, which cannot be changed later (default that of the cluster)")
	flags.StringVar(&f.described, "friendly-name", "", "name for people")
	flags.StringSliceVar(&f.tags, "tags", nil, "tags KEY=VALUE, separated by commas")
	flags.StringVar(&f.configFile, "backup-configuration", "", "what of the cluster is backed up: a file as initialize-backupconfig prints it, in place of the flags for that")
	bindDatasource(cmd, &f.datasource)
	mustComplete(cmd, "cluster", p.completeClusters)
}

func checkDatasource(datasource string) error {
	if !strings.EqualFold(datasource, clusterDatasource) {
		return usageError{fmt.Errorf("--datasource-type %q is not known; use %s", datasource, clusterDatasource)}
	}
	return nil
}

// namedInstance is an instance with its name, as initialize prints it and create takes it. The name has az's spelling.
type namedInstance struct {
	BackupInstanceName string             `json:"backup_instance_name,omitempty"`
	Name               string             `json:"name,omitempty"`
	Properties         *arm.Instance      `json:"properties,omitempty"`
	Tags               map[string]*string `json:"tags,omitempty"`
}

// clusterResource is the id of the cluster that a flag names: an id, or the name of one cluster of the subscription.
func (s session) clusterResource(ctx context.Context, flag, text string) (catalogue.ID, error) {
	if strings.HasPrefix(text, "/") {
		id, err := catalogue.ParseID(text)
		if err != nil || !strings.EqualFold(id.Type(), arm.ManagedClusters) {
			return "", usageError{fmt.Errorf("--%s %.200q is not the id of a cluster: it goes /subscriptions/S/resourceGroups/G/%s/NAME", flag, text, clusterCollection)}
		}
		return id, nil
	}
	subscription, err := s.subscriptionID(ctx)
	if err != nil {
		return "", err
	}
	var found []catalogue.ID
	err = s.Each(ctx, subscription+"/"+clusterCollection, func(item json.RawMessage) error {
		one, err := decodeAs[struct {
			ID   catalogue.ID `json:"id"`
			Name string       `json:"name"`
		}](item)
		if err == nil && strings.EqualFold(one.Name, text) {
			found = append(found, one.ID)
		}
		return err
	})
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", fmt.Errorf("there is no cluster called %q in the subscription that you may see; `coffer cluster list` shows them, and `coffer cluster join` lets one in", text)
	case len(found) > 1:
		return "", usageError{fmt.Errorf("%d clusters of the subscription are called %q, such as %s: name one by its id", len(found), text, found[0])}
	}
	return found[0], nil
}

// describe makes what the flags say into an instance of a vault.
func (f *instanceSpec) describe(ctx context.Context, p *program, cmd *cobra.Command, s session, vault catalogue.ID) (namedInstance, error) {
	made := namedInstance{}
	follows, err := f.policy.given()
	switch {
	case f.cluster == "":
		return made, usageError{errors.New("name the cluster with --cluster; `coffer cluster list` shows them")}
	case err != nil:
		return made, err
	case !follows:
		return made, usageError{errors.New("name the backup policy with --policy-name; `coffer backup-policy list` shows them")}
	}
	if err := checkDatasource(f.datasource); err != nil {
		return made, err
	}
	parameters, err := f.parameters(p, cmd)
	if err != nil {
		return made, err
	}
	cluster, err := s.clusterResource(ctx, "cluster", f.cluster)
	if err != nil {
		return made, err
	}
	policy, err := f.policy.of(vault)
	if err != nil {
		return made, err
	}
	group := string(cluster.Group())
	switch {
	case strings.HasPrefix(f.group, "/"):
		group = f.group
	case f.group != "":
		if err := checkSegment("snapshot-resource-group", f.group); err != nil {
			return made, err
		}
		group = "/subscriptions/" + cluster.Subscription() + "/resourceGroups/" + f.group
	}
	source := arm.Datasource{
		ObjectType: arm.TypeDatasource, DatasourceType: arm.ManagedClusters, ResourceID: string(cluster), ResourceURI: string(cluster),
		ResourceName: cluster.Name(), ResourceType: arm.ManagedClusters, ResourceLocation: f.location,
	}
	set := source
	set.ObjectType = arm.TypeDatasourceSet
	made.Properties = &arm.Instance{
		ObjectType: arm.TypeInstance, FriendlyName: f.described, DataSourceInfo: &source, DataSourceSetInfo: &set,
		PolicyInfo: &arm.PolicyInfo{PolicyID: policy, PolicyParameters: &arm.PolicyParameters{
			DataStoreParametersList:        []arm.DataStoreParameters{{ObjectType: arm.TypeOperationalStoreSettings, DataStoreType: arm.OperationalStore, ResourceGroupID: group}},
			BackupDatasourceParametersList: []arm.ClusterBackupParameters{parameters},
		}},
	}
	if cmd.Flags().Changed("tags") {
		if made.Tags, err = parseTags(f.tags, false); err != nil {
			return made, err
		}
	}
	return made, nil
}

// parameters are what of the cluster is backed up: what a file says, or the flags.
func (f *instanceSpec) parameters(p *program, cmd *cobra.Command) (arm.ClusterBackupParameters, error) {
	if f.configFile == "" {
		return f.config.parameters(cmd, nil)
	}
	if err := choose(cmd, "backup-configuration", configFlags()); err != nil {
		return arm.ClusterBackupParameters{}, err
	}
	return readFileAs[arm.ClusterBackupParameters](p, "--backup-configuration", f.configFile)
}

func (p *program) newInstanceInitialize() *cobra.Command {
	var at scopeFlags
	var f instanceSpec
	cmd := &cobra.Command{
		Use: "initialize", Short: "Print a backup instance, for `create --backup-instance` and `validate-for-backup`", Args: noArgs,
		Example: `  coffer backup-instance initialize -g shop -v shop-vault --cluster production --policy-name daily --included-namespaces shop > instance.json
  coffer backup-instance create -g shop -v shop-vault --backup-instance instance.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			s, err := p.server()
			if err != nil {
				return err
			}
			vault := ""
			if f.policy.id == "" {
				if vault, err = s.vaultID(ctx, at); err != nil {
					return err
				}
			}
			made, err := f.describe(ctx, p, cmd, s, catalogue.ID(vault))
			if err != nil {
				return err
			}
			// As az names them, with something of its own in place of a UUID: whoever likes another name changes it.
			cluster := made.Properties.DataSourceInfo.ResourceName
			made.BackupInstanceName = cluster + "-" + rand.String(2*randomLength)
			if made.Properties.FriendlyName == "" {
				made.Properties.FriendlyName = cluster
			}
			return p.printJSON(made)
		},
	}
	at.bindVault(p, cmd)
	f.bind(p, cmd)
	return cmd
}

// asked is the instance that a command is given, by a file or by flags, and its id. With neither a name in the file nor on the command
// line it is called as its cluster.
func (f *instanceSpec) asked(ctx context.Context, p *program, cmd *cobra.Command, at instanceFlags) (session, catalogue.ID, namedInstance, error) {
	var made namedInstance
	if f.file != "" {
		err := choose(cmd, "backup-instance", specFlags())
		if err == nil {
			made, err = readFileAs[namedInstance](p, "--backup-instance", f.file)
		}
		if err == nil && made.Properties == nil {
			err = usageError{fmt.Errorf("--backup-instance %s has no properties: `coffer backup-instance initialize` prints one to begin with", f.file)}
		}
		if err != nil {
			return session{}, "", made, err
		}
	}
	s, err := p.server()
	if err != nil {
		return s, "", made, err
	}
	vault, err := s.vaultID(ctx, at.scopeFlags)
	if err != nil {
		return s, "", made, err
	}
	if f.file == "" {
		if made, err = f.describe(ctx, p, cmd, s, catalogue.ID(vault)); err != nil {
			return s, "", made, err
		}
	}
	name := cmp.Or(at.name, made.BackupInstanceName, made.Name)
	if d := made.Properties.DataSourceInfo; name == "" && d != nil {
		name = catalogue.ID(d.ResourceID).Name()
	}
	made.BackupInstanceName, made.Name = "", ""
	if name == "" {
		return s, "", made, usageError{errors.New("name the backup instance with --backup-instance-name")}
	}
	at.name = name
	id, err := s.instanceID(ctx, at)
	return s, catalogue.ID(id), made, err
}

func (p *program) newInstanceCreate() *cobra.Command {
	var at instanceFlags
	var f instanceSpec
	var noWait bool
	cmd := &cobra.Command{
		Use: "create", Short: "Protect a cluster, or what is chosen of it, by a policy", Args: noArgs,
		Example: `  coffer backup-instance create -g shop -v shop-vault -n shop --cluster production --policy-name daily --included-namespaces shop
  coffer backup-instance create -g shop -v shop-vault --backup-instance instance.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, made, err := f.asked(cmd.Context(), p, cmd, at)
			if err != nil {
				return err
			}
			return p.write(cmd.Context(), s, instanceNoun(), write{
				method: http.MethodPut, id: string(id), body: made, doing: "create backup instance " + id.Name(), noWait: noWait,
			})
		},
	}
	at.bind(p, cmd)
	f.bind(p, cmd)
	bindInstanceFile(cmd, &f.file)
	bindNoWait(cmd, &noWait)
	return cmd
}

func bindInstanceFile(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "backup-instance", "", "JSON or YAML of the instance, as initialize prints it: a file, or - for what is piped in; in place of the flags for that")
}

func (p *program) newInstanceValidate() *cobra.Command {
	var at instanceFlags
	var f instanceSpec
	cmd := &cobra.Command{
		Use: "validate-for-backup", Short: "Ask whether a cluster could be protected so, and its backups made", Args: noArgs,
		Long: `Ask whether a cluster could be protected so, and its backups made. The cluster itself is asked, too, and each of its checks is shown:
what fails is said with what to do, and ends with exit code 1.`,
		Example: "  coffer backup-instance validate-for-backup -g shop -v shop-vault --cluster production --policy-name daily --included-namespaces shop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, made, err := f.asked(cmd.Context(), p, cmd, at)
			if err != nil {
				return err
			}
			body := arm.ValidateForBackupRequest{BackupInstance: made.Properties}
			return p.validate(cmd.Context(), s, string(id.Parent())+"/validateForBackup", body, "validate backup instance "+id.Name())
		},
	}
	at.bind(p, cmd)
	f.bind(p, cmd)
	bindInstanceFile(cmd, &f.file)
	return cmd
}

// validate asks whether something could be done, and shows what was checked.
func (p *program) validate(ctx context.Context, s session, path string, body any, doing string) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	told := newOperationLine(p, doing)
	reply, err := s.Do(ctx, Call{Method: http.MethodPost, Path: path, Body: text, Follow: true, Progress: told.show})
	told.end()
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if reply.Body == nil {
		reply.Body = json.RawMessage(`{}`)
	}
	return p.render(reply.Body, func() error {
		answer, err := decodeAs[struct {
			Properties struct {
				Coffer struct {
					Checks []v1alpha1.Check `json:"checks"`
				} `json:"coffer"`
			} `json:"properties"`
		}](reply.Body)
		if err != nil {
			return err
		}
		if checks := answer.Properties.Coffer.Checks; len(checks) > 0 {
			return p.findingsTable(v1alpha1.ValidationStatus{Checks: checks})
		}
		_, err = fmt.Fprintln(p.Err, "Nothing stands in the way.")
		return err
	})
}
