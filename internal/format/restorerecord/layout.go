package restorerecord

import (
	"path"
	"strings"
)

// Root is the folder of all records, in one of those that Velero allows beside backups. Its own restores/ is Velero's to
// write, and what is under backups/ does not change once it is sealed.
const Root = "metadata/coffer-restores/"

const (
	planPrefix, planSuffix = "plan-", ".json.gz"
	reportName             = "report.json.gz"
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

// Plan is the key of the plan with a digest, of which it bears the beginning: what somebody else has put in its place is told
// by its digest, and never taken for it.
func (l Layout) Plan(digest string) string {
	const shown = 16
	digest = strings.TrimPrefix(digest, digestPrefix)
	return l.key(planPrefix + digest[:min(shown, len(digest))] + planSuffix)
}

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
	name := strings.TrimSuffix(path.Base(key), encryptedSuffix)
	return strings.HasPrefix(name, planPrefix) && strings.HasSuffix(name, planSuffix)
}

// IsEncrypted says whether a key is that of an encrypted record.
func IsEncrypted(key string) bool { return strings.HasSuffix(key, encryptedSuffix) }
