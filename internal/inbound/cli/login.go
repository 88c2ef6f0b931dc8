package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
)

// defaultProfile is what the first login is called.
const defaultProfile = "default"

// credentialFile is what a server writes for its administrator, and `coffer service-principal` for others.
type credentialFile struct {
	URL string `json:"url"`
	// CAFile is a path, and CA the same as text.
	CAFile         string `json:"caFile,omitempty"`
	CA             string `json:"ca,omitempty"`
	TenantID       string `json:"tenantId"`
	SubscriptionID string `json:"subscriptionId,omitempty"`
	ClientID       string `json:"clientId"`
	ClientSecret   string `json:"clientSecret"`
}

// loginFlags are what a login is told.
type loginFlags struct {
	url, caFile, tenant, clientID, secretFile, credentials string
	noStore                                                bool
}

func (p *program) newLogin() *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use: "login", Short: "Log in to a server of Backup vaults, and remember it as a profile",
		Long: `Log in to a server of Backup vaults with the client id and the secret of a service principal, and remember it as a profile, which
becomes the current one. The secret is asked for, or read from a file or what is piped in: there is no flag for it, for anybody on this
machine could read it there. It is kept in a file that only you can read, in COFFER_CONFIG_DIR, or coffer in your folder of
configurations; with --no-store-secret only a token is kept, which is good for an hour.`,
		Example: `  coffer login --credentials /var/lib/coffer/admin.json
  coffer login --profile prod --url https://vaults.example.com --client-id 0b5b… --client-secret-file secret
  coffer login                      # again, to the same server`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wanted, err := p.loginProfile(f)
			if err != nil {
				return err
			}
			return p.login(cmd.Context(), wanted, f.noStore)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.url, "url", "", "https://HOST:PORT of the server")
	flags.StringVar(&f.caFile, "ca-file", "", "PEM file with the only authorities that the server's certificate may be of (default this machine's)")
	flags.StringVar(&f.tenant, "tenant", "", "tenant of the server (default the one that it says)")
	flags.StringVar(&f.clientID, "client-id", "", "client id of the service principal")
	flags.StringVar(&f.secretFile, "client-secret-file", "", "file with its secret, or - for what is piped in (default it is asked for)")
	flags.StringVar(&f.credentials, "credentials", "", "file that says all of that, such as the server's admin.json")
	flags.BoolVar(&f.noStore, "no-store-secret", false, "keep a token only")
	return p.onServer(cmd)
}

// loginProfile is the profile that a login would make: what the flags say, then the file of credentials, then the profile as it was.
func (p *program) loginProfile(f loginFlags) (profile.Profile, error) {
	name, err := p.profileName()
	if err != nil {
		return profile.Profile{}, err
	}
	name = cmp.Or(name, defaultProfile)
	was, err := p.Profiles.Load(name)
	if err != nil && !errors.Is(err, profile.ErrNone) {
		return was, err
	}
	given, err := p.readCredentials(f.credentials)
	if err != nil {
		return was, err
	}
	wanted := was
	wanted.Name, wanted.URL = name, strings.TrimSuffix(cmp.Or(f.url, given.URL, was.URL), "/")
	switch {
	case wanted.URL == "":
		return was, usageError{errors.New("say where the server is with --url https://HOST:PORT, or with --credentials")}
	case was.URL != "" && wanted.URL != was.URL:
		return was, fmt.Errorf("profile %s is of the server %s; name another profile with --profile, or delete this one with `coffer profile delete %s`", name, was.URL, name)
	}
	wanted.TenantID = cmp.Or(f.tenant, given.TenantID, was.TenantID)
	wanted.ClientID = cmp.Or(f.clientID, given.ClientID, was.ClientID)
	wanted.SubscriptionID = cmp.Or(p.flags.subscription, was.SubscriptionID, given.SubscriptionID)
	if wanted.ClientID == "" {
		return was, usageError{errors.New("say who you are with --client-id, or with --credentials")}
	}
	if wanted.CA, err = chosenAuthority(f, given, was); err != nil {
		return was, err
	}
	wanted.Logout()
	if wanted.ClientSecret = given.ClientSecret; wanted.ClientSecret == "" || f.secretFile != "" || wanted.ClientID != given.ClientID {
		wanted.ClientSecret, err = p.readSecret(f.secretFile)
	}
	return wanted, err
}

// readCredentials reads a file of credentials; without one it is empty.
func (p *program) readCredentials(file string) (c credentialFile, err error) {
	if file == "" {
		return c, nil
	}
	text, err := p.readBytes("--credentials", file)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("--credentials %s is not what a server writes: %w", file, err)
	}
	return c, nil
}

// chosenAuthority is the PEM of the authorities that the server's certificate may be of; empty is the machine's own.
func chosenAuthority(f loginFlags, given credentialFile, was profile.Profile) (string, error) {
	file, flag := f.caFile, "--ca-file"
	if file == "" && given.CA == "" && given.CAFile != "" {
		file, flag = given.CAFile, "--credentials: the certificate authority that it names, which --ca-file can name elsewhere"
	}
	if file == "" {
		return cmp.Or(given.CA, was.CA), nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // The person names it.
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	return string(text), nil
}

// maxSecret bounds a client secret.
const maxSecret = 4096

// readSecret reads a client secret from a file, what is piped in, or a person.
func (p *program) readSecret(file string) (string, error) {
	var text string
	switch {
	case file != "" && file != "-":
		read, err := p.readBytes("--client-secret-file", file)
		if err != nil {
			return "", err
		}
		text = string(read)
	case p.Terminal && file != "-":
		_, _ = fmt.Fprint(p.Err, "Client secret: ")
		read, err := p.ReadSecretFunc()
		_, _ = fmt.Fprintln(p.Err)
		if err != nil {
			return "", fmt.Errorf("read the client secret: %w", err)
		}
		text = read
	default:
		read, err := io.ReadAll(io.LimitReader(p.In, maxSecret+1))
		if err != nil {
			return "", fmt.Errorf("read the client secret: %w", err)
		}
		text = string(read)
	}
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", usageError{errors.New("there is no client secret: give it with --client-secret-file, pipe it in, or have it asked for on a terminal")}
	case len(text) > maxSecret:
		return "", usageError{errors.New("what was given as the client secret is too large to be one")}
	}
	return text, nil
}

// login tries a profile, and keeps it if the server takes it.
func (p *program) login(ctx context.Context, wanted profile.Profile, noStore bool) error {
	server, err := p.ServerFunc(wanted)
	if err != nil {
		return err
	}
	token, err := server.Token(ctx)
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if err := p.explore(ctx, session{Server: server, profile: wanted}, &wanted); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if noStore {
		wanted.ClientSecret, wanted.Token = "", &token
	}
	if err := p.Profiles.Save(wanted); err != nil {
		return fmt.Errorf("keep the profile: %w", err)
	}
	if err := p.Profiles.Use(wanted.Name); err != nil {
		return fmt.Errorf("keep the profile: %w", err)
	}
	return p.showProfile(wanted, true)
}

// explore asks the server what the profile does not say: the tenant, and the subscription.
func (p *program) explore(ctx context.Context, s session, found *profile.Profile) error {
	reply, err := s.Do(ctx, Call{Method: http.MethodGet, Path: "/tenants"})
	if err != nil {
		return err
	}
	tenants, err := decodeAs[struct {
		Value []struct {
			ID string `json:"tenantId"`
		} `json:"value"`
	}](reply.Body)
	if err != nil {
		return err
	}
	if len(tenants.Value) == 1 {
		found.TenantID = tenants.Value[0].ID
	}
	if found.SubscriptionID != "" {
		return nil
	}
	all, err := s.List(ctx, "/subscriptions")
	if err != nil || len(all) == 0 {
		return err
	}
	first, err := decodeAs[subscriptionView](all[0])
	if err != nil {
		return err
	}
	found.SubscriptionID = first.SubscriptionID
	if len(all) > 1 {
		_, _ = fmt.Fprintf(p.Err, "There are %d subscriptions; %s is taken. `coffer profile set --subscription` takes another.\n", len(all), printable(first.DisplayName))
	}
	return nil
}

func (p *program) newLogout() *cobra.Command {
	cmd := &cobra.Command{
		Use: "logout", Short: "Forget the secret and the token of a profile", Args: noArgs,
		Long: "Forget the secret and the token of a profile; which server it is of, and as whom, stays for the next `coffer login`.\nWhat the secret opens at the server stays open: see `coffer service-principal delete-secret`.",
		RunE: func(*cobra.Command, []string) error {
			chosen, err := p.chosenProfile()
			if err != nil {
				return err
			}
			if !chosen.LoggedIn() {
				_, err := fmt.Fprintf(p.Err, "Profile %s is logged out already.\n", chosen.Name)
				return err
			}
			chosen.Logout()
			if err := p.Profiles.Save(chosen); err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.Err, "Profile %s is logged out.\n", chosen.Name)
			return err
		},
	}
	return p.onServer(cmd)
}
