package reader

import (
	"net/http"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/flow"
)

// testReport answers the report of a restore test and its signature.
func (h *Handler) testReport(r *http.Request, send func(item any) error) error {
	asked, err := content.ReadTest(r)
	if err != nil {
		return invalid(err)
	}
	report, signature, err := h.TestReport(r.Context(), flow.TestReportRequest{
		StorageLocation: asked.StorageLocation, BackupName: asked.BackupName, Run: asked.Run, Encrypted: asked.Encrypted,
	})
	if err != nil {
		return err
	}
	return send(content.SignedReport{Report: report, Signature: signature})
}
