package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
)

func (p *program) newProfile() *cobra.Command {
	return p.onServer(group("profile", "List, show, choose, set and delete logins to servers",
		p.newProfileList(), p.newProfileShow(), p.newProfileUse(), p.newProfileSet(), p.newProfileDelete()))
}

// profileView is a profile as it is printed: without its secret and token.
type profileView struct {
	Name     string `json:"name"`
	Current  bool   `json:"current"`
	URL      string `json:"url"`
	TenantID string `json:"tenantId,omitempty"`
	ClientID string `json:"clientId,omitempty"`
	// Login is what proves who one is.
	Login string `json:"login"`
	// PinnedCA says that the server's certificate may only be of the authority that the login named.
	PinnedCA bool `json:"pinnedCA"`
	profile.Defaults
}

func viewProfile(of profile.Profile, current bool) profileView {
	login := "none: logged out"
	switch {
	case of.ClientSecret != "":
		login = "secret"
	case of.Token != nil:
		login = "token until " + of.Token.Expires.UTC().Format(time.RFC3339)
	}
	return profileView{
		Name: of.Name, Current: current, URL: of.URL, TenantID: of.TenantID, ClientID: of.ClientID, Login: login, PinnedCA: of.CA != "", Defaults: of.Defaults,
	}
}

func (p *program) showProfile(of profile.Profile, current bool) error {
	v := viewProfile(of, current)
	return p.render(v, func() error {
		authority := "this machine's"
		if v.PinnedCA {
			authority = "the one of the login"
		}
		return p.describe([]field{
			{"Profile", v.Name}, {"Current", yesNo(v.Current)}, {"Server", v.URL}, {"Trusted authority", authority}, {"Tenant", v.TenantID},
			{"Client", v.ClientID}, {"Login", v.Login}, {"Subscription", v.SubscriptionID}, {"Resource group", v.ResourceGroup},
			{"Backup vault", v.VaultName}, {"Location", v.Location},
		})
	})
}

func (p *program) newProfileList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List profiles", Aliases: []string{"ls"}, Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			names, err := p.Profiles.Names()
			if err != nil {
				return err
			}
			current, err := p.profileName()
			if err != nil {
				return err
			}
			views, rows := []profileView{}, [][]string{{"CURRENT", "NAME", "SERVER", "CLIENT", "LOGIN"}}
			for _, name := range names {
				found, err := p.Profiles.Load(name)
				v := viewProfile(found, name == current)
				if err != nil {
					v.Login = err.Error()
				}
				mark := ""
				if v.Current {
					mark = "*"
				}
				views, rows = append(views, v), append(rows, []string{mark, v.Name, v.URL, v.ClientID, v.Login})
			}
			return p.render(views, func() error {
				if len(names) == 0 {
					_, err := fmt.Fprintln(p.Err, "There are no profiles. Make one with `coffer login`.")
					return err
				}
				return p.table(rows)
			})
		},
	}
}

// namedProfile takes at most one argument, the name of a profile.
func (p *program) namedProfile(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError{fmt.Errorf("give one name of a profile: %s", cmd.UseLine())}
		}
		if len(args) == 1 && p.flags.profile != "" && args[0] != p.flags.profile {
			return usageError{errors.New("give the name of the profile once")}
		}
		if len(args) == 1 {
			p.flags.profile = args[0]
		}
		return nil
	}
	cmd.ValidArgsFunction = p.completeProfiles
	return cmd
}

// isCurrent says whether a profile is the one that is used if none is named.
func (p *program) isCurrent(name string) bool {
	current, err := p.Profiles.Current()
	return err == nil && current == name
}

func (p *program) newProfileShow() *cobra.Command {
	return p.namedProfile(&cobra.Command{
		Use: "show [NAME]", Short: "Show a profile, without its secret",
		RunE: func(*cobra.Command, []string) error {
			chosen, err := p.chosenProfile()
			if err != nil {
				return err
			}
			return p.showProfile(chosen, p.isCurrent(chosen.Name))
		},
	})
}

func (p *program) newProfileUse() *cobra.Command {
	return p.namedProfile(&cobra.Command{
		Use: "use NAME", Short: "Choose the profile that commands use",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.flags.profile == "" {
				return usageError{fmt.Errorf("give one name of a profile: %s", cmd.UseLine())}
			}
			chosen, err := p.chosenProfile()
			if err == nil {
				err = p.Profiles.Use(chosen.Name)
			}
			if err != nil {
				return err
			}
			return p.showProfile(chosen, true)
		},
	})
}

func (p *program) newProfileSet() *cobra.Command {
	var d profile.Defaults
	cmd := p.namedProfile(&cobra.Command{
		Use: "set [NAME]", Short: "Set what commands take if they are not told otherwise",
		Example: `  coffer profile set --resource-group shop --vault-name shop-vault
  coffer profile set prod --resource-group ""`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chosen, err := p.chosenProfile()
			if err != nil {
				return err
			}
			changed := false
			for flag, to := range map[string]struct {
				value string
				field *string
			}{
				"subscription": {p.flags.subscription, &chosen.SubscriptionID}, "resource-group": {d.ResourceGroup, &chosen.ResourceGroup},
				"vault-name": {d.VaultName, &chosen.VaultName}, "location": {d.Location, &chosen.Location},
			} {
				if cmd.Flags().Changed(flag) {
					*to.field, changed = to.value, true
				}
			}
			if !changed {
				return usageError{fmt.Errorf("say what to set: see `%s --help`", cmd.CommandPath())}
			}
			if err := p.Profiles.Save(chosen); err != nil {
				return err
			}
			return p.showProfile(chosen, p.isCurrent(chosen.Name))
		},
	})
	flags := cmd.Flags()
	flags.StringVarP(&d.ResourceGroup, "resource-group", "g", "", `resource group; "" for none`)
	flags.StringVarP(&d.VaultName, "vault-name", "v", "", `Backup vault; "" for none`)
	flags.StringVarP(&d.Location, "location", "l", "", `region of what is made; "" for none`)
	mustComplete(cmd, "resource-group", p.completeGroups)
	mustComplete(cmd, "vault-name", p.completeVaults)
	return cmd
}

func (p *program) newProfileDelete() *cobra.Command {
	var yes bool
	cmd := p.namedProfile(&cobra.Command{
		Use: "delete NAME", Short: "Delete a profile, with the secret that it keeps",
		RunE: func(cmd *cobra.Command, _ []string) error {
			name := p.flags.profile
			if name == "" {
				return usageError{fmt.Errorf("give one name of a profile: %s", cmd.UseLine())}
			}
			if !yes {
				if err := p.confirm(fmt.Sprintf("Delete profile %s, with the secret that it keeps?", name)); err != nil {
					return err
				}
			}
			if err := p.Profiles.Delete(name); err != nil {
				return err
			}
			_, err := fmt.Fprintf(p.Err, "Profile %s is deleted.\n", name)
			return err
		},
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
