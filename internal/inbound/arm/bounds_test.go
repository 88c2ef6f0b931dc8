package arm

import (
	"net/http"
	"strings"
	"testing"
)

// TestWhatIsKeptCanBeReadAgain holds that no body is taken which, with what the server adds, is more than the server itself would read:
// such a resource could never be changed again.
func TestWhatIsKeptCanBeReadAgain(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	start := strings.TrimSuffix(vaultBody, "}")
	for what, body := range map[string]string{
		"a large body":         start + `,"x":"` + strings.Repeat("a", maxBody-len(vaultBody)-8) + `"}`,
		"a body of many words": start + `,"x":[` + strings.Repeat("1,", 199_960) + `1]}`,
		"one that escapes":     start + `,"x":"` + strings.Repeat("<", (maxBody-len(vaultBody)-8)) + `"}`,
	} {
		if len(body) > maxBody {
			t.Fatalf("%s has %d bytes", what, len(body))
		}
		got := w.do("owner", http.MethodPut, vaultID+version, body)
		if again := w.do("owner", http.MethodPut, vaultID+version, vaultBody); again.status > 201 {
			t.Errorf("%s was answered %d, and the vault cannot be changed any more: %d %.300s", what, got.status, again.status, again.text)
		}
		w.must(200, http.MethodDelete, vaultID+version, "")
	}
}
