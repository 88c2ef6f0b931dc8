package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/guard"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

const policyCollection = "backupPolicies"

// clusterDatasource is what az calls what is backed up here.
const clusterDatasource = "AzureKubernetesService"

func (p *program) newBackupPolicy() *cobra.Command {
	cmd := group("backup-policy", "Make, list, show, preview and delete the policies of a Backup vault",
		p.newPolicyCreate(), p.newPolicyShow(), p.newPolicyList(), p.newPolicyDelete(), p.newPolicyTemplate(), p.newPolicyPreview(), p.newPolicyPreviewChange())
	cmd.Aliases = []string{"policy"}
	return p.onServer(cmd)
}

func policyNoun() noun {
	return noun{
		name: "backup policy", create: "coffer backup-policy create", fields: policyFields,
		heading: []string{"NAME", "SCHEDULE", "TIME ZONE", "RETENTION"}, row: policyRow,
	}
}

// policyView is a backup policy as the server shows it.
type policyView struct {
	ID         catalogue.ID `json:"id"`
	Name       string       `json:"name"`
	Properties arm.Policy   `json:"properties"`
}

// schedule is when a policy has backups made.
func (v policyView) schedule() (intervals, zone string) {
	var all []string
	for _, rule := range v.Properties.PolicyRules {
		if rule.Trigger != nil && rule.Trigger.Schedule != nil {
			all = append(all, rule.Trigger.Schedule.RepeatingTimeIntervals...)
			zone = rule.Trigger.Schedule.TimeZone
		}
	}
	return strings.Join(all, ", "), zone
}

// retention is how long it has them kept, rule by rule.
func (v policyView) retention() []string {
	var rules []string
	for _, rule := range v.Properties.PolicyRules {
		for _, l := range rule.Lifecycles {
			text := rule.Name
			if l.DeleteAfter != nil {
				text += " " + l.DeleteAfter.Duration
			}
			if l.SourceDataStore != nil && !l.SourceDataStore.DataStoreType.Is(arm.OperationalStore) {
				text += " " + string(l.SourceDataStore.DataStoreType)
			}
			rules = append(rules, text)
		}
	}
	return rules
}

func policyFields(text json.RawMessage) ([]field, error) {
	v, err := decodeAs[policyView](text)
	if err != nil {
		return nil, err
	}
	intervals, zone := v.schedule()
	return slices.Concat([]field{
		{"Name", v.Name},
		{"Backup vault", v.ID.Parent().Name()},
		{"Resource group", groupName(v.ID)},
		{"Schedule", intervals},
		{"Time zone", zone},
		{"Retention", strings.Join(v.retention(), ", ")},
	}, optionFields(v.Properties.Coffer), []field{{"ID", string(v.ID)}}), nil
}

// optionFields are what a policy says in words that Azure does not have.
func optionFields(o *arm.CofferPolicyOptions) []field {
	if o == nil {
		return nil
	}
	var windows []string
	for _, w := range o.ExclusionWindows {
		windows = append(windows, w.Start+" for "+w.Duration)
	}
	least := ""
	if o.KeepAtLeast != nil {
		least = strconv.FormatInt(*o.KeepAtLeast, 10)
	}
	return []field{
		{"Not in", strings.Join(windows, ", ")},
		{"Spread", o.Spread},
		{"Keeps at least", least},
		{"Objective", o.RecoveryPointObjective},
		{"Existing recovery points", string(o.ExistingRecoveryPoints)},
	}
}

func policyRow(text json.RawMessage) ([]string, error) {
	v, err := decodeAs[policyView](text)
	intervals, zone := v.schedule()
	return []string{v.Name, intervals, zone, strings.Join(v.retention(), ", ")}, err
}

// policyFlags name a policy.
type policyFlags struct {
	scopeFlags
	name string
}

func (f *policyFlags) bind(p *program, cmd *cobra.Command) {
	f.bindVault(p, cmd)
	cmd.Flags().StringVarP(&f.name, "backup-policy-name", "n", "", "backup policy; --name is the same")
	bindName(cmd, &f.name)
	mustComplete(cmd, "backup-policy-name", p.completePolicies)
}

// policyID is the id of the policy that is meant.
func (s session) policyID(ctx context.Context, f policyFlags) (string, error) {
	if f.name == "" {
		return "", usageError{errors.New("name the backup policy with --backup-policy-name; `coffer backup-policy list` shows them")}
	}
	return s.childID(ctx, f.scopeFlags, "backup-policy-name", "/"+policyCollection, f.name)
}

// atPolicy is the server, and the id of the policy that is meant there.
func (p *program) atPolicy(ctx context.Context, at policyFlags) (session, string, error) {
	return atServer(ctx, p, session.policyID, at)
}

func (p *program) newPolicyCreate() *cobra.Command {
	var at policyFlags
	var file string
	var guarded guardedFlags
	var agreed agreement
	cmd := &cobra.Command{
		Use: "create", Short: "Make a backup policy, or replace one", Args: noArgs,
		Example: `  coffer backup-policy get-default-policy-template --datasource-type AzureKubernetesService -o json > policy.json
  coffer backup-policy create -g shop -v shop-vault -n four-hourly --policy policy.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usageError{errors.New("say what the policy is with --policy FILE; `coffer backup-policy get-default-policy-template` prints one to begin with")}
			}
			body, err := p.readPolicy(file)
			if err != nil {
				return err
			}
			s, id, err := p.atPolicy(cmd.Context(), at)
			if err != nil {
				return err
			}
			properties, err := json.Marshal(body.Properties)
			if err != nil {
				return err
			}
			if err := agreed.given(cmd.Context(), p, s, id, "coffer backup-policy preview-change", previewQuestion{Policy: properties}); err != nil {
				return err
			}
			requests, err := guarded.named(cmd.Context(), s, string(catalogue.ID(id).Parent()))
			if err != nil {
				return err
			}
			if len(requests) > 0 {
				if body.Properties["resourceGuardOperationRequests"], err = json.Marshal(requests); err != nil {
					return err
				}
			}
			return p.write(cmd.Context(), s, policyNoun(), write{method: http.MethodPut, id: id, body: body, doing: "create backup policy " + catalogue.ID(id).Name()})
		},
	}
	at.bind(p, cmd)
	cmd.Flags().StringVar(&file, "policy", "", "JSON or YAML of the policy: a file, or - for what is piped in")
	guarded.bind(cmd, guard.ChangePolicy)
	agreed.bind(cmd)
	return cmd
}

// policyBody is a policy as it is sent.
type policyBody struct {
	Properties map[string]json.RawMessage `json:"properties"`
}

// readPolicy reads a policy as the template has it, or with the resource around it, as `backup-policy show` prints it.
func (p *program) readPolicy(file string) (body policyBody, err error) {
	text, err := p.readInput("--policy", file)
	if err != nil {
		return body, err
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return body, fmt.Errorf("--policy %s is no policy: %w", file, err)
	}
	body.Properties = parts
	if properties, ok := parts["properties"]; ok {
		body.Properties = nil
		if err := json.Unmarshal(properties, &body.Properties); err != nil {
			return body, fmt.Errorf("--policy %s is no policy: properties: %w", file, err)
		}
	}
	if body.Properties == nil {
		body.Properties = map[string]json.RawMessage{}
	}
	return body, nil
}

func (p *program) newPolicyShow() *cobra.Command {
	var at policyFlags
	cmd := p.newShow("Show a backup policy", policyNoun(), located(p.atPolicy, &at))
	cmd.Example = "  coffer backup-policy show -g shop -v shop-vault -n four-hourly -o yaml"
	at.bind(p, cmd)
	return cmd
}

func (p *program) newPolicyList() *cobra.Command {
	var at scopeFlags
	cmd := p.newListBelow("List the policies of a Backup vault", policyNoun(), "/"+policyCollection, located(p.atVault, &at))
	cmd.Example = "  coffer backup-policy list -g shop -v shop-vault"
	at.bindVault(p, cmd)
	return cmd
}

func (p *program) newPolicyDelete() *cobra.Command {
	var at policyFlags
	cmd := p.newRemoval("Delete a backup policy that nothing follows", policyNoun(), located(p.atPolicy, &at))
	cmd.Example = "  coffer backup-policy delete -g shop -v shop-vault -n four-hourly"
	at.bind(p, cmd)
	return cmd
}

func (p *program) newPolicyTemplate() *cobra.Command {
	var datasource string
	cmd := &cobra.Command{
		Use: "get-default-policy-template", Short: "Print the policy that one begins with: every four hours, kept for seven days", Args: noArgs,
		Example: `  coffer backup-policy get-default-policy-template > policy.yaml
  coffer backup-policy create -g shop -v shop-vault -n four-hourly --policy policy.yaml`,
		RunE: func(*cobra.Command, []string) error {
			if !strings.EqualFold(datasource, clusterDatasource) {
				return usageError{fmt.Errorf("--datasource-type %q is not known; use %s", datasource, clusterDatasource)}
			}
			template := retention.Template()
			return p.render(template, func() error {
				// There is no table of it that one could begin with.
				text, err := yaml.Marshal(template)
				if err == nil {
					_, err = p.Out.Write(text)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&datasource, "datasource-type", clusterDatasource, "what is backed up")
	mustComplete(cmd, "datasource-type", cobra.FixedCompletions([]string{clusterDatasource}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
