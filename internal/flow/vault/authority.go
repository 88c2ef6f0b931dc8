package vault

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// How long certificates last. One of a server is replaced when a third of its time is left.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	serverLife    = 90 * 24 * time.Hour
	// backdated allows for clocks of clients that are behind.
	backdated = time.Hour
)

// authorityID is the resource that the certificate authority is kept as.
const authorityID catalogue.ID = "/providers/Coffer.Backup/settings/certificateAuthority"

const (
	purposeAuthority = "certificate-authority"
	authorityKey     = "key"
)

// Authority is the server's own certificate authority, one for all replicas. It may be used concurrently.
type Authority struct {
	// PEM is its certificate, for clients to trust.
	PEM []byte

	certificate *x509.Certificate
	key         crypto.Signer
	now         func() time.Time

	mu sync.Mutex // guards served
	// served is the certificate that is in use for the hosts.
	served *tls.Certificate
}

// OpenAuthority is the certificate authority of a database, which is made if there is none: once, whatever starts at the same time.
func OpenAuthority(ctx context.Context, db catalogue.Database, sealer catalogue.Sealer, now func() time.Time) (*Authority, error) {
	a := &Authority{now: now}
	err := db.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		kept, err := find(ctx, tx, authorityID)
		if err != nil {
			return err
		}
		if kept == nil {
			return a.create(ctx, tx, sealer)
		}
		return a.read(ctx, tx, sealer)
	})
	if err != nil {
		return nil, fmt.Errorf("open the certificate authority: %w", err)
	}
	return a, nil
}

func (a *Authority) create(ctx context.Context, tx catalogue.Tx, sealer catalogue.Sealer) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := a.now().UTC().Truncate(time.Microsecond)
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Coffer"}, NotBefore: now.Add(-backdated), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if template.SerialNumber, err = serial(); err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	sealed, err := sealer.Seal(ctx, purposeAuthority, private)
	if err != nil {
		return err
	}
	if err := a.use(der, key); err != nil {
		return err
	}
	by := Caller{Principal: catalogue.Principal{Name: "coffer-server"}}
	r, err := tx.PutResource(ctx, catalogue.Resource{
		ID: authorityID, Body: facts(object{"properties": object{"certificate": string(a.PEM)}}), Created: by.stamp(now), Changed: by.stamp(now),
	}, catalogue.Condition{New: true})
	if err != nil {
		return err
	}
	if err := tx.PutSecret(ctx, catalogue.Secret{Owner: authorityID, Name: authorityKey, Sealed: sealed}); err != nil {
		return err
	}
	return appendEntry(ctx, tx, by.entry(now, "Coffer.Backup/settings/write", r.ID, http.StatusCreated), nil, &r)
}

func (a *Authority) read(ctx context.Context, v catalogue.View, sealer catalogue.Sealer) error {
	r, err := v.Resource(ctx, authorityID)
	if err != nil {
		return err
	}
	body, err := decode[struct {
		Properties struct {
			Certificate string `json:"certificate"`
		} `json:"properties"`
	}](Proposal{ID: r.ID, Body: r.Body})
	if err != nil {
		return err
	}
	secrets, err := v.Secrets(ctx, authorityID)
	if err != nil {
		return err
	}
	block, _ := pem.Decode([]byte(body.Properties.Certificate))
	if block == nil || len(secrets) != 1 {
		return errors.New("the database has a certificate authority without a certificate or without its key")
	}
	private, err := sealer.Open(ctx, purposeAuthority, secrets[0].Sealed)
	if err != nil {
		return coffer.Errorf(coffer.CodeInvalid, "the key of the certificate authority cannot be decrypted: %w", err).
			WithHint("start the server with the encryption key that it was first started with")
	}
	key, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return fmt.Errorf("the key of the certificate authority is a %T", key)
	}
	return a.use(block.Bytes, signer)
}

func (a *Authority) use(der []byte, key crypto.Signer) (err error) {
	a.key = key
	a.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a.certificate, err = x509.ParseCertificate(der)
	return err
}

// Serve is a tls.Config's GetCertificate for a server that is reached by the hosts, names or addresses: the certificate is made anew
// before it ends.
func (a *Authority) Serve(hosts []string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		// One that was made while the clock was ahead has not begun.
		if now := a.now(); a.served != nil && !now.Before(a.served.Leaf.NotBefore) && now.Before(a.served.Leaf.NotAfter.Add(-serverLife/3)) {
			return a.served, nil
		}
		made, err := a.issue(hosts)
		if err == nil {
			a.served = made
		}
		return made, err
	}
}

func (a *Authority) issue(hosts []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := a.now()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: hosts[0]}, NotBefore: now.Add(-backdated), NotAfter: now.Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	named := certifiable(hosts)
	template.IPAddresses, template.DNSNames = named.IPAddresses, named.DNSNames
	if template.SerialNumber, err = serial(); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: leaf}, err
}

// certifiable is a certificate that has nothing but hosts, names or addresses.
func certifiable(hosts []string) *x509.Certificate {
	c := &x509.Certificate{}
	for _, host := range hosts {
		if address := net.ParseIP(host); address != nil {
			c.IPAddresses = append(c.IPAddresses, address)
		} else {
			c.DNSNames = append(c.DNSNames, host)
		}
	}
	return c
}

// serial is one of 128 random bits, as CAs give them.
func serial() (*big.Int, error) { return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128)) }
