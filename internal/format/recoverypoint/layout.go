package recoverypoint

import "github.com/coffer-backup/coffer/internal/coffer"

// Root is the folder of all recovery points.
const Root = "backups/"

// encryptedSuffix is what the keys of encrypted blobs end with.
const encryptedSuffix = ".age"

// Layout names the blobs of one recovery point.
type Layout struct{ name, suffix string }

// LayoutOf is the layout of the recovery point of this name, if it is not encrypted.
func LayoutOf(name string) Layout { return Layout{name: name} }

// LayoutFor is the layout of a recovery point, encrypted or not.
func LayoutFor(m coffer.Manifest) Layout {
	if m.Encryption != nil {
		return LayoutOf(m.Name).Encrypted()
	}
	return LayoutOf(m.Name)
}

// Encrypted is the layout if it is: the same keys with .age behind them, but for the claim, the manifest and its signature,
// which are never encrypted.
func (l Layout) Encrypted() Layout { return Layout{name: l.name, suffix: encryptedSuffix} }

// IsEncrypted says whether it is the layout of an encrypted recovery point.
func (l Layout) IsEncrypted() bool { return l.suffix != "" }

// Prefix is what the keys of all its blobs begin with.
func (l Layout) Prefix() string { return Root + l.name + "/" }

// Claim is the key of the blob that reserves the name for one run.
func (l Layout) Claim() string { return l.Prefix() + "claim.json" }

// Archive is the key of the objects.
func (l Layout) Archive() string { return l.Prefix() + l.name + ".tar.gz" + l.suffix }

// Index is the key of the archive's index.
func (l Layout) Index() string { return l.Prefix() + "index.json.gz" + l.suffix }

// Coverage is the key of the coverage ledger.
func (l Layout) Coverage() string { return l.Prefix() + "coverage.json.gz" + l.suffix }

// ResourceList is the key of Velero's list of what the archive holds.
func (l Layout) ResourceList() string {
	return l.Prefix() + l.name + "-resource-list.json.gz" + l.suffix
}

// VolumeInfo is the key of Velero's list of volumes.
func (l Layout) VolumeInfo() string { return l.Prefix() + l.name + "-volumeinfo.json.gz" + l.suffix }

// Results is the key of Velero's list of warnings and errors.
func (l Layout) Results() string { return l.Prefix() + l.name + "-results.gz" + l.suffix }

// Logs is the key of the run's log, up to the moment of the seal.
func (l Layout) Logs() string { return l.Prefix() + l.name + "-logs.gz" + l.suffix }

// VeleroBackup is the key by which Velero discovers the recovery point. Encrypted, it does not.
func (l Layout) VeleroBackup() string { return l.Prefix() + "velero-backup.json" + l.suffix }

// Signature is the key of the manifest's signature. It is written before the manifest.
func (l Layout) Signature() string { return l.Prefix() + "manifest.sig" }

// Manifest is the key of the manifest.
func (l Layout) Manifest() string { return l.Prefix() + "manifest.json" }
