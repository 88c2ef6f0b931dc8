package connector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Credentials are what a connector is known by to a server. The zero value is of one that has not joined.
type Credentials struct {
	// Key, Certificate and Authority are in PEM.
	Key, Certificate, Authority []byte
	// Address is the server's, and Cluster the id under which it knows the cluster.
	Address, Cluster string
	// Token tells which token it has joined by.
	Token string
	// PendingKey is the key that is being joined with, by the token that PendingToken tells. It is kept before the token is used: whoever dies after
	// the server has answered comes again with the same key, which is all that the server takes that token from.
	PendingKey   []byte
	PendingToken string
	// Version is the Store's own.
	Version string
}

// Store keeps Credentials.
type Store interface {
	// Load answers what was saved last, or the zero value.
	Load(ctx context.Context) (Credentials, error)
	// Save keeps them durably, unless what is kept is of another Version than what was loaded, and answers them with their new Version.
	Save(ctx context.Context, c Credentials) (Credentials, error)
}

// span is from when until when the certificate is good.
func (c Credentials) span() (ends, begins time.Time, err error) {
	block, _ := pem.Decode(c.Certificate)
	if block == nil {
		return ends, begins, errors.New("the certificate that was kept is not in PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ends, begins, fmt.Errorf("the certificate that was kept: %w", err)
	}
	return certificate.NotAfter, certificate.NotBefore, nil
}

// credentials are those to connect with: a token that was not used is used first. With an error, they are those that there were.
func (c *Connector) credentials(ctx context.Context, hello wire.Hello) (Credentials, error) {
	kept, err := c.Store.Load(ctx)
	if err != nil {
		return kept, err
	}
	joined := len(kept.Certificate) > 0
	text, err := c.TokenFunc()
	if err == nil && text == "" && !joined {
		err = problem("the cluster has not joined, and there is no join token")
	}
	if err != nil || text == "" {
		return kept, err
	}
	token, err := wire.ParseToken(text)
	if err != nil {
		if joined {
			c.Log.Warn("join token not read", "error", err)
			return kept, nil
		}
		return kept, problem(err.Error())
	}
	if d := digest(token); joined && (kept.Token == d || c.isRefused(d)) {
		return kept, nil
	}
	made, err := c.join(ctx, kept, token, hello)
	if err != nil && joined && final(err) {
		c.Log.Error("join token refused: the link goes on with the certificate that there is", "error", err)
		c.refuse(digest(token), time.Time{})
		return made, nil
	}
	return made, err
}

func problem(what string) error {
	return &wire.Problem{Code: string(coffer.CodeClusterNotJoined), Message: what, Hint: "get a token with `coffer cluster join`", Final: true}
}

// refuse has the token of a digest be no reason to end a link, until then; zero is for good.
func (c *Connector) refuse(digest string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused, c.refusedUntil = digest, until
}

func (c *Connector) isRefused(digest string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused == digest && (c.refusedUntil.IsZero() || time.Now().Before(c.refusedUntil))
}

// join uses a token.
func (c *Connector) join(ctx context.Context, kept Credentials, token wire.Token, hello wire.Hello) (Credentials, error) {
	var err error
	if kept.PendingToken != digest(token) || len(kept.PendingKey) == 0 {
		if kept.PendingKey, err = newKey(); err != nil {
			return kept, err
		}
		kept.PendingToken = digest(token)
		if kept, err = c.Store.Save(ctx, kept); err != nil {
			return kept, err
		}
	}
	request, err := requestOf(kept.PendingKey)
	if err != nil {
		return kept, err
	}
	server, err := dialPinned(token)
	if err != nil {
		return kept, err
	}
	got, err := server.join(ctx, wire.JoinRequest{Hello: hello, Secret: token.Secret, Request: string(request)})
	if err != nil {
		return kept, fmt.Errorf("join by %s: %w", token.Address, err)
	}
	if err := checkAnswer(got, kept.PendingKey); err != nil {
		return kept, err
	}
	if fingerprintOf([]byte(got.Authority)) != token.Authority {
		return kept, errors.New("the server has answered a certificate authority that is not the join token's")
	}
	saved, err := c.Store.Save(ctx, Credentials{
		Key: kept.PendingKey, Certificate: []byte(got.Certificate), Authority: []byte(got.Authority), Address: token.Address,
		Cluster: got.Cluster, Token: digest(token), Version: kept.Version,
	})
	if err != nil {
		return kept, err
	}
	c.Log.Info("joined", "cluster", got.Cluster, "server", token.Address)
	return saved, nil
}

// renewDue says that a third of the certificate's time is over.
func (c *Connector) renewDue(kept Credentials) bool {
	ends, begins, err := kept.span()
	return err != nil || !c.NowFunc().Before(begins.Add(ends.Sub(begins)/3))
}

// renewed are credentials with a certificate that was renewed if it was time, and those given if there is an error.
func (c *Connector) renewed(ctx context.Context, kept Credentials) (Credentials, error) {
	if !c.renewDue(kept) {
		return kept, nil
	}
	// The old certificate stays good, so a new key that is lost costs nothing.
	key, err := newKey()
	if err != nil {
		return kept, err
	}
	request, err := requestOf(key)
	if err != nil {
		return kept, err
	}
	server, err := dial(kept.Address, kept)
	if err != nil {
		return kept, err
	}
	got, err := server.renew(ctx, wire.RenewRequest{Request: string(request)})
	if err != nil {
		return kept, err
	}
	if err := checkAnswer(got, key); err != nil {
		return kept, err
	}
	next := kept
	next.Key, next.Certificate = key, []byte(got.Certificate)
	saved, err := c.Store.Save(ctx, next)
	if err != nil {
		return kept, err
	}
	c.Log.Info("certificate renewed", "cluster", kept.Cluster)
	return saved, nil
}

func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// requestOf is a certificate request of a key: the server writes the names.
func requestOf(key []byte) ([]byte, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errors.New("the key that was kept is not in PEM")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the key that was kept: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "coffer-connector"}}, private)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// checkAnswer refuses a certificate that is of no use: it would take the place of one that is.
func checkAnswer(got wire.Certificate, key []byte) error {
	if _, err := tls.X509KeyPair([]byte(got.Certificate), key); err != nil {
		return fmt.Errorf("the server has answered a certificate that is not of our key: %w", err)
	}
	return nil
}

// fingerprintOf is the digest of a certificate in PEM, as tokens have it.
func fingerprintOf(text []byte) string {
	block, _ := pem.Decode(text)
	if block == nil {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}
