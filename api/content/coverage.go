package content

import (
	"net/http"
	"net/url"
	"time"
)

// CoveragePattern is the path of the coverage of a recovery point, as http.ServeMux reads it. Its parameters are those of
// Coverage.
const CoveragePattern = "/v1/storage-locations/{location}/backups/{name}/coverage"

// Coverage asks for the ledger of a recovery point: what was in scope, captured or not, and why. The answer's items are
// CoverageItems.
type Coverage struct{ StorageLocation, BackupName string }

// URL is the path and the query.
func (c Coverage) URL() *url.URL {
	path := func(escape func(string) string) string {
		return "/v1/storage-locations/" + escape(c.StorageLocation) + "/backups/" + escape(c.BackupName) + "/coverage"
	}
	plain := func(s string) string { return s }
	return &url.URL{Path: path(plain), RawPath: path(url.PathEscape)}
}

// ReadCoverage reads what URL wrote, of a request that CoveragePattern has matched. It has no parameters.
func ReadCoverage(r *http.Request) (Coverage, error) {
	return Coverage{StorageLocation: r.PathValue("location"), BackupName: r.PathValue("name")}, readQuery(r, nil, nil)
}

// CoverageKind says what an item of a coverage tells of.
type CoverageKind string

// The kinds, in the order in which they come.
const (
	// CoverageOfPoint is the first item, of the recovery point as a whole.
	CoverageOfPoint CoverageKind = "Point"
	// CoverageNamespace is of a namespace that was captured.
	CoverageNamespace CoverageKind = "Namespace"
	// CoverageCaptured counts the captured objects of a type.
	CoverageCaptured CoverageKind = "Captured"
	// CoverageGap is of a type that should have been captured and could not be read.
	CoverageGap CoverageKind = "Gap"
	// CoverageInconsistent is of a type whose objects are not all of one moment.
	CoverageInconsistent CoverageKind = "Inconsistent"
	// CoverageSkippedType is of a type that was left out by rule or by choice.
	CoverageSkippedType CoverageKind = "SkippedType"
	// CoverageSkippedObject is of an object of a captured type that is not in the recovery point.
	CoverageSkippedObject CoverageKind = "SkippedObject"
	// CoverageNeeded is of a cluster-scoped object that is there because another needs it.
	CoverageNeeded CoverageKind = "Needed"
	// CoverageNotSelected counts the objects of a type that nobody had asked for.
	CoverageNotSelected CoverageKind = "NotSelected"
	// CoverageVolume is of a volume in scope.
	CoverageVolume CoverageKind = "Volume"
)

// CoverageItem is one line of a ledger.
type CoverageItem struct {
	Kind CoverageKind `json:"kind"`
	// What is the namespace or the type.
	What string `json:"what,omitempty"`
	// Objects is how many.
	Objects int64 `json:"objects,omitempty"`
	// Object is the one that is told of.
	Object *Object `json:"object,omitempty"`
	// Code is there if something that was asked for is missing.
	Code   string         `json:"code,omitempty"`
	Reason string         `json:"reason,omitempty"`
	Volume *CoveredVolume `json:"volume,omitempty"`
	Point  *CoveragePoint `json:"point,omitempty"`
}

// CoveragePoint is the recovery point that a ledger is of, as its signed manifest says.
type CoveragePoint struct {
	Name string `json:"name"`
	// Cluster is the UID of the kube-system namespace of the cluster that it is of.
	Cluster   string    `json:"cluster,omitempty"`
	Started   time.Time `json:"started"`
	Completed time.Time `json:"completed"`
	// Objects in the archive.
	Objects int64 `json:"objects"`
	// Whole says that it is of all namespaces, Partial that something in scope is missing.
	Whole   bool `json:"whole,omitempty"`
	Partial bool `json:"partial,omitempty"`
	// Encrypted says that nobody reads it without a private key.
	Encrypted bool `json:"encrypted,omitempty"`
}

// CoveredVolume is a claim in scope, and what became of its data.
type CoveredVolume struct {
	Namespace string `json:"namespace"`
	Claim     string `json:"claim"`
	// Result is Captured or Skipped.
	Result       string `json:"result"`
	StorageClass string `json:"storageClass,omitempty"`
	Driver       string `json:"driver,omitempty"`
	// Size in bytes of a volume made of the snapshot, at least.
	Size int64 `json:"size,omitempty"`
}
