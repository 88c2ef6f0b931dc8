package recoverypoint

// Root is the folder of all recovery points.
const Root = "backups/"

// Layout names the blobs of one recovery point.
type Layout struct{ name string }

// LayoutOf is the layout of the recovery point of this name.
func LayoutOf(name string) Layout { return Layout{name: name} }

// Prefix is what the keys of all its blobs begin with.
func (l Layout) Prefix() string { return Root + l.name + "/" }

// Claim is the key of the blob that reserves the name for one run.
func (l Layout) Claim() string { return l.Prefix() + "claim.json" }

// Archive is the key of the objects.
func (l Layout) Archive() string { return l.Prefix() + l.name + ".tar.gz" }

// Index is the key of the archive's index.
func (l Layout) Index() string { return l.Prefix() + "index.json.gz" }

// Coverage is the key of the coverage ledger.
func (l Layout) Coverage() string { return l.Prefix() + "coverage.json.gz" }

// ResourceList is the key of Velero's list of what the archive holds.
func (l Layout) ResourceList() string { return l.Prefix() + l.name + "-resource-list.json.gz" }

// VolumeInfo is the key of Velero's list of volumes.
func (l Layout) VolumeInfo() string { return l.Prefix() + l.name + "-volumeinfo.json.gz" }

// Results is the key of Velero's list of warnings and errors.
func (l Layout) Results() string { return l.Prefix() + l.name + "-results.gz" }

// Logs is the key of the run's log, up to the moment of the seal.
func (l Layout) Logs() string { return l.Prefix() + l.name + "-logs.gz" }

// VeleroBackup is the key by which Velero discovers the recovery point.
func (l Layout) VeleroBackup() string { return l.Prefix() + "velero-backup.json" }

// Signature is the key of the manifest's signature. It is written before the manifest.
func (l Layout) Signature() string { return l.Prefix() + "manifest.sig" }

// Manifest is the key of the manifest.
func (l Layout) Manifest() string { return l.Prefix() + "manifest.json" }
