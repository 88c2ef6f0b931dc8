package vault

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// clusterLife is how long the certificate of a cluster lasts. Its connector renews it after a third of that.
const clusterLife = 30 * 24 * time.Hour

// The URI by which a certificate names its cluster: coffer://cluster and the id.
const (
	clusterScheme = "coffer"
	clusterHost   = "cluster"
)

// Digest is the SHA-256 of the authority's certificate in hexadecimal digits: by it a connector knows the server before it has anything
// else of it.
func (a *Authority) Digest() string {
	sum := sha256.Sum256(a.certificate.Raw)
	return hex.EncodeToString(sum[:])
}

// Certificate is the authority's own.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// Pool has the authority and no other.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// certifyCluster makes the certificate, in PEM, by which a cluster proves that it is the one that joined under an id. Of the request only
// the key counts. joining says which time of joining it is of: it ends with that.
func (a *Authority) certifyCluster(cluster catalogue.ID, joining string, request *x509.CertificateRequest) ([]byte, error) {
	now := a.now()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: cluster.Name(), SerialNumber: joining},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(clusterLife),
		URIs:     []*url.URL{{Scheme: clusterScheme, Host: clusterHost, Path: string(cluster)}},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	var err error
	if template.SerialNumber, err = serial(); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, request.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// clusterOf is the cluster that a certificate names, and the time of joining that it is of. What this authority has not made for a
// cluster, or what has ended, is refused.
func (a *Authority) clusterOf(peer *x509.Certificate) (cluster catalogue.ID, joining string, err error) {
	refused := func(why string) error {
		return coffer.Errorf(coffer.CodeJoinRefused, "the cluster's certificate is not good: %s", why).
			WithHint("let the cluster join again, with a new join token: coffer cluster join")
	}
	if peer == nil {
		return "", "", refused("there is none")
	}
	_, err = peer.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: a.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return "", "", refused(err.Error())
	}
	if len(peer.URIs) != 1 || peer.URIs[0].Scheme != clusterScheme || peer.URIs[0].Host != clusterHost || peer.Subject.SerialNumber == "" {
		return "", "", refused("it names no cluster")
	}
	id, err := catalogue.ParseID(peer.URIs[0].Path)
	if err != nil {
		return "", "", refused("it names no cluster")
	}
	return id, peer.Subject.SerialNumber, nil
}

// readRequest reads a certificate request in PEM, whose sender has the key. digest is that of the public key.
func readRequest(text []byte) (request *x509.CertificateRequest, digest []byte, err error) {
	refused := func(why string) error {
		return coffer.Errorf(coffer.CodeInvalidInput, "the certificate request cannot be used: %s", why)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, nil, refused("it is not one block CERTIFICATE REQUEST in PEM")
	}
	if request, err = x509.ParseCertificateRequest(block.Bytes); err != nil {
		return nil, nil, refused(err.Error())
	}
	// The key is looked at first: anybody may ask, and how long the signature of an RSA key takes is for whoever made that to say.
	switch key := request.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return nil, nil, refused("its key is of " + key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return nil, nil, refused("its key is neither ECDSA nor Ed25519, but " + strings.ToUpper(request.PublicKeyAlgorithm.String()))
	}
	if err := request.CheckSignature(); err != nil {
		return nil, nil, refused(err.Error())
	}
	sum := sha256.Sum256(request.RawSubjectPublicKeyInfo)
	return request, sum[:], nil
}
