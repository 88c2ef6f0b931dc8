package orphan

import "time"

// Holding is one line of what a cluster says that it holds, in the words of its extension's reader: one field is set.
type Holding struct {
	Location  *HeldLocation  `json:"location"`
	Archive   *HeldArchive   `json:"archive"`
	Snapshots *HeldSnapshots `json:"snapshots"`
}

// HeldLocation is the storage location; ReadOnly says that the cluster may not delete there.
type HeldLocation struct {
	ReadOnly bool `json:"readOnly"`
}

// HeldArchive is what lies there under a name.
type HeldArchive struct {
	Name     string    `json:"name"`
	Sealed   bool      `json:"sealed"`
	Blobs    int       `json:"blobs"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
	Backup   *Backup   `json:"backup"`
}

// HeldSnapshots are those that a Backup has left whose object is gone: Run is its UID.
type HeldSnapshots struct {
	Run       string    `json:"run"`
	Snapshots int       `json:"snapshots"`
	Bytes     int64     `json:"bytes"`
	Created   time.Time `json:"created"`
}
