package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

const (
	// fetchTime bounds how long an issuer may take to answer, and maxFetched how much.
	fetchTime  = 10 * time.Second
	maxFetched = 1 << 20
	// issuerFresh is for how long an issuer's keys are taken to be those that were fetched: a key that it has withdrawn lives no longer
	// here, while it answers. issuerRetried is how soon they are fetched again, be it that the issuer was away or that a token names
	// another key: anybody can make up such tokens.
	issuerFresh   = time.Hour
	issuerRetried = 10 * time.Second
)

// issuerKeys are the public keys of an issuer, which are fetched when they are needed.
type issuerKeys struct {
	issuer string
	client *http.Client
	now    func() time.Time
	log    *slog.Logger
	flight singleflight.Group

	// mu guards what follows.
	mu   sync.Mutex
	keys []jose.JSONWebKey
	// fetched is when keys were, and tried when that was tried last, and how it ended.
	fetched, tried time.Time
	failed         error
}

func newIssuerKeys(issuer string, client *http.Client, c Config) *issuerKeys {
	bounded := *client
	bounded.Transport = boundedTransport{client.Transport}
	return &issuerKeys{issuer: issuer, client: &bounded, now: c.NowFunc, log: c.Logger}
}

// find answers the keys with an id, or all of them where a token names none; and an error only if the issuer is away and it takes
// the issuer to know.
func (k *issuerKeys) find(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	found, stale := k.cached(id)
	if len(found) > 0 && !stale {
		return found, nil
	}
	if err := k.fetchOnce(ctx); err != nil && len(found) == 0 {
		return nil, err
	}
	found, _ = k.cached(id)
	return found, nil
}

// cached are those keys as they were fetched, and whether that is long ago.
func (k *issuerKeys) cached(id string) (found []jose.JSONWebKey, stale bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keys {
		if id == "" || key.KeyID == id {
			found = append(found, key)
		}
	}
	return found, !within(k.now(), k.fetched, issuerFresh)
}

// fetchOnce fetches the keys, unless that was tried a short time ago: then it answers what came of that. Requests that come at the
// same time wait for one answer.
func (k *issuerKeys) fetchOnce(ctx context.Context) error {
	k.mu.Lock()
	recent, failed := within(k.now(), k.tried, issuerRetried), k.failed
	k.mu.Unlock()
	if recent {
		return failed
	}
	// Whoever was first may hang up: the others want the answer all the same.
	result := k.flight.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTime)
		defer cancel()
		keys, err := k.fetch(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.tried, k.failed = k.now(), nil
		if err != nil {
			k.log.Error("keys of an OIDC issuer not fetched", "issuer", k.issuer, "error", err)
			k.failed = away(k.issuer)
			return nil, k.failed
		}
		k.keys, k.fetched = keys, k.tried
		return nil, nil
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case r := <-result:
		return r.Err
	}
}

// within says whether something was done less than a time ago. A clock that was set back does not make it last.
func within(now, at time.Time, d time.Duration) bool {
	age := now.Sub(at)
	return age >= 0 && age < d
}

// fetch asks the issuer where its keys are, and for them.
func (k *issuerKeys) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, k.client), k.issuer)
	if err != nil {
		return nil, fmt.Errorf("discover the issuer: %w", err)
	}
	var where struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&where); err != nil {
		return nil, fmt.Errorf("read the issuer's configuration: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where.Keys, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the issuer's keys: %w", err)
	}
	answer, err := k.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask for the issuer's keys: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read the issuer's keys: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the issuer answers %s to who asks for its keys", answer.Status)
	}
	return readKeys(body)
}

// readKeys reads a key set, and leaves out what cannot be used: keys of unknown kinds, for encryption, and shared secrets.
func readKeys(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("read the issuer's keys: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, text := range set.Keys {
		var key jose.JSONWebKey
		if err := json.Unmarshal(text, &key); err == nil && key.Valid() && key.IsPublic() && (key.Use == "" || key.Use == "sig") {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the issuer has no key that can be used")
	}
	return keys, nil
}

// keyCall is the verification of one token: an oidc.KeySet that keeps the error of an issuer that is away.
type keyCall struct {
	keys *issuerKeys
	err  error
}

// VerifySignature answers what was signed. The verifier that calls it has checked the algorithm.
func (c *keyCall) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSigned(token, asymmetric)
	if err != nil {
		return nil, err
	}
	found, err := c.keys.find(ctx, signed.Signatures[0].Header.KeyID)
	if err != nil {
		c.err = err
		return nil, err
	}
	at := slices.IndexFunc(found, func(k jose.JSONWebKey) bool {
		_, err := signed.Verify(&k)
		return err == nil
	})
	if at < 0 {
		return nil, errors.New("no key of the issuer's fits")
	}
	return signed.Verify(&found[at])
}

// boundedTransport bounds how much of an answer is read, and asks nobody in the clear, wherever the issuer says that its keys are:
// who is between could put in keys of their own.
type boundedTransport struct{ inner http.RoundTripper }

// RoundTrip is that of the transport within, or of the default one.
func (b boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("%s is not fetched: it has to be https", r.URL.Redacted())
	}
	inner := b.inner
	if inner == nil {
		inner = http.DefaultTransport
	}
	answer, err := inner.RoundTrip(r)
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxFetched)
	}
	return answer, err
}
