package reader

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow"
)

func TestReportsOfRestoreTestsAreServed(t *testing.T) {
	var asked flow.TestReportRequest
	h := New(Config{TestReport: func(_ context.Context, q flow.TestReportRequest) (report, signature []byte, err error) {
		asked = q
		if q.Run == "missing" {
			return nil, nil, coffer.Errorf(coffer.CodeNotFound, "there is no report")
		}
		return []byte("{}\n"), []byte("signed"), nil
	}})
	get := func(q content.Test, more string) (got []content.SignedReport, status int, err error) {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, q.URL().String()+more, nil))
		err = content.Read(answer.Body, func(r content.SignedReport) error { got = append(got, r); return nil })
		return got, answer.Code, err
	}
	q := content.Test{StorageLocation: "default", BackupName: "shop-1", Run: "uid", Encrypted: true}
	got, status, err := get(q, "")
	if err != nil || status != http.StatusOK || len(got) != 1 || string(got[0].Report) != "{}\n" || string(got[0].Signature) != "signed" {
		t.Errorf("%+v, %d, %v", got, status, err)
	}
	if want := (flow.TestReportRequest{StorageLocation: "default", BackupName: "shop-1", Run: "uid", Encrypted: true}); asked != want {
		t.Errorf("asked %+v, want %+v", asked, want)
	}
	if _, status, err := get(q, "&x=1"); status != http.StatusBadRequest || err == nil {
		t.Errorf("a parameter that is not known: %d, %v", status, err)
	}
	if _, status, err := get(content.Test{StorageLocation: "a", BackupName: "b", Run: "missing"}, ""); status != http.StatusNotFound || err == nil {
		t.Errorf("no report: %d, %v", status, err)
	}
}
