package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/guard"
	"github.com/coffer-backup/coffer/internal/decide/quota"
)

// vaultSettings are the flags with which a vault is made or changed, as az has them.
type vaultSettings struct {
	identity, softDelete, immutability string
	crossSubscription, crossRegion     string
	jobAlerts                          string
	retentionDays                      float64
	tags, quotas                       []string
	location                           string
	storage                            string
	guarded                            guardedFlags
	// changes says that what is not given stays as it is.
	changes, noWaiting bool
}

func (f *vaultSettings) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	tags, initially := "tags KEY=VALUE, separated by commas", func(value string) string { return " (default " + value + ")" }
	if f.changes {
		initially = func(string) string { return "" }
		tags += "; KEY alone takes one away, and others stay"
	}
	flags.StringSliceVar(&f.tags, "tags", nil, tags)
	flags.StringVar(&f.identity, "type", "", "identity of the vault: SystemAssigned or None")
	flags.StringVar(&f.softDelete, "soft-delete-state", "", "Off, On, or AlwaysOn, which cannot be undone"+initially("On"))
	flags.Float64Var(&f.retentionDays, "retention-duration-in-days", 0, "how long what was deleted can be had again: 14 to 180"+initially("14"))
	flags.Float64Var(&f.retentionDays, "soft-delete-retention", 0, "the same as --retention-duration-in-days")
	flags.StringVar(&f.immutability, "immutability-state", "", "Disabled, Unlocked, or Locked, which cannot be undone"+initially("Disabled"))
	flags.StringVar(&f.crossSubscription, "cross-subscription-restore-state", "", "Enabled, Disabled, or PermanentlyDisabled, which cannot be undone"+initially("Disabled"))
	flags.StringVar(&f.crossRegion, "cross-region-restore-state", "", "Disabled, or Enabled, which cannot be undone; for GeoRedundant vaults")
	flags.StringVar(&f.jobAlerts, "azure-monitor-alerts-for-job-failures", "", "alerts of jobs that fail: Enabled or Disabled"+initially("Enabled"))
	flags.StringSliceVar(&f.quotas, "quotas", nil, "tighter quotas than the server's: on-demand-backups=N and restores=N a day of an instance, namespaces=N of one, instances=N, policies=N; 0 takes one away")
	f.guarded.bind(cmd, guard.ReduceSoftDelete, guard.ReduceImmutability, guard.ModifyEncryption)
	bindNoWait(cmd, &f.noWaiting)
	for name, words := range map[string][]string{
		"type": {"SystemAssigned", "None"}, "soft-delete-state": {"Off", "On", "AlwaysOn"}, "immutability-state": {"Disabled", "Unlocked", "Locked"},
		"cross-subscription-restore-state": {"Disabled", "Enabled", "PermanentlyDisabled"}, "cross-region-restore-state": {"Disabled", "Enabled"},
		"azure-monitor-alerts-for-job-failures": {"Disabled", "Enabled"},
	} {
		mustComplete(cmd, name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
}

// body is what the flags say, and nothing of what they do not: the server knows the defaults, and judges the values.
func (f *vaultSettings) body(cmd *cobra.Command) (map[string]any, error) {
	flags := cmd.Flags()
	if flags.Changed("retention-duration-in-days") && flags.Changed("soft-delete-retention") {
		return nil, usageError{errors.New("give --retention-duration-in-days or --soft-delete-retention, not both: they are the same")}
	}
	body, properties := map[string]any{}, map[string]any{}
	put(body, f.identity, "identity", "type")
	put(properties, f.softDelete, "securitySettings", "softDeleteSettings", "state")
	if flags.Changed("retention-duration-in-days") || flags.Changed("soft-delete-retention") {
		putValue(properties, f.retentionDays, "securitySettings", "softDeleteSettings", "retentionDurationInDays")
	}
	put(properties, f.immutability, "securitySettings", "immutabilitySettings", "state")
	put(properties, f.crossSubscription, "featureSettings", "crossSubscriptionRestoreSettings", "state")
	put(properties, f.crossRegion, "featureSettings", "crossRegionRestoreSettings", "state")
	put(properties, f.jobAlerts, "monitoringSettings", "azureMonitorAlertSettings", "alertsForAllJobFailures")
	if flags.Changed("quotas") {
		quotas, err := quota.ParseOwn(f.quotas)
		if err != nil {
			return nil, usageError{fmt.Errorf("--quotas: %w", err)}
		}
		putValue(properties, quotas, "coffer", "quotas")
	}
	if flags.Changed("tags") {
		tags, err := parseTags(f.tags, f.changes)
		if err != nil {
			return nil, err
		}
		body["tags"] = tags
	}
	if len(properties) > 0 {
		body["properties"] = properties
	}
	return body, nil
}

// put sets a word deep in an object, if there is one.
func put(object map[string]any, word string, path ...string) {
	if word != "" {
		putValue(object, word, path...)
	}
}

func putValue(object map[string]any, value any, path ...string) {
	for ; len(path) > 1; path = path[1:] {
		below, ok := object[path[0]].(map[string]any)
		if !ok {
			below = map[string]any{}
			object[path[0]] = below
		}
		object = below
	}
	object[path[0]] = value
}

func (p *program) newVaultCreate() *cobra.Command {
	var at scopeFlags
	var f vaultSettings
	cmd := &cobra.Command{
		Use: "create", Short: "Make a Backup vault, or set one to what is given", Args: noArgs,
		Example: `  coffer backup-vault create -g shop -v shop-vault -l westeurope --type SystemAssigned \
    --storage-setting "[{type:LocallyRedundant,datastore-type:VaultStore}]"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := f.body(cmd)
			if err != nil {
				return err
			}
			settings, err := parseStorageSettings(f.storage)
			if err != nil {
				return usageError{err}
			}
			putValue(body, settings, "properties", "storageSettings")
			s, id, err := p.atVault(cmd.Context(), at)
			if err != nil {
				return err
			}
			if body["location"], err = s.location(cmd.Context(), f.location, id); err != nil {
				return err
			}
			if err := f.guarded.put(cmd.Context(), s, id, body); err != nil {
				return err
			}
			doing := "create backup vault " + catalogue.ID(id).Name()
			return p.write(cmd.Context(), s, vaultNoun(), write{method: http.MethodPut, id: id, body: body, doing: doing, noWait: f.noWaiting})
		},
	}
	at.bindVault(p, cmd)
	f.bind(cmd)
	cmd.Flags().StringVarP(&f.location, "location", "l", "", "region (default the profile's, or that of the resource group)")
	cmd.Flags().StringVar(&f.storage, "storage-setting", "",
		`redundancy, which cannot be changed later: "[{type:LocallyRedundant,datastore-type:VaultStore}]", or ZoneRedundant, or GeoRedundant`)
	return cmd
}

// location is the region that is meant for a new resource: if nothing is said, that of its group.
func (s session) location(ctx context.Context, given, id string) (string, error) {
	if given != "" {
		return given, nil
	}
	if s.profile.Location != "" {
		return s.profile.Location, nil
	}
	reply, err := s.Do(ctx, Call{Method: http.MethodGet, Path: string(catalogue.ID(id).Group())})
	if err != nil {
		return "", fmt.Errorf("look for the location of the resource group: %w", err)
	}
	group, err := decodeAs[struct {
		Location string `json:"location"`
	}](reply.Body)
	return group.Location, err
}

func (p *program) newVaultUpdate() *cobra.Command {
	var at scopeFlags
	f := vaultSettings{changes: true}
	cmd := &cobra.Command{
		Use: "update", Short: "Change settings of a Backup vault; what is not given stays as it is", Args: noArgs,
		Example: "  coffer backup-vault update -g shop -v shop-vault --soft-delete-state AlwaysOn --retention-duration-in-days 30",
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := f.body(cmd)
			if err != nil {
				return err
			}
			if len(body) == 0 {
				return usageError{fmt.Errorf("say what to change: see `%s --help`", cmd.CommandPath())}
			}
			s, id, err := p.atVault(cmd.Context(), at)
			if err != nil {
				return err
			}
			if err := f.guarded.put(cmd.Context(), s, id, body); err != nil {
				return err
			}
			doing := "update backup vault " + catalogue.ID(id).Name()
			return p.write(cmd.Context(), s, vaultNoun(), write{method: http.MethodPatch, id: id, body: body, doing: doing, noWait: f.noWaiting})
		},
	}
	at.bindVault(p, cmd)
	f.bind(cmd)
	return cmd
}

// storageSetting is one of a vault, as it is sent.
type storageSetting struct {
	DatastoreType string `json:"datastoreType"`
	Type          string `json:"type"`
}

// parseStorageSettings reads --storage-setting in the spellings that az takes: JSON, or its shorthand without quotes, with or without
// the brackets of the list.
func parseStorageSettings(text string) ([]storageSetting, error) {
	const example = `write "[{type:LocallyRedundant,datastore-type:VaultStore}]"`
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("choose the redundancy of the vault with --storage-setting: " + example)
	}
	list := strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(list, "["); ok {
		if list, ok = strings.CutSuffix(inner, "]"); !ok {
			return nil, fmt.Errorf("--storage-setting %q has no end: %s", text, example)
		}
	}
	var all []storageSetting
	for rest := strings.TrimSpace(list); rest != "" || all == nil; {
		inner, ok := strings.CutPrefix(rest, "{")
		object, after, closed := strings.Cut(inner, "}")
		if !ok || !closed {
			return nil, fmt.Errorf("--storage-setting %q is not understood: %s", text, example)
		}
		one, err := parseStorageSetting(object)
		if err != nil {
			return nil, fmt.Errorf("--storage-setting %q: %w: %s", text, err, example)
		}
		all = append(all, one)
		after = strings.TrimSpace(after)
		if rest = strings.TrimSpace(strings.TrimPrefix(after, ",")); rest == "" && after != "" || rest != "" && rest == after {
			return nil, fmt.Errorf("--storage-setting %q is not understood: %s", text, example)
		}
	}
	return all, nil
}

func parseStorageSetting(object string) (s storageSetting, err error) {
	for pair := range strings.SplitSeq(object, ",") {
		name, value, _ := strings.Cut(pair, ":")
		value = unquoted(value)
		var to *string
		switch strings.ToLower(unquoted(name)) {
		case "type":
			to = &s.Type
		case "datastore-type", "datastoretype":
			to = &s.DatastoreType
		default:
			return s, fmt.Errorf("%q is not known in it", unquoted(name))
		}
		if value == "" || *to != "" {
			return s, fmt.Errorf("%s is there twice, or without a value", unquoted(name))
		}
		*to = value
	}
	if s.Type == "" || s.DatastoreType == "" {
		return s, errors.New("type and datastore-type are both needed")
	}
	return s, nil
}

// unquoted is a word without blanks and quotes around it.
func unquoted(word string) string {
	word = strings.TrimSpace(word)
	for _, quote := range []string{`"`, `'`} {
		if inner, ok := strings.CutPrefix(word, quote); ok && strings.HasSuffix(inner, quote) {
			return strings.TrimSuffix(inner, quote)
		}
	}
	return word
}
