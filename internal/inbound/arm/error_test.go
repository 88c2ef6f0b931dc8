package arm

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestWhereTheDatabaseIsIsNotTold(t *testing.T) {
	for code, want := range map[coffer.Code]struct {
		status int
		says   string
	}{
		coffer.CodeDatabaseUnavailable: {http.StatusServiceUnavailable, "try again later"},
		coffer.CodeDatabaseFull:        {http.StatusInsufficientStorage, "make room"},
	} {
		err := coffer.Errorf(code, "the database /secret/place is away").WithHint("look at /secret/place")
		status, body := describe(err, "r1")
		text := body.Error.Message
		if status != want.status || !strings.Contains(text, want.says) || strings.Contains(text, "secret") {
			t.Errorf("%s: %d %q", code, status, text)
		}
	}
}
