package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// asymmetric are the algorithms by which an issuer may sign. Those with a shared secret are none: whoever has the public key could
// sign with it.
var asymmetric = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// maxGroups bounds the groups of a token: the roles of each are looked up with each request. Entra sends 200 at most.
const maxGroups = 200

// Issuer is an OIDC issuer whose tokens are taken.
type Issuer struct {
	// URL is the issuer's, exactly as it says itself; https.
	URL string
	// Audiences are what its tokens for this server are for: at least one.
	Audiences []string
	// ObjectIDClaim is the claim that role assignments name people by; empty is "sub". It must be one that people cannot choose.
	ObjectIDClaim string
	// NameClaim is for people; empty is "preferred_username", then "name".
	NameClaim string
	// GroupsClaim has the ids of groups; empty is "groups".
	GroupsClaim string
	// Prefix is put before object ids and groups, so that two issuers cannot mean each other's. One issuer may have none.
	Prefix string
	// Algorithms are those taken; empty is all that sign with a private key.
	Algorithms []string
}

// trustedIssuer verifies the tokens of one issuer.
type trustedIssuer struct {
	config Issuer
	tenant string
	keys   *issuerKeys
	algs   []string
	now    func() time.Time
}

// newTrusted checks the configuration of the issuers. Nothing is asked of them yet: one that is away must not keep the server from
// starting.
func newTrusted(c Config) (map[string]*trustedIssuer, error) {
	client := c.Client
	if client == nil {
		client = &http.Client{Timeout: fetchTime}
	}
	trusted := map[string]*trustedIssuer{}
	prefixes := map[string]bool{}
	for _, i := range c.Issuers {
		if u, err := url.Parse(i.URL); err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("the OIDC issuer %q is not an https URL", i.URL)
		}
		if len(i.Audiences) == 0 || slices.Contains(i.Audiences, "") {
			return nil, fmt.Errorf("the OIDC issuer %s needs an audience: without one, a token for anybody else would be taken", i.URL)
		}
		if trusted[i.URL] != nil || prefixes[i.Prefix] {
			return nil, fmt.Errorf("the OIDC issuer %s has the URL or the prefix %q of another: its people could not be told from the other's", i.URL, i.Prefix)
		}
		prefixes[i.Prefix] = true
		algs, err := algorithms(i)
		if err != nil {
			return nil, err
		}
		i.ObjectIDClaim, i.GroupsClaim = or(i.ObjectIDClaim, "sub"), or(i.GroupsClaim, "groups")
		trusted[i.URL] = &trustedIssuer{
			config: i, tenant: c.Tenant, algs: algs, now: c.NowFunc, keys: newIssuerKeys(i.URL, client, c),
		}
	}
	return trusted, nil
}

func algorithms(i Issuer) ([]string, error) {
	var all []string
	for _, a := range asymmetric {
		all = append(all, string(a))
	}
	for _, a := range i.Algorithms {
		if !slices.Contains(all, a) {
			return nil, fmt.Errorf("the OIDC issuer %s cannot sign by %q: take some of %s", i.URL, a, strings.Join(all, ", "))
		}
	}
	if len(i.Algorithms) > 0 {
		return i.Algorithms, nil
	}
	return all, nil
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// verify says whose a token of the issuer is.
func (t *trustedIssuer) verify(ctx context.Context, token string) (catalogue.Principal, error) {
	// The verifier tells why a signature did not hold in words only, so what fetches the keys keeps its own error.
	fetch := &keyCall{keys: t.keys}
	verifier := oidc.NewVerifier(t.config.URL, fetch, &oidc.Config{SupportedSigningAlgs: t.algs, SkipClientIDCheck: true, SkipExpiryCheck: true})
	verified, err := verifier.Verify(ctx, token)
	if fetch.err != nil {
		return catalogue.Principal{}, fetch.err
	}
	if err != nil {
		return catalogue.Principal{}, invalid("it is not signed by its issuer, or not by an algorithm that is taken")
	}
	var standard jwt.Claims
	var claims map[string]any
	if err := errors.Join(verified.Claims(&standard), verified.Claims(&claims)); err != nil {
		return catalogue.Principal{}, invalid("its claims cannot be read")
	}
	if err := checkClaims(standard, t.config.URL, t.config.Audiences, t.now()); err != nil {
		return catalogue.Principal{}, err
	}
	return t.principal(claims)
}

// principal reads who it is from claims that hold.
func (t *trustedIssuer) principal(claims map[string]any) (catalogue.Principal, error) {
	id, _ := claims[t.config.ObjectIDClaim].(string)
	if id == "" {
		return catalogue.Principal{}, invalid("it has no claim %s, by which people are known here", t.config.ObjectIDClaim)
	}
	said, isSaid := claims["email_verified"]
	if verified, _ := said.(bool); t.config.ObjectIDClaim == "email" && isSaid && !verified {
		return catalogue.Principal{}, invalid("its issuer has not verified the address %s", clipped(id))
	}
	groups, err := t.groups(claims)
	if err != nil {
		return catalogue.Principal{}, err
	}
	p := catalogue.Principal{ObjectID: t.config.Prefix + id, Tenant: t.tenant, Groups: groups}
	for _, g := range append([]string{p.ObjectID}, groups...) {
		if !access.Nameable(g) {
			return catalogue.Principal{}, invalid("it names somebody by what no role assignment can name: at most 255 printable characters, and no space at either end")
		}
		if catalogue.Minted(g) {
			return catalogue.Principal{}, invalid("it names an id that only this server gives: %s", g)
		}
	}
	for _, name := range []string{t.config.NameClaim, "preferred_username", "name", t.config.ObjectIDClaim} {
		if text, _ := claims[name].(string); p.Name == "" && name != "" {
			p.Name = text
		}
	}
	for _, name := range []string{"appid", "azp", "client_id"} {
		if text, _ := claims[name].(string); p.AppID == "" {
			p.AppID = text
		}
	}
	return p, nil
}

func (t *trustedIssuer) groups(claims map[string]any) ([]string, error) {
	elsewhere, _ := claims["_claim_names"].(map[string]any)
	if _, left := elsewhere[t.config.GroupsClaim]; left {
		return nil, invalid("its issuer has left out the groups, for there are too many: let it send only those that are assigned to the application")
	}
	var listed []any
	switch g := claims[t.config.GroupsClaim].(type) {
	case nil:
	case string:
		listed = []any{g}
	case []any:
		listed = g
	default:
		return nil, invalid("its claim %s is not a list of groups", t.config.GroupsClaim)
	}
	if len(listed) > maxGroups {
		return nil, invalid("it names %d groups, and at most %d are taken: let the issuer send only those that are assigned to the application", len(listed), maxGroups)
	}
	var groups []string
	for _, one := range listed {
		text, ok := one.(string)
		if !ok || text == "" {
			return nil, invalid("its claim %s is not a list of groups", t.config.GroupsClaim)
		}
		groups = append(groups, t.config.Prefix+text)
	}
	return groups, nil
}

// away says that an issuer does not answer.
func away(issuer string) *coffer.Error {
	err := coffer.Errorf(coffer.CodeIssuerUnavailable, "the OIDC issuer %s does not answer, so its tokens cannot be verified now", issuer).
		WithHint("try again in a little; the server's log says what went wrong")
	err.Transient = true
	return err
}
