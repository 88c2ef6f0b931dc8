package identity_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/inbound/identity"
)

// trusting is a server that trusts an issuer.
func trusting(t *testing.T, change func(*identity.Issuer)) (*world, *issuer) {
	t.Helper()
	i := newIssuer(t)
	config := i.config()
	if change != nil {
		change(&config)
	}
	w := newWorld(t)
	w.config.Issuers, w.config.Client = []identity.Issuer{config}, i.Client()
	w.authority = w.mustReplica(t)
	return w, i
}

func (w *world) mustRefuse(t *testing.T, what, token string, code coffer.Code) {
	t.Helper()
	who, err := w.authority.Authenticate(t.Context(), "Bearer "+token)
	if coffer.CodeOf(err) != code || who.ObjectID != "" {
		t.Errorf("%s: %+v, %s: %v", what, who, coffer.CodeOf(err), err)
	}
	if err != nil && len(token) > 20 && strings.Contains(err.Error(), token) {
		t.Errorf("%s: the error has the token", what)
	}
}

func (w *world) mustBe(t *testing.T, what, token, objectID string) catalogue.Principal {
	t.Helper()
	who, err := w.authority.Authenticate(t.Context(), "Bearer "+token)
	if err != nil || who.ObjectID != objectID {
		t.Errorf("%s: %+v, %v", what, who, err)
	}
	return who
}

func TestHeadersThatAreNoBearer(t *testing.T) {
	w := newWorld(t)
	for header, code := range map[string]coffer.Code{
		"": coffer.CodeAuthenticationFailed, "Bearer": coffer.CodeAuthenticationFailed, "Bearer ": coffer.CodeAuthenticationFailed,
		"Basic YTpi": coffer.CodeAuthenticationFailed, "Bearer x": coffer.CodeTokenInvalid, "Bearer a.b.c": coffer.CodeTokenInvalid,
		"Bearer " + strings.Repeat("a", 20000): coffer.CodeTokenInvalid, "Bearer {}": coffer.CodeTokenInvalid,
	} {
		if _, err := w.authority.Authenticate(t.Context(), header); coffer.CodeOf(err) != code {
			t.Errorf("%.40q: %v", header, err)
		}
	}
}

func TestOwnTokensThatAreForged(t *testing.T) {
	w := newWorld(t)
	good := w.mustToken(t)
	claims := mustClaims(t, good)
	kid := mustHeader(t, good)["kid"].(string)
	public := mustPublicKey(t, w, kid)
	der, err := x509.MarshalPKIXPublicKey(public.Key)
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	asJWK, err := public.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	changed := maps.Clone(claims)
	changed["oid"] = "somebody"
	for what, token := range map[string]string{
		"another key under the same id":      mustSign(t, jose.ES256, jose.JSONWebKey{Key: mustKey(t), KeyID: kid}, claims),
		"another key under another id":       mustSign(t, jose.ES256, jose.JSONWebKey{Key: mustKey(t), KeyID: "mine"}, claims),
		"another key without an id":          mustSign(t, jose.ES256, mustKey(t), claims),
		"HS256 with the public key in PEM":   mustSign(t, jose.HS256, jose.JSONWebKey{Key: asPEM, KeyID: kid}, claims),
		"HS256 with the public key in DER":   mustSign(t, jose.HS256, jose.JSONWebKey{Key: der, KeyID: kid}, claims),
		"HS256 with the public key as a JWK": mustSign(t, jose.HS256, jose.JSONWebKey{Key: asJWK, KeyID: kid}, claims),
		"alg none":                           encode(map[string]any{"alg": "none", "typ": "JWT"}) + "." + parts[1] + ".",
		"alg none, with the signature":       encode(map[string]any{"alg": "none", "kid": kid}) + "." + parts[1] + "." + parts[2],
		"claims of somebody else":            parts[0] + "." + encode(changed) + "." + parts[2],
		"no signature":                       parts[0] + "." + parts[1] + ".",
		"a signature that is cut":            good[:len(good)-2],
		"a key that comes with the token":    mustSignEmbedded(t, claims),
	} {
		w.mustRefuse(t, what, token, coffer.CodeTokenInvalid)
	}
	w.mustBe(t, "the good one", good, w.admin.Principal.ObjectID)
}

func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func mustHeader(t *testing.T, token string) map[string]any {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	var header map[string]any
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	return header
}

func mustSignEmbedded(t *testing.T, claims any) string {
	t.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: mustKey(t)}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// mustPublicKey asks the server for a key, as anybody may.
func mustPublicKey(t *testing.T, w *world, kid string) jose.JSONWebKey {
	t.Helper()
	answer := httptest.NewRecorder()
	w.authority.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, public+"/"+tenant+"/discovery/v2.0/keys", nil))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(answer.Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		if !k.IsPublic() {
			t.Fatal("a private key is shown")
		}
	}
	found := set.Key(kid)
	if len(found) != 1 {
		t.Fatalf("%s is not in %s", kid, answer.Body)
	}
	return found[0]
}

func TestOwnTokensEnd(t *testing.T) {
	w := newWorld(t)
	token := w.mustToken(t)
	w.Clock.Move(time.Hour + 4*time.Minute)
	w.mustBe(t, "as far as clocks may be apart", token, w.admin.Principal.ObjectID)
	w.Clock.Move(2 * time.Minute)
	w.mustRefuse(t, "expired", token, coffer.CodeTokenExpired)
	w.Clock.Move(-66*time.Minute - 4*time.Minute)
	w.mustBe(t, "a clock four minutes behind", token, w.admin.Principal.ObjectID)
	w.Clock.Move(-56 * time.Minute)
	w.mustRefuse(t, "a clock an hour behind", token, coffer.CodeTokenInvalid)
}

func TestTokensOfAnotherTenantOrServerAreRefused(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	w.mustRefuse(t, "another server of the same name", other.mustToken(t), coffer.CodeTokenInvalid)
	w.config.Tenant = "55555555-0000-4000-8000-000000000000"
	foreign := w.mustReplica(t)
	if _, err := foreign.Authenticate(t.Context(), "Bearer "+w.mustToken(t)); coffer.CodeOf(err) != coffer.CodeTokenTenant {
		t.Errorf("another tenant: %v", err)
	}
	w.config.Tenant, w.config.PublicURL = tenant, "https://other.example.org"
	elsewhere := w.mustReplica(t)
	if _, err := elsewhere.Authenticate(t.Context(), "Bearer "+w.mustToken(t)); coffer.CodeOf(err) != coffer.CodeTokenInvalid {
		t.Errorf("another name: %v", err)
	}
}

func TestPeopleOfAnIssuerAreTaken(t *testing.T) {
	w, i := trusting(t, nil)
	who := w.mustBe(t, "good", mustSign(t, jose.RS256, i.current(), i.claims(w.Clock.Now(), nil)), "ann-1")
	if who.Name != "ann@example.org" || who.AppID != "portal" || fmt.Sprint(who.Groups) != "[g-1 g-2]" || who.Tenant != tenant {
		t.Errorf("%+v", who)
	}
	for what, changes := range map[string]map[string]any{
		"several audiences": {"aud": []string{"x", "coffer"}}, "no groups": {"groups": nil}, "one group as a word": {"groups": "g-1"},
		"four minutes ahead":  {"iat": w.Clock.Now().Add(4 * time.Minute).Unix(), "nbf": w.Clock.Now().Add(4 * time.Minute).Unix()},
		"neither iat nor nbf": {"iat": nil, "nbf": nil},
	} {
		w.mustBe(t, what, mustSign(t, jose.RS256, i.current(), i.claims(w.Clock.Now(), changes)), "ann-1")
	}
	if i.fetched() != 1 {
		t.Errorf("the keys were fetched %d times", i.fetched())
	}
}

func TestTokensOfAnIssuerThatAreRefused(t *testing.T) {
	w, i := trusting(t, nil)
	now := w.Clock.Now()
	minted := w.admin.Principal.ObjectID
	many := make([]string, 300)
	for n := range many {
		many[n] = fmt.Sprint(n)
	}
	for what, c := range map[string]struct {
		changes map[string]any
		code    coffer.Code
	}{
		"expired":                        {map[string]any{"exp": now.Add(-6 * time.Minute).Unix()}, coffer.CodeTokenExpired},
		"never expiring":                 {map[string]any{"exp": nil}, coffer.CodeTokenInvalid},
		"not valid yet":                  {map[string]any{"nbf": now.Add(6 * time.Minute).Unix()}, coffer.CodeTokenInvalid},
		"issued in the future":           {map[string]any{"iat": now.Add(time.Hour).Unix(), "nbf": nil}, coffer.CodeTokenInvalid},
		"for somebody else":              {map[string]any{"aud": "other"}, coffer.CodeTokenAudience},
		"for nobody":                     {map[string]any{"aud": nil}, coffer.CodeTokenAudience},
		"of another issuer":              {map[string]any{"iss": "https://evil.example.org"}, coffer.CodeTokenInvalid},
		"in this server's name":          {map[string]any{"iss": public + "/" + tenant + "/v2.0"}, coffer.CodeTokenInvalid},
		"of nobody":                      {map[string]any{"oid": nil}, coffer.CodeTokenInvalid},
		"of somebody who is a number":    {map[string]any{"oid": 7}, coffer.CodeTokenInvalid},
		"of a service principal of ours": {map[string]any{"oid": minted}, coffer.CodeTokenInvalid},
		"of ours in upper case":          {map[string]any{"oid": strings.ToUpper(minted)}, coffer.CodeTokenInvalid},
		"of ours with braces":            {map[string]any{"oid": "{" + minted + "}"}, coffer.CodeTokenInvalid},
		"with a group that is ours":      {map[string]any{"groups": []string{minted}}, coffer.CodeTokenInvalid},
		"of somebody who is a NUL":       {map[string]any{"oid": "a\x00"}, coffer.CodeTokenInvalid},
		"of somebody of 300 letters":     {map[string]any{"oid": strings.Repeat("a", 300)}, coffer.CodeTokenInvalid},
		"a group that ends in a space":   {map[string]any{"groups": []string{"ops "}}, coffer.CodeTokenInvalid},
		"groups that are none":           {map[string]any{"groups": []any{7}}, coffer.CodeTokenInvalid},
		"groups that are an object":      {map[string]any{"groups": map[string]any{"a": 1}}, coffer.CodeTokenInvalid},
		"300 groups":                     {map[string]any{"groups": many}, coffer.CodeTokenInvalid},
		"groups that are elsewhere":      {map[string]any{"groups": nil, "_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://x"}}}, coffer.CodeTokenInvalid},
	} {
		w.mustRefuse(t, what, mustSign(t, jose.RS256, i.current(), i.claims(now, c.changes)), c.code)
	}
}

func TestSignaturesOfAnIssuerThatAreForged(t *testing.T) {
	w, i := trusting(t, nil)
	claims := i.claims(w.Clock.Now(), nil)
	key := i.current()
	good := mustSign(t, jose.RS256, key, claims)
	w.mustBe(t, "good", good, "ann-1")
	key2 := key.Public()
	der, err := x509.MarshalPKIXPublicKey(key2.Key)
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	parts := strings.Split(good, ".")
	other := newIssuer(t).current()
	for what, token := range map[string]string{
		"another issuer's key under the same id": mustSign(t, jose.RS256, other, claims),
		"HS256 with the public key":              mustSign(t, jose.HS256, jose.JSONWebKey{Key: asPEM, KeyID: key.KeyID}, claims),
		"alg none":                               encode(map[string]any{"alg": "none"}) + "." + parts[1] + ".",
		"another payload":                        parts[0] + "." + encode(i.claims(w.Clock.Now(), map[string]any{"oid": "bob"})) + "." + parts[2],
		"a key that comes with the token":        mustSignEmbedded(t, claims),
		"another algorithm, the key's kind":      mustSign(t, jose.ES256, jose.JSONWebKey{Key: mustKey(t), KeyID: key.KeyID}, claims),
	} {
		w.mustRefuse(t, what, token, coffer.CodeTokenInvalid)
	}
}

func TestAlgorithmsCanBeNarrowed(t *testing.T) {
	w, i := trusting(t, func(c *identity.Issuer) { c.Algorithms = []string{"ES256"} })
	w.mustRefuse(t, "RS256", mustSign(t, jose.RS256, i.current(), i.claims(w.Clock.Now(), nil)), coffer.CodeTokenInvalid)
}

func TestAClockAnHourOffIsSaid(t *testing.T) {
	w, i := trusting(t, nil)
	token := mustSign(t, jose.RS256, i.current(), i.claims(w.Clock.Now(), nil))
	w.Clock.Move(-time.Hour)
	_, err := w.authority.Authenticate(t.Context(), "Bearer "+token)
	if coffer.CodeOf(err) != coffer.CodeTokenInvalid || !strings.Contains(err.Error(), "compare the clocks") {
		t.Error(err)
	}
}

func TestClaimsAreConfigured(t *testing.T) {
	w, i := trusting(t, func(c *identity.Issuer) {
		c.ObjectIDClaim, c.NameClaim, c.GroupsClaim, c.Prefix = "email", "nick", "roles", "corp:"
	})
	good := map[string]any{"email": "ann@example.org", "email_verified": true, "nick": "Ann", "roles": []string{"ops"}}
	who := w.mustBe(t, "configured", mustSign(t, jose.RS256, i.current(), i.claims(w.Clock.Now(), good)), "corp:ann@example.org")
	if who.Name != "Ann" || fmt.Sprint(who.Groups) != "[corp:ops]" {
		t.Errorf("%+v", who)
	}
	good["email_verified"] = false
	w.mustRefuse(t, "an address that was not verified", mustSign(t, jose.RS256, i.current(), i.claims(w.Clock.Now(), good)), coffer.CodeTokenInvalid)
}

func TestAnIssuerThatIsAwayIsNotAWrongToken(t *testing.T) {
	w, i := trusting(t, nil)
	i.setDown(true)
	token := mustSign(t, jose.RS256, i.current(), i.claims(w.Clock.Now(), nil))
	_, err := w.authority.Authenticate(t.Context(), "Bearer "+token)
	if coffer.CodeOf(err) != coffer.CodeIssuerUnavailable || coffer.Final(err) {
		t.Errorf("never seen: %v", err)
	}
	i.setDown(false)
	w.Clock.Move(11 * time.Second)
	w.mustBe(t, "back again", token, "ann-1")
	// Its keys are known now: it may go.
	known := i.current()
	i.setDown(true)
	w.mustBe(t, "away again", token, "ann-1")
	w.Clock.Move(50 * time.Minute)
	i.mustAddKey(t, "key-2")
	_, err = w.authority.Authenticate(t.Context(), "Bearer "+mustSign(t, jose.RS256, i.current(), i.claims(w.Clock.Now(), nil)))
	if coffer.CodeOf(err) != coffer.CodeIssuerUnavailable {
		t.Errorf("a key that is not known yet: %v", err)
	}
	w.Clock.Move(time.Hour)
	w.mustBe(t, "away for hours", mustSign(t, jose.RS256, known, i.claims(w.Clock.Now(), nil)), "ann-1")
}

// Who is between could put keys of their own into what is fetched in the clear.
func TestAnIssuersKeysAreNotFetchedInTheClear(t *testing.T) {
	w, i := trusting(t, nil)
	plain := httptest.NewServer(i.Config.Handler)
	t.Cleanup(plain.Close)
	for name, place := range map[string]string{
		"named so":      plain.URL + "/keys",
		"redirected so": i.URL + "/moved?to=" + url.QueryEscape(plain.URL+"/keys"),
	} {
		i.mu.Lock()
		i.keysURL = place
		i.mu.Unlock()
		_, err := w.authority.Authenticate(t.Context(), "Bearer "+mustSign(t, jose.RS256, i.current(), i.claims(w.Clock.Now(), nil)))
		if coffer.CodeOf(err) != coffer.CodeIssuerUnavailable || i.fetched() != 0 {
			t.Errorf("%s: %v, fetched %d times", name, err, i.fetched())
		}
		w.Clock.Move(time.Minute)
	}
}

func TestAnIssuersKeysRotate(t *testing.T) {
	w, i := trusting(t, nil)
	old := i.current()
	w.mustBe(t, "the first key", mustSign(t, jose.RS256, old, i.claims(w.Clock.Now(), nil)), "ann-1")
	w.Clock.Move(time.Minute)
	i.mustAddKey(t, "key-2")
	w.mustBe(t, "the second key", mustSign(t, jose.RS256, i.current(), i.claims(w.Clock.Now(), nil)), "ann-1")
	w.mustBe(t, "the first key still", mustSign(t, jose.RS256, old, i.claims(w.Clock.Now(), nil)), "ann-1")
	i.withdraw(old.KeyID)
	w.Clock.Move(61 * time.Minute)
	w.mustRefuse(t, "the first key an hour after it was withdrawn", mustSign(t, jose.RS256, old, i.claims(w.Clock.Now(), nil)), coffer.CodeTokenInvalid)
}

func TestMadeUpKeysDoNotMakeTheServerAskForThem(t *testing.T) {
	w, i := trusting(t, nil)
	good := mustSign(t, jose.RS256, i.current(), i.claims(w.Clock.Now(), nil))
	w.mustBe(t, "good", good, "ann-1")
	w.Clock.Move(time.Minute)
	for n := range 20 {
		w.mustRefuse(t, "made up", mustSign(t, jose.ES256, jose.JSONWebKey{Key: mustKey(t), KeyID: fmt.Sprint(n)}, i.claims(w.Clock.Now(), nil)), coffer.CodeTokenInvalid)
	}
	if i.fetched() != 2 {
		t.Errorf("the keys were fetched %d times", i.fetched())
	}
	w.mustBe(t, "good", good, "ann-1")
}

func TestIssuersThatCannotBeConfigured(t *testing.T) {
	w := newWorld(t)
	good := identity.Issuer{URL: "https://a.example.org", Audiences: []string{"coffer"}}
	for what, issuers := range map[string][]identity.Issuer{
		"plain http":           {{URL: "http://a.example.org", Audiences: []string{"coffer"}}},
		"no audience":          {{URL: "https://a.example.org"}},
		"an empty audience":    {{URL: "https://a.example.org", Audiences: []string{""}}},
		"a shared secret":      {{URL: "https://a.example.org", Audiences: []string{"coffer"}, Algorithms: []string{"HS256"}}},
		"no algorithm":         {{URL: "https://a.example.org", Audiences: []string{"coffer"}, Algorithms: []string{"none"}}},
		"the same twice":       {good, {URL: "https://a.example.org", Audiences: []string{"x"}, Prefix: "x"}},
		"two without a prefix": {good, {URL: "https://b.example.org", Audiences: []string{"coffer"}}},
		"this server":          {{URL: public + "/" + tenant + "/v2.0", Audiences: []string{"coffer"}}},
	} {
		w.config.Issuers = issuers
		if _, err := identity.New(t.Context(), w.config); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
}
