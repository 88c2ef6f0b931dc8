package identity_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/coffer-backup/coffer/internal/inbound/identity"
)

// issuer is a real OIDC issuer on a port of its own, which signs what it is told to.
type issuer struct {
	*httptest.Server

	// mu guards what follows.
	mu      sync.Mutex
	keys    []jose.JSONWebKey
	down    bool
	fetches int
	// keysURL is where the keys are said to be; empty is where they are.
	keysURL string
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.serve(func() any {
		return map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/a", "token_endpoint": i.URL + "/t", "jwks_uri": cmp.Or(i.keysURL, i.URL+"/keys"),
			"id_token_signing_alg_values_supported": []string{"RS256", "none", "HS256"},
		}
	}))
	mux.HandleFunc("GET /keys", i.serve(func() any {
		i.fetches++
		set := jose.JSONWebKeySet{}
		for _, k := range i.keys {
			set.Keys = append(set.Keys, k.Public())
		}
		return set
	}))
	mux.HandleFunc("GET /moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.FormValue("to"), http.StatusFound) }) //nolint:gosec // It is what the test tries.
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	i.mustAddKey(t, "key-1")
	return i
}

func (i *issuer) serve(answer func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.down {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer())
	}
}

func (i *issuer) setDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

func (i *issuer) fetched() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// mustAddKey adds a key, which signs from now on.
func (i *issuer) mustAddKey(t *testing.T, id string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, jose.JSONWebKey{Key: key, KeyID: id, Algorithm: "RS256", Use: "sig"})
}

func (i *issuer) withdraw(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for at, k := range i.keys {
		if k.KeyID == id {
			i.keys = append(i.keys[:at:at], i.keys[at+1:]...)
			return
		}
	}
}

func (i *issuer) current() jose.JSONWebKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[len(i.keys)-1]
}

// config is how the issuer is trusted.
func (i *issuer) config() identity.Issuer {
	return identity.Issuer{URL: i.URL, Audiences: []string{"coffer"}, ObjectIDClaim: "oid"}
}

// claims are good ones at a time, with changes; nil takes one away.
func (i *issuer) claims(now time.Time, changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": i.URL, "aud": "coffer", "sub": "s", "oid": "ann-1", "preferred_username": "ann@example.org", "azp": "portal",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "groups": []string{"g-1", "g-2"},
	}
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return claims
}

// mustSign signs claims.
func mustSign(t *testing.T, algorithm jose.SignatureAlgorithm, key any, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func mustKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
