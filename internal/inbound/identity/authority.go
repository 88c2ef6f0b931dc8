package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/credential"
)

const (
	// lifetime is how long a token is good for.
	lifetime = time.Hour
	// skew is how far clocks may be apart, of this server, its replicas and the issuers that it trusts: as much as Azure allows.
	skew = 5 * time.Minute
	// maxToken bounds the length of a bearer. Those of Entra with 200 groups have about 9,000 characters.
	maxToken = 16 << 10
)

// noOwner stands for the service principal of a client id that there is none of.
const noOwner catalogue.ID = "/providers/Coffer.Backup/servicePrincipals/nobody"

// Config is what an Authority needs. All of it is needed but Issuers and Client.
type Config struct {
	Database catalogue.Database
	Sealer   catalogue.Sealer
	// Tenant is the GUID of the tenant.
	Tenant string
	// PublicURL is what clients call the server by, such as https://vault.example.org:8443: tokens are issued in its name.
	PublicURL string
	// Audiences are what clients call this server's API in the tokens that they ask for, beside the address under which they reached
	// it. The first one is the audience of all tokens for it.
	Audiences []string
	// Issuers are trusted besides.
	Issuers []Issuer
	// Client fetches the issuers' keys; nil is one with a time limit.
	Client  *http.Client
	NowFunc func() time.Time
	Random  io.Reader
	Logger  *slog.Logger
}

// Authority issues and verifies tokens. It may be used concurrently.
type Authority struct {
	config    Config
	issuer    string
	audiences []string
	keys      *keyRing
	trusted   map[string]*trustedIssuer
	// nobody is a sealed hash that nothing holds against, for clients that there are none of.
	nobody []byte
	// remotes limits requests for tokens of each address, and failures those that fail of each client.
	remotes, failures *limiter
}

// New makes an Authority, and its first signing key if there is none.
func New(ctx context.Context, c Config) (*Authority, error) {
	if c.Database == nil || c.Sealer == nil || c.NowFunc == nil || c.Random == nil || c.Logger == nil || len(c.Audiences) == 0 {
		return nil, errors.New("a database, a sealer, a clock, randomness, a logger and an audience are needed")
	}
	if !catalogue.GUID(c.Tenant) {
		return nil, fmt.Errorf("the tenant %q is not a GUID", c.Tenant)
	}
	if u, err := url.Parse(c.PublicURL); err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("the public URL %q is not of the form https://HOST[:PORT]", c.PublicURL)
	}
	a := &Authority{
		config: c, issuer: strings.TrimRight(c.PublicURL, "/") + "/" + c.Tenant + "/v2.0",
		remotes: newLimiter(remoteLimit), failures: newLimiter(failureLimit),
	}
	for _, audience := range c.Audiences {
		a.audiences = append(a.audiences, bare(audience))
	}
	var err error
	if a.trusted, err = newTrusted(c); err != nil {
		return nil, err
	}
	if _, own := a.trusted[a.issuer]; own {
		return nil, fmt.Errorf("%s is this server: it cannot be an OIDC issuer besides", a.issuer)
	}
	if a.nobody, err = c.Sealer.Seal(ctx, credential.SealPurpose(noOwner), make([]byte, 32)); err != nil {
		return nil, fmt.Errorf("seal a value: %w", err)
	}
	a.keys = &keyRing{database: c.Database, sealer: c.Sealer, now: c.NowFunc, owner: catalogue.ID("/providers/Coffer.Backup/tokenIssuers/" + c.Tenant)}
	if _, err := a.keys.signing(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// bare is the name of an API as audiences are compared: without the suffix that makes a scope of it, and without slashes at its end.
func bare(audience string) string {
	return strings.TrimRight(strings.TrimSuffix(audience, "/.default"), "/")
}
