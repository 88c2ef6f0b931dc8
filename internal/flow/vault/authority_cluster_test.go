package vault

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

// Whoever reaches the link address can send a certificate request. How long the signature of an RSA key takes is for whoever made the key to
// say: seconds, with one that is as large as the request may be.
func TestTheSignatureOfAKeyThatIsRefusedAnywayIsNotVerified(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	// Had it been verified, it would have been refused for that.
	der[len(der)-1] ^= 1
	_, _, err = readRequest(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	if err == nil || !strings.Contains(err.Error(), "its key is neither ECDSA nor Ed25519") {
		t.Errorf("it is refused with %v", err)
	}
}
