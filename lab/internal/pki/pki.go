// Package pki issues the certificates of a cluster.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime is long enough for any lab, which is thrown away rather than renewed.
const lifetime = 10 * 365 * 24 * time.Hour

// Authority signs certificates.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// PEM is the authority's own certificate.
	PEM []byte
}

// Request is a certificate to issue. One with hosts may serve; every one may be used as a client.
type Request struct {
	// Name is the file name, without extension.
	Name string
	// User and Groups are who the bearer is to the API server.
	User   string
	Groups []string
	// Hosts are the names and addresses the bearer serves on.
	Hosts []string
}

// NewAuthority makes a self-signed authority and writes it to folder as name.crt and name.key.
func NewAuthority(folder, name string, now time.Time) (*Authority, error) {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "coffer-lab-" + name},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	authority := &Authority{}
	content, err := authority.issue(folder, name, template, now)
	if err != nil {
		return nil, err
	}
	authority.PEM = content
	return authority, nil
}

// Issue signs a certificate and writes it and its key to folder.
func (a *Authority) Issue(folder string, request Request, now time.Time) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("issue certificate %s: %w", request.Name, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: request.User, Organization: request.Groups},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, host := range request.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	_, err = a.issue(folder, request.Name, template, now)
	return err
}

// issue signs template with a new key; an authority without a certificate signs itself.
func (a *Authority) issue(folder, name string, template *x509.Certificate, now time.Time) ([]byte, error) {
	// An hour back, for clocks that are set while the cluster runs.
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(lifetime)
	key, err := WriteKey(filepath.Join(folder, name+".key"))
	if err != nil {
		return nil, err
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, fmt.Errorf("issue certificate %s: %w", name, err)
	}
	if a.certificate == nil {
		if a.certificate, err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("issue certificate %s: %w", name, err)
		}
		a.key = key
	}
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(folder, name+".crt"), content, 0o644); err != nil {
		return nil, fmt.Errorf("write certificate %s: %w", name, err)
	}
	return content, nil
}

// WriteKey makes a private key and writes it, readable by its owner only.
func WriteKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a private key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	content := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return nil, fmt.Errorf("write a private key: %w", err)
	}
	return key, nil
}
