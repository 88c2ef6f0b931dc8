package content

import (
	"net/http"
	"net/url"
	"time"
)

// HoldingsPattern is the path of what lies in a storage location, and of what backups have left in the cluster, as http.ServeMux reads it.
const HoldingsPattern = "/v1/storage-locations/{location}/holdings"

// Holdings asks for what backups have made, whether or not anybody knows of it. The answer's items are Holdings: first the location, and then
// snapshots that were left, and archives in the order of their names.
type Holdings struct {
	StorageLocation string
}

// URL is the path.
func (h Holdings) URL() *url.URL {
	path := func(escape func(string) string) string {
		return "/v1/storage-locations/" + escape(h.StorageLocation) + "/holdings"
	}
	return &url.URL{Path: path(func(s string) string { return s }), RawPath: path(url.PathEscape)}
}

// ReadHoldings reads what URL wrote, of a request that HoldingsPattern has matched.
func ReadHoldings(r *http.Request) (Holdings, error) {
	return Holdings{StorageLocation: r.PathValue("location")}, readQuery(r, nil, nil)
}

// Holding is one of them: one field is set.
type Holding struct {
	Location  *HeldLocation  `json:"location,omitempty"`
	Archive   *HeldArchive   `json:"archive,omitempty"`
	Snapshots *HeldSnapshots `json:"snapshots,omitempty"`
}

// HeldLocation is the storage location itself.
type HeldLocation struct {
	// ReadOnly says that this cluster may not delete there, by its settings or because another one writes there.
	ReadOnly bool `json:"readOnly,omitempty"`
}

// HeldArchive is what lies there under the name of a recovery point of Coffer's. Velero's own backups are none.
type HeldArchive struct {
	Name string `json:"name"`
	// Sealed says that its manifest is there: it is a whole recovery point. Otherwise it is what a backup that is under way or has died wrote.
	Sealed bool `json:"sealed,omitempty"`
	// Blobs and Bytes are how much there is, and Modified is when the last of them was stored.
	Blobs    int       `json:"blobs"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
	// Backup is the Backup object of that name and location, if there is one.
	Backup *HeldBackup `json:"backup,omitempty"`
}

// HeldBackup is a Backup object.
type HeldBackup struct {
	UID string `json:"uid"`
	// Vault is the identity of the vault that made it; empty if it was somebody else.
	Vault string `json:"vault,omitempty"`
	// Final says that its run has ended.
	Final bool `json:"final,omitempty"`
}

// HeldSnapshots are snapshots that a Backup has cut whose object is not in the cluster any more: nobody removes them.
type HeldSnapshots struct {
	// Run is the UID that the Backup had.
	Run string `json:"run"`
	// Snapshots is how many there are, Bytes how large volumes made of them would be at least, and Created is when the first was cut.
	Snapshots int       `json:"snapshots"`
	Bytes     int64     `json:"bytes"`
	Created   time.Time `json:"created"`
}
