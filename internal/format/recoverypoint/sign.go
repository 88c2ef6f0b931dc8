package recoverypoint

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// MaxSignatureSize bounds a signature as read.
const MaxSignatureSize = 4 << 10

// signerPrefix names the algorithm in the text of a public key.
const signerPrefix = "ed25519:"

// signature is what the signature blob holds: an Ed25519 signature (RFC 8032) over the bytes of the manifest blob, so
// that `openssl pkeyutl -verify -rawin` can check it too.
type signature struct {
	// Signer is the text of the public key.
	Signer string `json:"signer"`
	// Signature is 64 bytes.
	Signature []byte `json:"signature"`
}

// SignerText is a public key as people read, list and compare it: "ed25519:" and the key in base64.
func SignerText(key ed25519.PublicKey) string {
	return signerPrefix + base64.StdEncoding.EncodeToString(key)
}

// ParseSigner reads the text of a public key.
func ParseSigner(text string) (ed25519.PublicKey, error) {
	encoded, ok := strings.CutPrefix(text, signerPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize {
		return nil, coffer.Errorf(coffer.CodeInvalid, "%q is not a signer", text).
			WithHint(`a signer is "ed25519:" and 44 characters of base64; see status.signer of the BackupStorageLocation that wrote the recovery point`)
	}
	return key, nil
}

// Sign makes the signature blob of a manifest, or of the report of a restore test.
func Sign(key ed25519.PrivateKey, manifest []byte) ([]byte, error) {
	public, _ := key.Public().(ed25519.PublicKey)
	blob, err := json.Marshal(signature{Signer: SignerText(public), Signature: ed25519.Sign(key, manifest)})
	if err != nil {
		return nil, fmt.Errorf("encode signature: %w", err)
	}
	return append(blob, '\n'), nil
}

// Verify compares the manifest of the recovery point of this name with its signature blob, and answers who signed it.
// A signer that is not among the trusted ones is an Error with CodeSignerNotTrusted whatever the signature is worth, a
// signature that does not fit one with CodeArchiveCorrupt.
func Verify(name string, manifest, blob []byte, trusted []string) (signer string, err error) {
	return verify("recovery point "+name, "manifest of "+name, manifest, blob, trusted)
}

// VerifyReport is Verify for the report of the restore test of this name. A signature is over the bytes alone: that they are those
// of a report, and of which, what is in them says.
func VerifyReport(name string, report, blob []byte, trusted []string) (signer string, err error) {
	return verify("the report of restore test "+name, "report of "+name, report, blob, trusted)
}

func verify(whole, part string, signed, blob []byte, trusted []string) (signer string, err error) {
	var s signature
	if err := json.Unmarshal(blob, &s); err != nil {
		return "", corrupt("signature of %s is not readable: %w", whole, err)
	}
	key, err := ParseSigner(s.Signer)
	if err != nil {
		return "", corrupt("signature of %s names an impossible signer %q", whole, s.Signer)
	}
	// Compared in their one canonical form, which ParseSigner alone does not enforce.
	if s.Signer = SignerText(key); !slices.Contains(trusted, s.Signer) {
		return s.Signer, coffer.Errorf(coffer.CodeSignerNotTrusted, "%s is signed by %s, who is not trusted here", whole, s.Signer)
	}
	if !ed25519.Verify(key, signed, s.Signature) {
		return s.Signer, corrupt("%s is not the one that %s has signed: it was altered", part, s.Signer)
	}
	return s.Signer, nil
}
