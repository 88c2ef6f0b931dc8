package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	// keySigns is how long a key signs. It verifies until the last token that it signed has ended.
	keySigns = 30 * 24 * time.Hour
	// keysFresh is for how long the keys of the database are taken to be those that were read, and keysRetried how soon they are read
	// again for a key that is not among them: another replica may have made one.
	keysFresh   = time.Minute
	keysRetried = 2 * time.Second
)

// signingAlgorithm needs no long time to make a key, as RSA does.
const signingAlgorithm = jose.ES256

// signingKey is as it is kept, sealed.
type signingKey struct {
	ID string `json:"kid"`
	// Rotates is when it signs no more, and Ends when it verifies no more.
	Rotates time.Time `json:"rotates"`
	Ends    time.Time `json:"ends"`
	PKCS8   []byte    `json:"pkcs8"`

	private *ecdsa.PrivateKey
}

// keyRing are the signing keys, which all replicas share.
type keyRing struct {
	database catalogue.Database
	sealer   catalogue.Sealer
	now      func() time.Time
	// owner is the resource whose secrets the keys are.
	owner catalogue.ID

	// mu guards what follows, and lets one request read the keys while others wait.
	mu   sync.Mutex
	read time.Time
	// keys are in the order in which they were made.
	keys []signingKey
}

// purpose is what the keys are sealed for.
func (r *keyRing) purpose() string { return "token-signing-key " + r.owner.Key() }

// signing is the key that signs, which is made if there is none.
func (r *keyRing) signing(ctx context.Context) (signingKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refresh(ctx, keysFresh); err != nil {
		return signingKey{}, err
	}
	if k, ok := newest(r.keys, r.now()); ok {
		return k, nil
	}
	if err := r.rotate(ctx); err != nil {
		return signingKey{}, err
	}
	if err := r.refresh(ctx, 0); err != nil {
		return signingKey{}, err
	}
	k, ok := newest(r.keys, r.now())
	if !ok {
		return signingKey{}, errors.New("the signing key that was made is not there")
	}
	return k, nil
}

// verifying is the public key of an id; nil if there is none.
func (r *keyRing) verifying(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, fresh := range []time.Duration{keysFresh, keysRetried} {
		if err := r.refresh(ctx, fresh); err != nil {
			return nil, err
		}
		at := slices.IndexFunc(r.keys, func(k signingKey) bool { return k.ID == id && r.now().Before(k.Ends) })
		if at >= 0 {
			return &r.keys[at].private.PublicKey, nil
		}
	}
	return nil, nil
}

// public are the keys by which others may verify.
func (r *keyRing) public(ctx context.Context) (jose.JSONWebKeySet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	if err := r.refresh(ctx, keysFresh); err != nil {
		return set, err
	}
	for _, k := range r.keys {
		if r.now().Before(k.Ends) {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.private.PublicKey, KeyID: k.ID, Algorithm: string(signingAlgorithm), Use: "sig"})
		}
	}
	return set, nil
}

// refresh reads the keys, unless they were read a short time ago.
func (r *keyRing) refresh(ctx context.Context, fresh time.Duration) error {
	if age := r.now().Sub(r.read); age >= 0 && age < fresh {
		return nil
	}
	var secrets []catalogue.Secret
	err := r.database.View(ctx, func(ctx context.Context, v catalogue.View) (err error) {
		secrets, err = v.Secrets(ctx, r.owner)
		return err
	})
	if err != nil && coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		return fmt.Errorf("read the keys that sign tokens: %w", err)
	}
	// What was opened before is not opened again: behind the sealer may be a KMS.
	var keys []signingKey
	for _, s := range secrets {
		at := slices.IndexFunc(r.keys, func(k signingKey) bool { return k.ID == s.Name })
		if at >= 0 {
			keys = append(keys, r.keys[at])
			continue
		}
		k, err := r.open(ctx, s)
		if err != nil {
			return err
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b signingKey) int { return a.Rotates.Compare(b.Rotates) })
	r.keys, r.read = keys, r.now()
	return nil
}

func (r *keyRing) open(ctx context.Context, s catalogue.Secret) (signingKey, error) {
	plain, err := r.sealer.Open(ctx, r.purpose(), s.Sealed)
	if err != nil {
		return signingKey{}, fmt.Errorf("open the key %s that signs tokens, which was sealed with another key than is configured, or damaged: %w", s.Name, err)
	}
	var k signingKey
	if err := json.Unmarshal(plain, &k); err != nil {
		return signingKey{}, fmt.Errorf("read the key %s that signs tokens: %w", s.Name, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
	private, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || k.ID != s.Name {
		return signingKey{}, fmt.Errorf("the key %s that signs tokens is not one", s.Name)
	}
	k.private = private
	return k, nil
}

// newest is the key that signs.
func newest(keys []signingKey, now time.Time) (signingKey, bool) {
	if len(keys) == 0 || !now.Before(keys[len(keys)-1].Rotates) {
		return signingKey{}, false
	}
	return keys[len(keys)-1], true
}

// rotate makes a key, unless another replica was faster, and clears away those that verify no more.
func (r *keyRing) rotate(ctx context.Context) error {
	now := r.now().UTC()
	next, err := newKey(now)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("write a key that signs tokens: %w", err)
	}
	sealed, err := r.sealer.Seal(ctx, r.purpose(), plain)
	if err != nil {
		return fmt.Errorf("seal a key that signs tokens: %w", err)
	}
	known := slices.Clone(r.keys)
	err = r.database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		if _, err := tx.Resource(ctx, r.owner); coffer.CodeOf(err) == coffer.CodeResourceNotFound {
			stamp := catalogue.Stamp{At: now.Truncate(time.Microsecond)}
			_, err = tx.PutResource(ctx, catalogue.Resource{ID: r.owner, Body: []byte(`{}`), Created: stamp, Changed: stamp}, catalogue.Condition{New: true})
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		there, err := tx.Secrets(ctx, r.owner)
		if err != nil {
			return err
		}
		for _, s := range there {
			if !slices.ContainsFunc(known, func(k signingKey) bool { return k.ID == s.Name }) {
				return nil
			}
		}
		for _, s := range there {
			if now.Before(s.Expires) {
				continue
			}
			if err := tx.DeleteSecret(ctx, r.owner, s.Name); err != nil {
				return err
			}
		}
		return tx.PutSecret(ctx, catalogue.Secret{Owner: r.owner, Name: next.ID, Sealed: sealed, Expires: next.Ends})
	})
	if err != nil {
		return fmt.Errorf("keep a key that signs tokens: %w", err)
	}
	return nil
}

func newKey(now time.Time) (signingKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signingKey{}, fmt.Errorf("make a key that signs tokens: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return signingKey{}, fmt.Errorf("write a key that signs tokens: %w", err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return signingKey{}, fmt.Errorf("name a key that signs tokens: %w", err)
	}
	rotates := now.Add(keySigns)
	return signingKey{ID: id.String(), Rotates: rotates, Ends: rotates.Add(lifetime + skew), PKCS8: pkcs8}, nil
}
