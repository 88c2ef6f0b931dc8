package identity_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/internal/inbound/identity"
)

func TestAServicePrincipalGetsATokenForItsSecret(t *testing.T) {
	w := newWorld(t)
	for name, token := range map[string]string{
		"for the audience": w.mustToken(t),
		"for nothing":      w.mustToken(t, "scope", ""),
		"for a resource":   w.mustToken(t, "scope", "", "resource", audience),
		"for the address":  w.mustToken(t, "scope", public+"//.default openid profile offline_access"),
		"in upper case":    w.mustToken(t, "client_id", strings.ToUpper(w.credential.ClientID)),
	} {
		who, err := w.authority.Authenticate(t.Context(), "bearer "+token)
		if err != nil || who.ObjectID != w.admin.Principal.ObjectID || who.AppID != w.credential.ClientID || who.Name != "administrator" || who.Tenant != tenant {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	// What clients read in a token.
	claims := mustClaims(t, w.mustToken(t))
	for claim, want := range map[string]any{
		"oid": w.admin.Principal.ObjectID, "tid": tenant, "appid": w.credential.ClientID, "aud": audience + "/",
		"iss": public + "/" + tenant + "/v2.0", "exp": float64(w.Clock.Now().Add(time.Hour).Unix()), "nbf": float64(w.Clock.Now().Unix()),
	} {
		if claims[claim] != want {
			t.Errorf("%s is %v, not %v", claim, claims[claim], want)
		}
	}
	if strings.Contains(w.log.String(), string(w.credential.Secret)) || !strings.Contains(w.log.String(), "token issued") {
		t.Errorf("the log says %s", w.log)
	}
}

func mustClaims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestATokenForSomebodyElseOpensNothingHere(t *testing.T) {
	w := newWorld(t)
	token := w.mustToken(t, "scope", "https://graph.microsoft.com/.default")
	if claims := mustClaims(t, token); claims["aud"] != "https://graph.microsoft.com" || claims["oid"] != w.admin.Principal.ObjectID {
		t.Errorf("%+v", claims)
	}
	if _, err := w.authority.Authenticate(t.Context(), "Bearer "+token); coffer.CodeOf(err) != coffer.CodeTokenAudience {
		t.Error(err)
	}
}

func TestCredentialsComeInTheHeaderToo(t *testing.T) {
	w := newWorld(t)
	id, secret := url.QueryEscape(w.credential.ClientID), url.QueryEscape(string(w.credential.Secret))
	basic := func(r *http.Request) { r.SetBasicAuth(id, secret) }
	for name, c := range map[string]struct {
		form   url.Values
		status int
	}{
		"in the header":                      {w.form("client_id", "", "client_secret", ""), 200},
		"in the header, the id in the body":  {w.form("client_secret", ""), 200},
		"in both":                            {w.form(), 400},
		"in the header, another in the body": {w.form("client_secret", "", "client_id", tenant), 400},
	} {
		if got := w.post(tokens, c.form, basic); got.Code != c.status {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
	}
	wrong := w.post(tokens, w.form("client_id", "", "client_secret", ""), func(r *http.Request) { r.SetBasicAuth(id, secret[1:]) })
	if wrong.Code != 401 || !strings.HasPrefix(wrong.Header().Get("WWW-Authenticate"), "Basic") {
		t.Errorf("%d %v", wrong.Code, wrong.Header())
	}
}

func TestRequestsForTokensThatAreRefused(t *testing.T) {
	w := newWorld(t)
	secret := string(w.credential.Secret)
	typed := func(kind string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Content-Type", kind) }
	}
	inURL := func(r *http.Request) { r.URL.RawQuery = w.form().Encode() }
	twice := w.form()
	twice.Add("client_id", w.credential.ClientID)
	const other = "88888888-0000-4000-8000-000000000000"
	for _, c := range []struct {
		name, path string
		form       url.Values
		change     func(*http.Request)
		status     int
		code       string
	}{
		{"a wrong secret", tokens, w.form("client_secret", secret[:len(secret)-4]+"AAAA"), nil, 401, "invalid_client"},
		{"a secret that has not the form of one", tokens, w.form("client_secret", "hunter2"), nil, 401, "invalid_client"},
		{"a client that there is none of", tokens, w.form("client_id", other), nil, 401, "invalid_client"},
		{"a client id that is no GUID", tokens, w.form("client_id", "../settings/firstAdministrator"), nil, 401, "invalid_client"},
		{"no secret", tokens, w.form("client_secret", ""), nil, 400, "invalid_request"},
		{"no client", tokens, w.form("client_id", ""), nil, 400, "invalid_request"},
		{"a password", tokens, w.form("grant_type", "password"), nil, 400, "unsupported_grant_type"},
		{"no grant", tokens, w.form("grant_type", ""), nil, 400, "unsupported_grant_type"},
		{"all of it in the URL", tokens, url.Values{}, inURL, 400, "unsupported_grant_type"},
		{"another tenant", "/" + other + "/oauth2/v2.0/token", w.form(), nil, 400, "invalid_tenant"},
		{"a scope of a megabyte", tokens, w.form("scope", strings.Repeat("a", 1<<20)), nil, 413, "invalid_request"},
		{"a scope of 300 letters", tokens, w.form("scope", strings.Repeat("a", 300)), nil, 400, "invalid_scope"},
		{"JSON", tokens, w.form(), typed("application/json"), 400, "invalid_request"},
		{"no type", tokens, w.form(), typed(""), 400, "invalid_request"},
		{"a parameter twice", tokens, twice, nil, 400, "invalid_request"},
		{"by GET", tokens, w.form(), func(r *http.Request) { r.Method = http.MethodGet }, 405, "invalid_request"},
		{"elsewhere", "/" + tenant + "/oauth2/v3/token", w.form(), nil, 404, "invalid_request"},
		{"a bearer", tokens, w.form(), func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 400, "invalid_request"},
	} {
		changes := []func(*http.Request){func(*http.Request) {}}
		if c.change != nil {
			changes = append(changes, c.change)
		}
		answer := w.post(c.path, c.form, changes...)
		body := mustDecode(t, answer)
		if answer.Code != c.status || body["error"] != c.code || body["error_description"] == "" || answer.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", c.name, answer.Code, answer.Body)
		}
	}
	if strings.Contains(w.log.String(), secret) {
		t.Error("the log has the secret")
	}
}

func TestAnUnknownClientAndAWrongSecretLookTheSame(t *testing.T) {
	w := newWorld(t)
	secret := string(w.credential.Secret)
	wrong := mustDecode(t, w.post(tokens, w.form("client_secret", secret[:len(secret)-4]+"AAAA")))
	unknown := mustDecode(t, w.post(tokens, w.form("client_id", "88888888-0000-4000-8000-000000000000")))
	if fmt.Sprint(wrong) != fmt.Sprint(unknown) {
		t.Errorf("%v\n%v", wrong, unknown)
	}
}

func TestASecretEndsWithItsTokens(t *testing.T) {
	w := newWorld(t)
	id := vault.PrincipalID("77777777-0000-4000-8000-000000000000")
	put := func() {
		if _, _, err := w.Access.PutPrincipal(t.Context(), w.admin, id, []byte(`{"properties":{"displayName":"ci"}}`), catalogue.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	add := func(lifetime time.Duration) (keyID, token string) {
		s, err := w.Access.AddSecret(t.Context(), w.admin, id, vault.NewSecret{Lifetime: lifetime})
		if err != nil {
			t.Fatal(err)
		}
		return s.Info.KeyID, w.mustToken(t, "client_id", id.Name(), "client_secret", string(s.Text))
	}
	ends := func(what, token string) {
		t.Helper()
		if _, err := w.authority.Authenticate(t.Context(), "Bearer "+token); coffer.CodeOf(err) != coffer.CodeTokenInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	put()
	_, kept := add(0)
	keyID, deleted := add(0)
	if err := w.Access.DeleteSecret(t.Context(), w.admin, id, keyID); err != nil {
		t.Fatal(err)
	}
	ends("a secret that was deleted", deleted)
	if _, err := w.authority.Authenticate(t.Context(), "Bearer "+kept); err != nil {
		t.Errorf("the other one: %v", err)
	}
	_, short := add(10 * time.Minute)
	w.Clock.Move(11 * time.Minute)
	ends("a secret that expired", short)
	if _, err := w.Access.DeletePrincipal(t.Context(), w.admin, id, catalogue.Condition{}); err != nil {
		t.Fatal(err)
	}
	ends("a principal that was deleted", kept)
	put()
	add(0)
	ends("another principal of the same client id", kept)
}

func TestSecretsThatAreNoMoreGetNoToken(t *testing.T) {
	w := newWorld(t)
	id := vault.PrincipalID(w.credential.ClientID)
	s, err := w.Access.AddSecret(t.Context(), w.admin, id, vault.NewSecret{Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	w.mustToken(t, "client_secret", string(s.Text))
	w.Clock.Move(time.Hour)
	if got := w.post(tokens, w.form("client_secret", string(s.Text))); got.Code != 401 {
		t.Errorf("expired: %d %s", got.Code, got.Body)
	}
	if _, err := w.Access.AddSecret(t.Context(), w.admin, id, vault.NewSecret{Only: true}); err != nil {
		t.Fatal(err)
	}
	if got := w.post(tokens, w.form()); got.Code != 401 {
		t.Errorf("after a reset: %d %s", got.Code, got.Body)
	}
}

func TestTooManyRequestsAreRefused(t *testing.T) {
	w := newWorld(t)
	from := func(remote string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = remote } }
	statuses := map[int]int{}
	for i := range 150 {
		got := w.post(tokens, w.form(), from(fmt.Sprintf("[2001:db8::%x]:5", i)))
		statuses[got.Code]++
		if got.Code == http.StatusTooManyRequests && (got.Header().Get("Retry-After") == "" || mustDecode(t, got)["error"] != "temporarily_unavailable") {
			t.Fatalf("%v %s", got.Header(), got.Body)
		}
	}
	if statuses[200] != 100 || statuses[429] != 50 {
		t.Errorf("of one network: %v", statuses)
	}
	if got := w.post(tokens, w.form(), from("192.0.2.7:1")); got.Code != 200 {
		t.Errorf("of another: %d", got.Code)
	}
	w.Clock.Move(time.Second)
	if got := w.post(tokens, w.form(), from("[2001:db8::1]:5")); got.Code != 200 {
		t.Errorf("a second later: %d", got.Code)
	}
}

func TestWrongSecretsDoNotLockTheRightOneOut(t *testing.T) {
	w := newWorld(t)
	statuses := map[int]int{}
	for i := range 40 {
		got := w.post(tokens, w.form("client_secret", "x"), func(r *http.Request) { r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i) })
		statuses[got.Code]++
	}
	if statuses[401] != 10 || statuses[429] != 30 {
		t.Errorf("%v", statuses)
	}
	if n := strings.Count(w.log.String(), "token refused"); n != 10 {
		t.Errorf("%d lines were logged", n)
	}
	w.mustToken(t)
}

// TestMicrosoftsOwnClientSignsIn drives the endpoint with azidentity.
func TestMicrosoftsOwnClientSignsIn(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewTLSServer(w.authority)
	defer server.Close()
	for _, inTenant := range []string{tenant, "adfs"} {
		c, err := azidentity.NewClientSecretCredential(inTenant, w.credential.ClientID, string(w.credential.Secret), &azidentity.ClientSecretCredentialOptions{
			ClientOptions: azcore.ClientOptions{
				Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: server.URL}, Transport: server.Client(), Retry: policy.RetryOptions{MaxRetries: -1},
			},
			DisableInstanceDiscovery: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{audience + "/.default"}})
		if err != nil {
			t.Fatalf("%s: %v", inTenant, err)
		}
		if _, err := w.authority.Authenticate(t.Context(), "Bearer "+token.Token); err != nil {
			t.Errorf("%s: %v", inTenant, err)
		}
	}
	wrong, err := azidentity.NewClientSecretCredential(tenant, w.credential.ClientID, "wrong", &azidentity.ClientSecretCredentialOptions{
		ClientOptions:            azcore.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: server.URL}, Transport: server.Client()},
		DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{audience + "/.default"}}); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("a wrong secret: %v", err)
	}
}

func TestPathsThatAreServed(t *testing.T) {
	for path, want := range map[string]bool{
		tokens: true, "/adfs/oauth2/token": true, "//ADFS/OAuth2/Token": true, "/" + tenant + "/v2.0/.well-known/openid-configuration": true,
		"/adfs/.well-known/openid-configuration": true, "/common/discovery/v2.0/keys": true, "/adfs/discovery/keys": true,
		"/": false, "/subscriptions/s": false, "/subscriptions/s/providers/Microsoft.DataProtection/backupVaults": false, "/metadata/endpoints": false,
		"/oauth2/token": false, "/a/b/oauth2/token": false,
	} {
		if identity.Serves(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

// away is a database that does not answer.
type away struct{ catalogue.Database }

func (away) View(context.Context, func(context.Context, catalogue.View) error) error {
	err := coffer.Errorf(coffer.CodeDatabaseUnavailable, "the database db.internal:5432/coffer does not answer: no password for user=coffer")
	err.Transient = true
	return err
}

func TestADatabaseThatIsAwayIsNotAWrongSecret(t *testing.T) {
	w := newWorld(t)
	token := w.mustToken(t)
	switching := &switched{Database: w.Database}
	w.config.Database = switching
	w.authority = w.mustReplica(t)
	switching.down = away{}
	answer := w.post(tokens, w.form())
	if answer.Code != 503 || mustDecode(t, answer)["error"] != "temporarily_unavailable" || answer.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	// Where it is, and why it is away, is nobody's business who may only ask for a token.
	if strings.Contains(answer.Body.String(), "internal") || !strings.Contains(w.log.String(), "db.internal:5432") {
		t.Errorf("%s\n%s", answer.Body, w.log)
	}
	if _, err := w.authority.Authenticate(t.Context(), "Bearer "+token); coffer.CodeOf(err) != coffer.CodeDatabaseUnavailable {
		t.Error(err)
	}
}

// switched is a database that can go away.
type switched struct {
	catalogue.Database
	down catalogue.Database
}

func (s *switched) View(ctx context.Context, do func(context.Context, catalogue.View) error) error {
	if s.down != nil {
		return s.down.View(ctx, do)
	}
	return s.Database.View(ctx, do)
}
