package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/decide/credential"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// administratorFile is the credential of the first administrator, in the data folder.
const administratorFile = "admin.json"

// authorityFile is the certificate of the server's own authority, in the data folder.
const authorityFile = "ca.pem"

// credentialFile is what `coffer login --credentials` reads.
type credentialFile struct {
	URL string `json:"url,omitempty"`
	// CAFile is a path, and CA the same as text.
	CAFile         string `json:"caFile,omitempty"`
	CA             string `json:"ca,omitempty"`
	TenantID       string `json:"tenantId,omitempty"`
	SubscriptionID string `json:"subscriptionId,omitempty"`
	ClientID       string `json:"clientId"`
	ClientSecret   string `json:"clientSecret"`
}

func (c credentialFile) offer() vault.ClientCredential {
	return vault.ClientCredential{ClientID: c.ClientID, Secret: credential.Text(c.ClientSecret)}
}

func (c credentialFile) encode() ([]byte, error) {
	text, err := json.MarshalIndent(c, "", "  ") //nolint:gosec // It is a file of secrets, for its owner only.
	return append(text, '\n'), err
}

// ensureAdministrator makes the first administrator if there was none ever. The credential is in a file before it is valid, so that
// none is lost wherever the process dies; the next start offers what the file has.
func (s *service) ensureAdministrator(ctx context.Context, o options, access *vault.Access) error {
	if o.adminCredential != "" {
		return s.ensurePreparedAdministrator(ctx, o, access)
	}
	offered, err := readCredential(filepath.Join(o.dataDir, administratorFile), os.ReadFile)
	had := err == nil
	if errors.Is(err, os.ErrNotExist) {
		// There may be an administrator, whose file was put away: then none is made that would have to be thrown away again.
		made, failed := access.Administered(ctx)
		if failed != nil || made {
			return failed
		}
		var fresh vault.ClientCredential
		fresh, err = vault.NewCredential(rand.Reader)
		offered.ClientID, offered.ClientSecret = fresh.ClientID, string(fresh.Secret)
	}
	if err != nil {
		return err
	}
	if err := s.keepCredential(o, offered); err != nil {
		return err
	}
	admin, err := access.EnsureAdministrator(ctx, offered.offer())
	if err != nil {
		return fmt.Errorf("make the first administrator: %w", err)
	}
	name := filepath.Join(o.dataDir, administratorFile)
	switch {
	case admin.ClientID != offered.ClientID && !had:
		// Another replica has made it just now: this credential is good for nothing.
		return os.Remove(name)
	case !admin.Valid:
		// It may be a file that somebody else keeps there.
		s.log.Warn("the file is not, or no longer, the credential of the first administrator; it may be put away", "file", name, "administrator", admin.ClientID)
	}
	return nil
}

// ensurePreparedAdministrator makes the first administrator of a credential that was prepared before the first start: replicas that
// may die, with their data folders, before anybody has read what is there. The file may be put away once there is an administrator.
// None is ever made of another credential.
func (s *service) ensurePreparedAdministrator(ctx context.Context, o options, access *vault.Access) error {
	offered, err := readCredential(o.adminCredential, readSecretFile)
	if errors.Is(err, os.ErrNotExist) {
		made, failed := access.Administered(ctx)
		if failed != nil || made {
			return failed
		}
		return fmt.Errorf("--admin-credential %s is not there, and there is no administrator yet: make the file with `coffer-server new-credential`", o.adminCredential)
	}
	if err != nil {
		return fmt.Errorf("--admin-credential: %w", err)
	}
	admin, err := access.EnsureAdministrator(ctx, offered.offer())
	if err != nil {
		return fmt.Errorf("make the first administrator of --admin-credential %s: %w", o.adminCredential, err)
	}
	if !admin.Valid {
		s.log.Warn("the file of --admin-credential is not, or no longer, the credential of the first administrator; it may be put away",
			"file", o.adminCredential, "administrator", admin.ClientID)
		return nil
	}
	// In the data folder it is complete: with where the server is, and what its certificate is of.
	return s.keepCredential(o, offered)
}

// keepCredential writes what the administrator logs in with into the data folder.
func (s *service) keepCredential(o options, c credentialFile) error {
	c.URL, c.TenantID, c.SubscriptionID, c.CAFile, c.CA = s.url, s.tenant.ID, s.tenant.Subscription, "", ""
	if o.tlsCert == "" {
		var err error
		if c.CAFile, err = filepath.Abs(filepath.Join(o.dataDir, authorityFile)); err != nil {
			return err
		}
	}
	text, err := c.encode()
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(o.dataDir, administratorFile), text, 0o600)
}

// readCredential reads the credential of a file.
func readCredential(name string, readFile func(string) ([]byte, error)) (c credentialFile, err error) {
	text, err := readFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return c, err
	}
	if err == nil && json.Unmarshal(bytes.TrimSpace(text), &c) != nil {
		// What is wrong with it could tell what it says.
		err = errors.New("it is not the JSON that coffer-server writes")
	}
	if err == nil && (c.ClientID == "" || c.ClientSecret == "") {
		err = errors.New("it has no clientId or no clientSecret")
	}
	if err != nil {
		return credentialFile{}, fmt.Errorf("read %s: %w; put it away to start without it", name, err)
	}
	return c, nil
}

func newAdminCredentialCommand() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use:   "admin-credential --data-dir DIR",
		Short: "Print the first administrator's credential, with all that `coffer login --credentials` needs on another machine",
		Long: `Print the credential of the first administrator that a server keeps in its data folder, with the certificate authority of the
server in it, so that it can be used on another machine. It is for containers, which have no other program:

  kubectl exec deployment/coffer-server -- coffer-server admin-credential --data-dir /var/lib/coffer > admin.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return printCredential(cmd.OutOrStdout(), dataDir) },
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "folder that the server keeps its files in")
	return cmd
}

func printCredential(out io.Writer, dataDir string) error {
	if dataDir == "" {
		return errors.New("--data-dir is not given: name the folder that the server keeps its files in")
	}
	name := filepath.Join(dataDir, administratorFile)
	c, err := readCredential(name, os.ReadFile)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is not there: the server has not started, its credential was put away, or another replica has made the administrator", name)
	}
	if err != nil {
		return err
	}
	if c.CAFile != "" {
		authority, err := os.ReadFile(c.CAFile)
		if err != nil {
			return fmt.Errorf("the certificate authority of %s: %w", name, err)
		}
		c.CA, c.CAFile = string(authority), ""
	}
	text, err := c.encode()
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

func newNewCredentialCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "new-credential",
		Short: "Print a new credential for --admin-credential",
		Long: `Print a new credential that the first administrator is to have, for --admin-credential. Where several replicas are to share a
database, each with a data folder that goes with it, make one before the first start and give it to all of them:

  umask 077
  coffer-server new-credential > credential.json
  kubectl create secret generic coffer-administrator --from-file=credential.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fresh, err := vault.NewCredential(rand.Reader)
			if err != nil {
				return err
			}
			text, err := credentialFile{ClientID: fresh.ClientID, ClientSecret: string(fresh.Secret)}.encode()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
