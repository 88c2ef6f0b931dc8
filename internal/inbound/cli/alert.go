package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

const alertCollection = "alerts"

func (p *program) newAlert() *cobra.Command {
	return p.onServer(group("alert", "List, show, acknowledge and close the alerts of a Backup vault: jobs that failed, backups and deletions that did not go as the policy says",
		p.newAlertList(), p.newAlertShow(),
		p.newAlertChange("acknowledge", "Say that somebody looks after an alert: it stays open, and counts what happens again"),
		p.newAlertChange("close", "End an alert: what happens again has another one")))
}

func alertNoun() noun {
	return noun{
		name: "alert", fields: alertFields,
		heading: []string{"ALERT", "SEVERITY", "STATE", "KIND", "ABOUT", "TIMES", "LAST", "WHAT HAPPENED"}, row: alertRow,
	}
}

// alertView is an alert as the server shows it.
type alertView struct {
	ID         catalogue.ID `json:"id"`
	Name       string       `json:"name"`
	Properties arm.Alert    `json:"properties"`
}

func alertFields(text json.RawMessage) ([]field, error) {
	v, err := decodeAs[alertView](text)
	a := v.Properties
	return []field{
		{"Alert", v.Name},
		{"Kind", a.Kind},
		{"Severity", string(a.Severity)},
		{"State", string(a.State)},
		{"About", catalogue.ID(a.TargetID).Name()},
		{"What happened", oneLine(a.Message)},
		{"What to do", oneLine(a.RecommendedAction)},
		{"Times", strconv.Itoa(a.Count)},
		{"First", timeText(a.FirstOccurred)},
		{"Last", timeText(a.LastOccurred)},
		{"Closed", timeText(a.ClosedTime)},
		{"Closed by", oneLine(a.ClosedBy)},
		{"Why closed", oneLine(a.ClosedReason)},
		{"About ID", a.TargetID},
		{"ID", string(v.ID)},
	}, err
}

func alertRow(text json.RawMessage) ([]string, error) {
	v, err := decodeAs[alertView](text)
	a := v.Properties
	return []string{
		v.Name, string(a.Severity), string(a.State), a.Kind, catalogue.ID(a.TargetID).Name(), strconv.Itoa(a.Count), timeText(a.LastOccurred), oneLine(a.Message),
	}, err
}

// alertFlags name an alert: by --alert-id, or as the argument.
type alertFlags struct {
	scopeFlags
	name string
}

func (f *alertFlags) bind(p *program, cmd *cobra.Command) {
	f.bindVault(p, cmd)
	cmd.Flags().StringVar(&f.name, "alert-id", "", "alert, by its name or id; it may also be given without the flag")
	cmd.ValidArgsFunction = p.completeAlerts
	mustComplete(cmd, "alert-id", p.completeAlerts)
	cmd.Args = func(cmd *cobra.Command, args []string) error { return named(cmd, args, "alert", "alert-id", &f.name) }
}

func (p *program) completeAlerts(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeBelowVault(cmd, ownProvider+alertCollection+"?open=true")
}

// alertID is the id of the alert that is meant.
func (s session) alertID(ctx context.Context, f alertFlags) (string, error) {
	return s.childID(ctx, f.scopeFlags, "alert-id", ownProvider+alertCollection, f.name)
}

// atAlert is the server, and the id of the alert that is meant there.
func (p *program) atAlert(ctx context.Context, at alertFlags) (session, string, error) {
	return atServer(ctx, p, session.alertID, at)
}

func (p *program) newAlertList() *cobra.Command {
	var at instanceFlags
	var state string
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the open alerts of a Backup vault, what happened last first", Aliases: []string{"ls"}, Args: noArgs,
		Example: `  coffer alert list -g shop -v shop-vault
  coffer alert list -g shop -v shop-vault -n shop --all`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, vault, err := p.atVault(cmd.Context(), at.scopeFlags)
			if err != nil {
				return err
			}
			query, n := url.Values{}, alertNoun().such(state != "" || at.name != "")
			switch {
			case state != "":
				query.Set("state", state)
			case !all:
				query.Set("open", "true")
				n.adjective = cmp.Or(n.adjective, "open")
			}
			if at.name != "" {
				id, err := s.instanceID(cmd.Context(), at)
				if err != nil {
					return err
				}
				query.Set("target", id)
			}
			path := vault + ownProvider + alertCollection
			if len(query) > 0 {
				path += "?" + query.Encode()
			}
			return p.list(cmd.Context(), s, n, path)
		},
	}
	at.bindVault(p, cmd)
	at.bindOnly(p, cmd, "only alerts about this backup instance")
	cmd.Flags().StringVar(&state, "state", "", "only alerts in this state: Fired, Acknowledged, Closed")
	cmd.Flags().BoolVar(&all, "all", false, "closed alerts as well")
	mustComplete(cmd, "state", cobra.FixedCompletions([]string{"Fired", "Acknowledged", "Closed"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (p *program) newAlertShow() *cobra.Command {
	var at alertFlags
	cmd := &cobra.Command{
		Use: "show ALERT", Short: "Show an alert, with what to do",
		Example: "  coffer alert show -g shop -v shop-vault 0b0f7f5e-1b35-4d5c-9d0a-6f5f5c1d9a70",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atAlert(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.get(cmd.Context(), s, alertNoun(), id)
		},
	}
	at.bind(p, cmd)
	return cmd
}

// newAlertChange is a command that brings an alert into another state.
func (p *program) newAlertChange(verb, short string) *cobra.Command {
	var at alertFlags
	cmd := &cobra.Command{
		Use: verb + " ALERT", Short: short,
		Example: "  coffer alert " + verb + " -g shop -v shop-vault 0b0f7f5e-1b35-4d5c-9d0a-6f5f5c1d9a70",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atAlert(cmd.Context(), at)
			if err != nil {
				return err
			}
			reply, err := s.Do(cmd.Context(), Call{Method: http.MethodPost, Path: id + "/" + verb})
			if err != nil {
				return fmt.Errorf("%s alert %s: %w", verb, catalogue.ID(id).Name(), err)
			}
			return p.showOne(alertNoun(), reply.Body)
		},
	}
	at.bind(p, cmd)
	return cmd
}
