package reader

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// coverage answers the ledger of a recovery point.
func (h *Handler) coverage(r *http.Request, send func(item any) error) error {
	asked, err := content.ReadCoverage(r)
	if err != nil {
		return invalid(err)
	}
	manifest, ledger, err := h.Coverage(r.Context(), asked.StorageLocation, asked.BackupName)
	if err != nil {
		return err
	}
	return eachCovered(manifest, ledger, func(item content.CoverageItem) error { return send(item) })
}

// eachCovered calls each for the lines of a ledger.
func eachCovered(m coffer.Manifest, c coffer.Coverage, each func(content.CoverageItem) error) error {
	err := each(content.CoverageItem{Kind: content.CoverageOfPoint, Point: &content.CoveragePoint{
		Name: m.Name, Cluster: m.Cluster, Started: m.Started, Completed: m.Completed, Objects: m.Objects, Whole: m.Whole, Partial: m.Partial,
		Encrypted: m.Encryption != nil,
	}})
	for _, name := range c.Namespaces {
		err = orNext(err, each, content.CoverageItem{Kind: content.CoverageNamespace, What: name})
	}
	for _, t := range slices.Sorted(maps.Keys(c.Captured)) {
		err = orNext(err, each, content.CoverageItem{Kind: content.CoverageCaptured, What: t, Objects: c.Captured[t]})
	}
	for _, gaps := range []struct {
		kind content.CoverageKind
		of   []coffer.TypeGap
	}{{content.CoverageGap, c.Gaps}, {content.CoverageInconsistent, c.Inconsistent}, {content.CoverageSkippedType, c.SkippedTypes}} {
		for _, g := range gaps.of {
			err = orNext(err, each, content.CoverageItem{Kind: gaps.kind, What: g.What, Reason: g.Reason})
		}
	}
	for _, o := range c.SkippedObjects {
		ref := shownRef(o.ObjectRef)
		err = orNext(err, each, content.CoverageItem{Kind: content.CoverageSkippedObject, Object: &ref, Code: string(o.Code), Reason: o.Reason})
	}
	for _, o := range c.Needed {
		ref := shownRef(o.ObjectRef)
		err = orNext(err, each, content.CoverageItem{Kind: content.CoverageNeeded, Object: &ref, Reason: o.Reason})
	}
	for _, n := range c.NotSelected {
		err = orNext(err, each, content.CoverageItem{Kind: content.CoverageNotSelected, What: n.What, Reason: n.Reason, Objects: n.Objects})
	}
	for _, v := range c.Volumes {
		err = orNext(err, each, content.CoverageItem{Kind: content.CoverageVolume, Code: string(v.Code), Reason: v.Reason, Volume: &content.CoveredVolume{
			Namespace: v.Namespace, Claim: v.Claim, Result: string(v.Result), StorageClass: v.StorageClass, Driver: v.Driver, Size: v.RestoreSize,
		}})
	}
	return err
}

// orNext goes on unless there was an error.
func orNext(err error, each func(content.CoverageItem) error, item content.CoverageItem) error {
	if err != nil {
		return err
	}
	return each(item)
}

// logKinds are the kinds of runs, by how paths name them.
var logKinds = map[string]string{content.LogsOfBackup: "Backup", content.LogsOfRestore: "Restore", content.LogsOfDeleteBackup: "DeleteBackup"}

// logs answers the log of a run.
func (h *Handler) logs(r *http.Request, send func(item any) error) error {
	asked, err := content.ReadLogs(r)
	if err != nil {
		return invalid(err)
	}
	return h.Logs(r.Context(), logKinds[asked.Kind], asked.Name, func(text []byte) error {
		return send(content.LogPiece{Text: strings.ToValidUTF8(string(text), "?")})
	})
}

// inventory answers what there is in the cluster.
func (h *Handler) inventory(r *http.Request, send func(item any) error) error {
	if err := content.ReadInventory(r); err != nil {
		return invalid(err)
	}
	found, err := h.Inventory(r.Context())
	if err != nil {
		return err
	}
	return send(shownInventory(found))
}
