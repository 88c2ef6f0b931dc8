package recoverypoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

const (
	// ManifestFormat is the format version of a recovery point that is not encrypted.
	ManifestFormat = 1
	// EncryptedFormat is that of one that is, and the highest that is read: a Coffer that knows nothing of encryption says
	// that it cannot read it.
	EncryptedFormat = 2
	// EncryptionFormat is the only one there is.
	EncryptionFormat = "age-encryption.org/v1"
	// MaxManifestSize bounds a manifest as read. At about 400 bytes a volume it is room for 150,000 volumes.
	MaxManifestSize = 64 << 20
)

// Claim reserves a recovery point's name for one run.
type Claim struct {
	// Backup is the UID of the Backup object.
	Backup string `json:"backup"`
	// Cluster is the UID of the kube-system namespace of the cluster that it runs in.
	Cluster string `json:"cluster"`
}

// EncodeManifest is the manifest's JSON and its digest: "sha256:" and 64 hexadecimal digits.
func EncodeManifest(m coffer.Manifest) ([]byte, string, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(m); err != nil {
		return nil, "", fmt.Errorf("encode manifest of %s: %w", m.Name, err)
	}
	return buf.Bytes(), digest(buf.Bytes()), nil
}

// manifestLimits leave room for as many volumes as MaxManifestSize does, and for no more in memory.
var manifestLimits = bounded.JSONLimits{Depth: 8, Containers: 200_000, Values: 4_000_000}

// maxBlobs is far more than a recovery point has beside its manifest.
const maxBlobs = 100

// DecodeManifest reads a manifest that claims to be of the recovery point of this name, and its digest. Anything but
// a complete and plausible manifest of this format and name is an Error with CodeArchiveCorrupt.
func DecodeManifest(name string, data []byte) (coffer.Manifest, string, error) {
	var m coffer.Manifest
	if err := bounded.JSON(data, manifestLimits); err != nil {
		return m, "", corrupt("manifest of %s is not readable: %w", name, err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, "", corrupt("manifest of %s is not readable: %w", name, err)
	}
	if m.FormatVersion < 1 || m.FormatVersion > EncryptedFormat {
		return m, "", corrupt("manifest of %s has format version %d; this Coffer reads up to %d", name, m.FormatVersion, EncryptedFormat)
	}
	if m.Name != name {
		return m, "", corrupt("manifest of %s is that of %q", name, m.Name)
	}
	if m.Objects < 0 {
		return m, "", corrupt("manifest of %s counts %d objects", name, m.Objects)
	}
	for _, check := range []func(coffer.Manifest) error{checkEncryption, checkBlobs, checkVolumes} {
		if err := check(m); err != nil {
			return m, "", err
		}
	}
	return m, digest(data), nil
}

func checkEncryption(m coffer.Manifest) error {
	switch e := m.Encryption; {
	case e == nil && m.FormatVersion >= EncryptedFormat, e != nil && m.FormatVersion < EncryptedFormat:
		return corrupt("manifest of %s has a format version that contradicts its encryption", m.Name)
	case e != nil && (e.Format != EncryptionFormat || len(e.Recipients) == 0):
		return corrupt("manifest of %s says that it is encrypted as %q to %d recipients; this Coffer reads %s", m.Name, e.Format, len(e.Recipients), EncryptionFormat)
	}
	return nil
}

func checkBlobs(m coffer.Manifest) error {
	layout := LayoutFor(m)
	if len(m.Blobs) > maxBlobs {
		return corrupt("manifest of %s lists %d blobs", m.Name, len(m.Blobs))
	}
	listed := map[string]bool{}
	for _, b := range m.Blobs {
		name, inside := strings.CutPrefix(b.Key, layout.Prefix())
		if b.Encrypted != layout.IsEncrypted() || b.Encrypted != strings.HasSuffix(b.Key, encryptedSuffix) {
			return corrupt("manifest of %s lists a blob %q that is encrypted where the others are not, or the other way about", m.Name, b.Key)
		}
		plain := inside && !strings.Contains(name, "/") && coffer.CheckBlobKey(b.Key) == nil
		if !plain || listed[b.Key] || b.Size < 0 || len(b.SHA256) != sha256.Size*2 {
			return corrupt("manifest of %s lists an impossible blob %q", m.Name, b.Key)
		}
		listed[b.Key] = true
	}
	for _, needed := range []string{layout.Archive(), layout.Index()} {
		if !listed[needed] {
			return corrupt("manifest of %s does not list %s", m.Name, needed)
		}
	}
	return nil
}

// checkVolumes sees to it that what is restored and deleted by it can be.
func checkVolumes(m coffer.Manifest) error {
	for _, v := range m.Volumes {
		ok := v.Namespace != "" && v.Claim != "" && v.RestoreSize >= 0
		switch v.Result {
		case coffer.VolumeCaptured:
			ok = ok && v.Driver != "" && v.Handle != ""
		case coffer.VolumeSkipped:
		default:
			ok = false
		}
		if !ok {
			return corrupt("manifest of %s lists an impossible volume %q", m.Name, v.Namespace+"/"+v.Claim)
		}
	}
	return nil
}

// Blob finds the digest that the manifest lists for a key.
func Blob(m coffer.Manifest, key string) (coffer.BlobDigest, bool) {
	for _, b := range m.Blobs {
		if b.Key == key {
			return b, true
		}
	}
	return coffer.BlobDigest{}, false
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func corrupt(format string, args ...any) error {
	return coffer.Errorf(coffer.CodeArchiveCorrupt, format, args...)
}
