// Package ownership says how a blob container records the one cluster that writes to it.
package ownership

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Key is the blob that names the owner. Its folder is one that Velero allows beside backups.
const Key = "metadata/coffer-owner.json"

// MaxSize bounds the blob.
const MaxSize = 64 << 10

// Owner is the cluster that writes to a container.
type Owner struct {
	// Cluster is the UID of the kube-system namespace, which stands for the cluster.
	Cluster string `json:"cluster"`
	// Name of the cluster for people; may be empty.
	Name string `json:"name,omitempty"`
	// Since is when it claimed the container.
	Since time.Time `json:"since"`
}

// String is how messages name the owner.
func (o Owner) String() string {
	if o.Name == "" {
		return "cluster " + o.Cluster
	}
	return "cluster " + o.Name + " (" + o.Cluster + ")"
}

// Encode is the blob's content.
func Encode(o Owner) ([]byte, error) {
	text, err := json.MarshalIndent(o, "", "  ")
	return append(text, '\n'), err
}

// Decode reads the blob's content. What cannot be understood is an Error: somebody owns the container, and it is not
// known who.
func Decode(data []byte) (Owner, error) {
	var o Owner
	err := json.NewDecoder(bytes.NewReader(data)).Decode(&o)
	if err == nil && o.Cluster != "" {
		return o, nil
	}
	return Owner{}, coffer.Errorf(coffer.CodeLocationNotReady, "the container's %s does not say which cluster writes to it", Key).
		WithHint("see what it holds; if no cluster writes there any more, delete it")
}

// legal are the folders that Velero, and so Coffer, keeps at the top of a container. What is there beside them makes
// Velero refuse the container.
var legal = []string{"backups/", "restores/", "restic/", "metadata/", "plugins/", "kopia/"}

// Foreign returns what of the names at the top of a container is neither Velero's nor Coffer's: nobody's container that
// holds other things is written to.
func Foreign(top []string) []string {
	return slices.DeleteFunc(slices.Clone(top), func(name string) bool {
		// Stores with real folders list them as blobs too.
		return slices.Contains(legal, name) || slices.Contains(legal, name+"/")
	})
}
