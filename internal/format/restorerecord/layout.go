package restorerecord

import "strings"

// Root is the folder of all records, in one of those that Velero allows beside backups. Its own restores/ is Velero's to
// write, and what is under backups/ does not change once it is sealed.
const Root = "metadata/coffer-restores/"

const (
	planName, reportName = "plan.json.gz", "report.json.gz"
	// encryptedSuffix is what the keys of encrypted records end with.
	encryptedSuffix = ".age"
)

// Prefix is what the keys of all records of the restores of one recovery point begin with.
func Prefix(backup string) string { return Root + backup + "/" }

// Layout names the records of one restore.
type Layout struct {
	// Backup is the recovery point, and Run the UID of the Restore.
	Backup, Run string
	// Encrypted records have other keys.
	Encrypted bool
}

// Plan is the key of the plan.
func (l Layout) Plan() string { return l.key(planName) }

// Report is the key of the report.
func (l Layout) Report() string { return l.key(reportName) }

func (l Layout) key(name string) string {
	if l.Encrypted {
		name += encryptedSuffix
	}
	return Prefix(l.Backup) + l.Run + "/" + name
}

// IsPlan says whether a key is that of a plan.
func IsPlan(key string) bool {
	return strings.HasSuffix(strings.TrimSuffix(key, encryptedSuffix), "/"+planName)
}

// IsEncrypted says whether a key is that of an encrypted record.
func IsEncrypted(key string) bool { return strings.HasSuffix(key, encryptedSuffix) }
