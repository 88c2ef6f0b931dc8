package recoverypoint

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func newKey(t *testing.T, seed byte) (ed25519.PrivateKey, string) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return key, SignerText(key.Public().(ed25519.PublicKey))
}

func TestOnlyTheManifestThatATrustedSignerSignedIsAccepted(t *testing.T) {
	key, signer := newKey(t, 1)
	_, other := newKey(t, 2)
	manifest := []byte(`{"name":"shop-1"}`)
	blob, err := Sign(key, manifest)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := Verify("shop-1", manifest, blob, []string{other, signer}); err != nil || who != signer {
		t.Errorf("Verify = %q, %v", who, err)
	}
	forged := []byte(strings.Replace(string(blob), signer, other, 1))
	for name, tt := range map[string]struct {
		manifest, blob []byte
		trusted        []string
		want           coffer.Code
	}{
		"nobody trusted":           {manifest, blob, nil, coffer.CodeSignerNotTrusted},
		"another one trusted":      {manifest, blob, []string{other}, coffer.CodeSignerNotTrusted},
		"altered manifest":         {append([]byte(" "), manifest...), blob, []string{signer}, coffer.CodeArchiveCorrupt},
		"signed in another's name": {manifest, forged, []string{signer, other}, coffer.CodeArchiveCorrupt},
		"no JSON":                  {manifest, []byte("x"), []string{signer}, coffer.CodeArchiveCorrupt},
		"no signer":                {manifest, []byte("{}"), []string{signer, ""}, coffer.CodeArchiveCorrupt},
		"no signature":             {manifest, []byte(`{"signer":"` + signer + `"}`), []string{signer}, coffer.CodeArchiveCorrupt},
		"truncated":                {manifest, blob[:len(blob)/2], []string{signer}, coffer.CodeArchiveCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Verify("shop-1", tt.manifest, tt.blob, tt.trusted); coffer.CodeOf(err) != tt.want {
				t.Errorf("Verify = %v, want code %s", err, tt.want)
			}
		})
	}
}

func TestSignersThatAreNone(t *testing.T) {
	_, signer := newKey(t, 1)
	for _, text := range []string{"", "ed25519:", signer[8:], signer + "A", "rsa:" + signer[8:], signer[:len(signer)-4] + "===="} {
		if _, err := ParseSigner(text); coffer.CodeOf(err) != coffer.CodeInvalid {
			t.Errorf("ParseSigner(%q) = %v", text, err)
		}
	}
}
