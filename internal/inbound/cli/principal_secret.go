package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
)

// secretFlags are what is said of a new client secret.
type secretFlags struct {
	days              int
	name, credentials string
}

func (f *secretFlags) bind(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.days, "lifetime-in-days", 0, "how long the secret is good for: 1 to 730 (default 365)")
	cmd.Flags().StringVar(&f.name, "secret-name", "", "what people call the secret")
	cmd.Flags().StringVar(&f.credentials, "credentials-file", "", "write what coffer login --credentials takes to this file, rather than print the secret")
}

// issuedView is a new secret as it is printed.
type issuedView struct {
	DisplayName  string    `json:"displayName"`
	ClientID     string    `json:"clientId"`
	ObjectID     string    `json:"objectId"`
	TenantID     string    `json:"tenantId"`
	ClientSecret string    `json:"clientSecret,omitempty"`
	KeyID        string    `json:"keyId"`
	Expires      time.Time `json:"endDateTime,omitzero"`
}

// issueSecret makes a client secret, and prints it or writes it to a file.
func (p *program) issueSecret(ctx context.Context, s session, to principalView, f secretFlags, only bool) error {
	body, err := json.Marshal(map[string]any{"displayName": f.name, "lifetimeInDays": f.days, "only": only})
	if err != nil {
		return err
	}
	reply, err := s.Do(ctx, Call{Method: http.MethodPost, Path: string(to.ID) + "/secrets", Body: body})
	if err != nil {
		return fmt.Errorf("make a secret for service principal %s (`coffer service-principal reset-secret --id %s` tries again): %w", to.Properties.DisplayName, to.Name, err)
	}
	issued, err := decodeAs[struct {
		secretView
		Text string `json:"secretText"`
	}](reply.Body)
	if err != nil {
		return err
	}
	if err := p.keepOwnSecret(s.profile, to, issued.Text, only); err != nil {
		// It is to be had now only.
		_, _ = fmt.Fprintf(p.Err, "coffer: the new secret could not be stored: %v\n", err)
	}
	view := issuedView{
		DisplayName: to.Properties.DisplayName, ClientID: to.Name, ObjectID: to.Properties.ObjectID, TenantID: s.profile.TenantID,
		ClientSecret: issued.Text, KeyID: issued.KeyID, Expires: issued.End,
	}
	if f.credentials != "" {
		if err := writeCredentials(f.credentials, s.profile, view); err != nil {
			_, _ = fmt.Fprintf(p.Err, "coffer: --credentials-file: %v; the secret is printed instead\n", err)
		} else {
			view.ClientSecret = ""
		}
	}
	err = p.render(view, func() error {
		secret := view.ClientSecret
		if secret == "" {
			secret = "in " + f.credentials
		}
		fields := []field{
			{"Name", printable(view.DisplayName)}, {"Client", view.ClientID}, {"Object", view.ObjectID}, {"Tenant", view.TenantID},
			{"Secret", secret}, {"Secret's id", view.KeyID},
		}
		if !view.Expires.IsZero() {
			fields = append(fields, field{"Expires", view.Expires.UTC().Format(time.RFC3339)})
		}
		return p.describe(fields)
	})
	if err != nil && view.ClientSecret != "" {
		// It is to be had now only, whatever is wrong with the output.
		_, _ = fmt.Fprintf(p.Err, "coffer: the new secret of client %s is %s\n", view.ClientID, view.ClientSecret)
	}
	return err
}

// keepOwnSecret keeps somebody logged in who has ended the secret that the profile logs in by.
func (p *program) keepOwnSecret(own profile.Profile, to principalView, secret string, only bool) error {
	if !only || !strings.EqualFold(own.ClientID, to.Name) {
		return nil
	}
	if own.ClientSecret == "" {
		_, _ = fmt.Fprintf(p.Err, "The token of profile %s has ended with the secret that it was got with: log in again.\n", own.Name)
		return nil
	}
	own.ClientSecret = secret
	if err := p.Profiles.Save(own); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(p.Err, "Profile %s has the new secret.\n", own.Name)
	return nil
}

// writeCredentials writes what `coffer login --credentials` takes.
func writeCredentials(file string, own profile.Profile, view issuedView) error {
	text, err := json.MarshalIndent(credentialFile{ //nolint:gosec // It is a file of secrets, for its owner only.
		URL: own.URL, CA: own.CA, TenantID: own.TenantID, SubscriptionID: own.SubscriptionID, ClientID: view.ClientID, ClientSecret: view.ClientSecret,
	}, "", "  ")
	if err != nil {
		return err
	}
	return profile.WritePrivate(file, append(text, '\n'))
}

func (p *program) newSecretReset() *cobra.Command {
	var id string
	var keep bool
	var f secretFlags
	cmd := &cobra.Command{
		Use: "reset-secret", Short: "Make a new secret for a service principal, and end those that it has", Args: noArgs,
		Long: `Make a new secret for a service principal, and end those that it has, with all tokens that were got with them; --append keeps them.
If it is what the profile logs in by, the profile gets the new secret.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, found, err := p.chosenPrincipal(cmd.Context(), id)
			if err != nil {
				return err
			}
			return p.issueSecret(cmd.Context(), s, found, f, !keep)
		},
	}
	bindPrincipal(p, cmd, &id)
	cmd.Flags().BoolVar(&keep, "append", false, "keep the secrets that there are")
	f.bind(cmd)
	return cmd
}

func (p *program) newSecretDelete() *cobra.Command {
	var id, key string
	var yes bool
	cmd := &cobra.Command{
		Use: "delete-secret", Short: "End a secret of a service principal, with all tokens that were got with it", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if key == "" {
				return usageError{errors.New("name the secret with --key-id; `coffer service-principal show` has the ids of secrets")}
			}
			if err := checkSegment("key-id", key); err != nil {
				return err
			}
			s, found, err := p.chosenPrincipal(cmd.Context(), id)
			if err != nil {
				return err
			}
			return p.remove(cmd.Context(), s, noun{name: "secret"}, string(found.ID)+"/secrets/"+key, yes, false)
		},
	}
	bindPrincipal(p, cmd, &id)
	cmd.Flags().StringVar(&key, "key-id", "", "id of the secret")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
