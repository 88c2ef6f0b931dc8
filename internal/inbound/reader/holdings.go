package reader

import (
	"net/http"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow"
)

// holdings answers what backups have made, whether or not anybody knows of it.
func (h *Handler) holdings(r *http.Request, send func(item any) error) error {
	asked, err := content.ReadHoldings(r)
	if err != nil {
		return invalid(err)
	}
	return h.Holdings(r.Context(), asked.StorageLocation, flow.HoldingsTo{
		Location: func(readOnly bool) error {
			return send(content.Holding{Location: &content.HeldLocation{ReadOnly: readOnly}})
		},
		Snapshots: func(s coffer.RunSnapshots) error {
			return send(content.Holding{Snapshots: &content.HeldSnapshots{Run: s.Run, Snapshots: s.Snapshots, Bytes: s.Bytes, Created: s.Created}})
		},
		Archive: func(a flow.Archive) error {
			held := content.HeldArchive{Name: a.Name, Sealed: a.Sealed, Blobs: a.Blobs, Bytes: a.Bytes, Modified: a.Modified.UTC()}
			if b := a.Backup; b != nil {
				held.Backup = &content.HeldBackup{UID: b.UID, Vault: b.Vault, Final: b.Final}
			}
			return send(content.Holding{Archive: &held})
		},
	})
}
