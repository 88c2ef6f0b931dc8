package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// issuer is an OpenID Connect issuer that signs tokens.
type issuer struct {
	*httptest.Server
	signer jose.Signer
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &issuer{}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "one")
	if x.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options); err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": x.URL, "jwks_uri": x.URL + "/keys", "authorization_endpoint": x.URL + "/a", "token_endpoint": x.URL + "/t",
			"id_token_signing_alg_values_supported": []string{"ES256"}, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
	})
	x.Server = httptest.NewTLSServer(mux)
	t.Cleanup(x.Close)
	return x
}

func (x *issuer) token(t *testing.T, subject, audience string, until time.Time) string {
	t.Helper()
	text, err := jwt.Signed(x.signer).Claims(jwt.Claims{
		Issuer: x.URL, Subject: subject, Audience: jwt.Audience{audience}, IssuedAt: jwt.NewNumericDate(until.Add(-time.Hour)), Expiry: jwt.NewNumericDate(until),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTokensOfAnIssuerAreTaken(t *testing.T) {
	x := newIssuer(t)
	folder := t.TempDir()
	trusted := filepath.Join(folder, "issuer.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", trusted)
	p, c := launched(t, filepath.Join(folder, "data"), "--oidc-issuer", x.URL, "--oidc-audience", "coffer")
	subscription := "/subscriptions/" + c.SubscriptionID
	const somebody = "99999999-9999-4999-8999-999999999999"
	status, text := p.do(http.MethodPut, subscription+"/providers/Microsoft.Authorization/roleAssignments/"+somebody,
		`{"properties":{"roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7","principalId":"`+somebody+`","principalType":"User"}}`)
	if status != http.StatusCreated {
		t.Fatalf("%d %s", status, text)
	}
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	other := newIssuer(t)
	for name, step := range map[string]struct {
		token  string
		status int
	}{
		"a reader":               {x.token(t, somebody, "coffer", soon), http.StatusOK},
		"somebody without roles": {x.token(t, "nobody", "coffer", soon), http.StatusForbidden},
		"an old token":           {x.token(t, somebody, "coffer", past), http.StatusUnauthorized},
		"another audience":       {x.token(t, somebody, "others", soon), http.StatusUnauthorized},
		"another issuer":         {other.token(t, somebody, "coffer", soon), http.StatusUnauthorized},
		"no token at all":        {"x", http.StatusUnauthorized},
	} {
		p.token = step.token
		if status, text := p.do(http.MethodGet, subscription, ""); status != step.status {
			t.Errorf("%s: %d %s, want %d", name, status, text, step.status)
		}
	}
}
