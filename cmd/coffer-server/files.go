package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coffer-backup/coffer/internal/decide/credential"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// administratorFile is the credential of the first administrator, in the data folder.
const administratorFile = "admin.json"

// credentialFile is what `coffer login --credentials` reads.
type credentialFile struct {
	URL            string `json:"url"`
	CAFile         string `json:"caFile,omitempty"`
	TenantID       string `json:"tenantId"`
	SubscriptionID string `json:"subscriptionId"`
	ClientID       string `json:"clientId"`
	ClientSecret   string `json:"clientSecret"`
}

// ensureAdministrator makes the first administrator if there was none ever. The credential is in its file before it is valid, so
// that none is lost wherever the process dies; the next start offers what the file has.
func (s *service) ensureAdministrator(ctx context.Context, o options, access *vault.Access) error {
	name := filepath.Join(o.dataDir, administratorFile)
	offered, had, err := readCredential(name)
	if err != nil {
		return err
	}
	if !had {
		fresh, err := access.NewCredential()
		if err != nil {
			return err
		}
		offered.ClientID, offered.ClientSecret = fresh.ClientID, string(fresh.Secret)
	}
	offered.URL, offered.TenantID, offered.SubscriptionID, offered.CAFile = s.url, s.tenant.ID, s.tenant.Subscription, ""
	if o.tlsCert == "" {
		if offered.CAFile, err = filepath.Abs(filepath.Join(o.dataDir, "ca.pem")); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(offered, "", "  ") //nolint:gosec // It is a file of secrets, for its owner only.
	if err != nil {
		return err
	}
	if err := writeFile(name, append(text, '\n'), 0o600); err != nil {
		return err
	}
	admin, err := access.EnsureAdministrator(ctx, vault.ClientCredential{ClientID: offered.ClientID, Secret: credential.Text(offered.ClientSecret)})
	if err != nil {
		return fmt.Errorf("make the first administrator: %w", err)
	}
	if admin.ClientID != offered.ClientID && !had {
		// Another replica has made it, or it was made long ago and the file was put away: this credential is good for nothing.
		return os.Remove(name)
	}
	return nil
}

// readCredential reads a credential that an earlier start has left.
func readCredential(name string) (c credentialFile, had bool, err error) {
	text, err := os.ReadFile(name) //nolint:gosec // The server's own file.
	if errors.Is(err, os.ErrNotExist) {
		return c, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err == nil && (c.ClientID == "" || c.ClientSecret == "") {
		err = errors.New("it has no clientId or no clientSecret")
	}
	if err != nil {
		return c, false, fmt.Errorf("read %s: %w; put it away to start without it", name, err)
	}
	return c, true, nil
}

// writeFile writes a file as a whole: after a crash it is the old one or the new one.
func writeFile(name string, text []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// certificateFile is a certificate that somebody else renews: it is read again when it has changed.
type certificateFile struct {
	cert, key string

	mu     sync.Mutex // guards all below
	read   time.Time
	loaded *tls.Certificate
}

func (c *certificateFile) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.cert)
	if err == nil && c.loaded != nil && !info.ModTime().After(c.read) {
		return c.loaded, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.cert, c.key)
	}
	switch {
	case err == nil:
		c.loaded, c.read = &pair, info.ModTime()
	case c.loaded == nil:
		return nil, err
	}
	// While it is being replaced, the one before serves.
	return c.loaded, nil
}
