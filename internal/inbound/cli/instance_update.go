package cli

import (
	"context"
	"errors"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

// instanceChange are the flags by which an instance is changed; what is not given stays as it is.
type instanceChange struct {
	config     instanceConfig
	policy     followedPolicy
	described  string
	configFile string
	tags       []string
}

func (f *instanceChange) bind(p *program, cmd *cobra.Command) {
	f.config.bind(cmd)
	for _, name := range configFlags() {
		cmd.Flags().Lookup(name).DefValue = ""
	}
	flags := cmd.Flags()
	f.policy.bind(p, cmd, "another backup policy of the vault, for the recovery points to come")
	flags.StringVar(&f.described, "friendly-name", "", "another name for people")
	flags.StringVar(&f.configFile, "backup-configuration", "", "what of the cluster is backed up: a file as initialize-backupconfig prints it, in place of all that was")
	flags.StringSliceVar(&f.tags, "tags", nil, "tags KEY=VALUE, separated by commas; KEY alone takes one away, and others stay")
}

// changed answers what of the instance changes, for a PATCH, and applies it to the view.
func (f *instanceChange) changed(p *program, cmd *cobra.Command, v *instanceView) (map[string]any, error) {
	body := map[string]any{}
	if v.Properties.PolicyInfo == nil {
		v.Properties.PolicyInfo = &arm.PolicyInfo{}
	}
	info := v.Properties.PolicyInfo
	follows, err := f.policy.given()
	if err != nil {
		return nil, err
	}
	if follows {
		if info.PolicyID, err = f.policy.of(v.ID.Parent()); err != nil {
			return nil, err
		}
		putValue(body, info.PolicyID, "properties", "policyInfo", "policyId")
	}
	if cmd.Flags().Changed("friendly-name") {
		v.Properties.FriendlyName = f.described
		putValue(body, f.described, "properties", "friendlyName")
	}
	parameters, changes, err := f.parameters(p, cmd, v.configuration())
	if err != nil {
		return nil, err
	}
	if changes {
		if info.PolicyParameters == nil {
			info.PolicyParameters = &arm.PolicyParameters{}
		}
		info.PolicyParameters.BackupDatasourceParametersList = []arm.ClusterBackupParameters{parameters}
		putValue(body, info.PolicyParameters.BackupDatasourceParametersList, "properties", "policyInfo", "policyParameters", "backupDatasourceParametersList")
	}
	if cmd.Flags().Changed("tags") {
		tags, err := parseTags(f.tags, true)
		if err != nil {
			return nil, err
		}
		body["tags"] = tags
	}
	return body, nil
}

// parameters are what of the cluster is backed up once it is changed, and whether that is asked for.
func (f *instanceChange) parameters(p *program, cmd *cobra.Command, was arm.ClusterBackupParameters) (arm.ClusterBackupParameters, bool, error) {
	if f.configFile != "" {
		if err := choose(cmd, "backup-configuration", configFlags()); err != nil {
			return was, false, err
		}
		read, err := readFileAs[arm.ClusterBackupParameters](p, "--backup-configuration", f.configFile)
		return read, true, err
	}
	if !anyChanged(cmd, configFlags()) {
		return was, false, nil
	}
	now, err := f.config.parameters(cmd, &was)
	return now, true, err
}

// given says whether any change is asked for.
func (f *instanceChange) given(cmd *cobra.Command) bool {
	return anyChanged(cmd, append([]string{"policy-name", "policy-id", "friendly-name", "backup-configuration", "tags"}, configFlags()...))
}

// begin reads the instance that is to be changed, and what changes of it.
func (f *instanceChange) begin(ctx context.Context, p *program, cmd *cobra.Command, at instanceFlags) (s session, v instanceView, body map[string]any, err error) {
	if !f.given(cmd) {
		return s, v, nil, usageError{errors.New("say what to change: see `" + cmd.CommandPath() + " --help`")}
	}
	s, id, err := p.atInstance(ctx, at)
	if err != nil {
		return s, v, nil, err
	}
	if v, err = s.readInstance(ctx, id); err != nil {
		return s, v, nil, err
	}
	v.ID = catalogue.ID(id)
	body, err = f.changed(p, cmd, &v)
	return s, v, body, err
}

func (p *program) newInstanceUpdate() *cobra.Command {
	var at instanceFlags
	var f instanceChange
	var noWait bool
	var guarded guardedFlags
	var agreed agreement
	cmd := &cobra.Command{
		Use: "update", Short: "Have a backup instance follow another policy, or back up other things; what is not given stays as it is", Args: noArgs,
		Aliases: []string{"update-policy"},
		Example: `  coffer backup-instance update -g shop -v shop-vault -n shop --policy-name hourly
  coffer backup-instance update -n shop --included-namespaces shop,orders --tags team=shop`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, v, body, err := f.begin(cmd.Context(), p, cmd, at)
			if err != nil {
				return err
			}
			if err := guarded.put(cmd.Context(), s, string(v.ID.Parent()), body); err != nil {
				return err
			}
			if follows, _ := f.policy.given(); follows {
				asked := arm.PreviewChangeRequest{PolicyID: v.Properties.PolicyInfo.PolicyID}
				if err := agreed.given(cmd.Context(), p, s, string(v.ID), "coffer backup-instance preview-change", asked); err != nil {
					return err
				}
			}
			doing := "update backup instance " + v.ID.Name()
			return p.write(cmd.Context(), s, instanceNoun(), write{method: http.MethodPatch, id: string(v.ID), body: body, doing: doing, noWait: noWait})
		},
	}
	at.bind(p, cmd)
	f.bind(p, cmd)
	guarded.bind(cmd, guard.MovePolicy)
	agreed.bind(cmd)
	bindNoWait(cmd, &noWait)
	return cmd
}

func (p *program) newInstanceValidateUpdate() *cobra.Command {
	var at instanceFlags
	var f instanceChange
	cmd := &cobra.Command{
		Use: "validate-for-update", Short: "Ask whether a backup instance could be changed so", Args: noArgs,
		Example: "  coffer backup-instance validate-for-update -g shop -v shop-vault -n shop --included-namespaces shop,orders",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, v, _, err := f.begin(cmd.Context(), p, cmd, at)
			if err != nil {
				return err
			}
			body := arm.ValidateForBackupRequest{BackupInstance: &v.Properties.Instance}
			return p.validate(cmd.Context(), s, string(v.ID)+"/validateForModifyBackup", body, "validate backup instance "+v.ID.Name())
		},
	}
	at.bind(p, cmd)
	f.bind(p, cmd)
	return cmd
}
