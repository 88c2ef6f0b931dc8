package arm

// MeterReading is what a backup instance took up on a day, or days in a row that were not measured.
type MeterReading struct {
	// Day and Through are dates in UTC, such as 2026-11-22. Through is there where days in a row were not measured.
	Day     string `json:"day"`
	Through string `json:"through,omitempty"`
	// Measured is false for days of which nothing is known.
	Measured bool `json:"measured"`
	// BackupInstanceID is the instance, which may be gone since.
	BackupInstanceID string `json:"backupInstanceId,omitempty"`
	// Namespaces are those protected, and RecoveryPoints how many there were.
	Namespaces     int `json:"namespaces"`
	RecoveryPoints int `json:"recoveryPoints"`
	// SnapshotBytes is how large volumes made of the snapshots would be at least, ArchiveBytes what the archives took up, and VaultBytes what
	// the vault tier took up, which is kept with a redundancy.
	SnapshotBytes int64 `json:"snapshotBytes"`
	ArchiveBytes  int64 `json:"archiveBytes"`
	VaultBytes    int64 `json:"vaultBytes"`
	Redundancy    Word  `json:"redundancy,omitempty"`
}
