package content

import (
	"net/http"
	"net/url"
)

// InventoryPattern is the path of what there is in the cluster to choose from, as http.ServeMux reads it.
const InventoryPattern = "/v1/inventory"

// InventoryURL is the path of an inventory. The answer's one item is an Inventory.
func InventoryURL() *url.URL { return &url.URL{Path: InventoryPattern} }

// ReadInventory reads a request that InventoryPattern has matched. It has no parameters.
func ReadInventory(r *http.Request) error { return readQuery(r, nil, nil) }

// MaxInventory bounds each list of an Inventory.
const MaxInventory = 5000

// Inventory is what somebody who sets up a backup or a restore chooses from. Its lists are sorted.
type Inventory struct {
	ExtensionVersion  string `json:"extensionVersion"`
	KubernetesVersion string `json:"kubernetesVersion"`

	Namespaces []InventoryNamespace `json:"namespaces"`
	Types      []InventoryType      `json:"types"`
	// BackupHooks and RestoreHooks that runs may refer to.
	BackupHooks     []InventoryHook     `json:"backupHooks"`
	RestoreHooks    []InventoryHook     `json:"restoreHooks"`
	StorageClasses  []InventoryClass    `json:"storageClasses"`
	SnapshotClasses []InventoryClass    `json:"snapshotClasses"`
	Locations       []InventoryLocation `json:"storageLocations"`
	// Drivers are the names of the CSI drivers.
	Drivers []string `json:"drivers"`
	// Gaps are what could not be listed, and why.
	Gaps []InventoryGap `json:"gaps,omitempty"`
	// Truncated says that a list has more than MaxInventory entries, of which the first are told.
	Truncated bool `json:"truncated,omitempty"`
}

// InventoryNamespace is a namespace.
type InventoryNamespace struct {
	Name string `json:"name"`
	// Phase is Active or Terminating.
	Phase string `json:"phase"`
	// System says that backups leave it out unless it is named.
	System bool `json:"system,omitempty"`
}

// InventoryType is a type of objects.
type InventoryType struct {
	Group      string `json:"group,omitempty"`
	Version    string `json:"version"`
	Kind       string `json:"kind"`
	Resource   string `json:"resource"`
	Namespaced bool   `json:"namespaced,omitempty"`
}

// InventoryHook names a BackupHook or a RestoreHook.
type InventoryHook struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// InventoryClass is a storage class, or a snapshot class.
type InventoryClass struct {
	Name   string `json:"name"`
	Driver string `json:"driver"`
	// Default says that it is used where none is named.
	Default bool `json:"default,omitempty"`
}

// InventoryLocation is a BackupStorageLocation.
type InventoryLocation struct {
	Name string `json:"name"`
	// Phase is Available or Unavailable, or empty if nobody has looked yet.
	Phase    string `json:"phase,omitempty"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// InventoryGap is what could not be listed, and why.
type InventoryGap struct {
	What   string `json:"what"`
	Reason string `json:"reason"`
}
