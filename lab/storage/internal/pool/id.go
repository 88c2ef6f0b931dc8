package pool

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
)

// idPattern is what volumeID and snapshotID produce; anything else never names a file of the pool,
// which also keeps a made-up id from leaving the pool's folder.
const idPattern = `^(vol|snap)-[0-9a-f]{32}$`

// VolumeID is the id of the volume that was, or will be, created under the request name.
// The same name always gives the same id, so a retried request finds its own work. Request names
// carry the UID of a claim, so ids of clusters that share a pool do not meet.
func VolumeID(name string) string { return "vol-" + digest(name) }

// SnapshotID is the id of the snapshot that was, or will be, created under the request name.
func SnapshotID(name string) string { return "snap-" + digest(name) }

// IsID reports whether id has the form of a volume or snapshot id.
func IsID(id string) bool {
	matched, err := regexp.MatchString(idPattern, id)
	return err == nil && matched
}

func digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}
