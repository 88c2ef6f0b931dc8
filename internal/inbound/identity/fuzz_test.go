package identity_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// FuzzAuthenticate holds that nothing but the token itself is somebody, and that all else is refused with a code.
func FuzzAuthenticate(f *testing.F) {
	w := newWorld(f)
	token := w.mustToken(f)
	parts := strings.Split(token, ".")
	f.Add("Bearer " + token)
	f.Add("bearer  " + parts[0] + "." + parts[1] + ".")
	f.Add("Bearer eyJhbGciOiJub25lIn0." + parts[1] + ".")
	f.Fuzz(func(t *testing.T, header string) {
		who, err := w.authority.Authenticate(t.Context(), header)
		if err == nil && !strings.HasSuffix(strings.TrimSpace(header), token) {
			t.Errorf("%q is %+v", header, who)
		}
		if err != nil && (coffer.CodeOf(err) == "" || who.ObjectID != "") {
			t.Errorf("%q: %+v, %v", header, who, err)
		}
	})
}

// FuzzToken holds that only the right secret gets a token, and that all answers are OAuth's.
func FuzzToken(f *testing.F) {
	w := newWorld(f)
	secret := string(w.credential.Secret)
	f.Add(w.form().Encode(), "")
	f.Add(w.form("client_secret", "").Encode(), "Basic Y29mZmVyOnNlY3JldA==")
	f.Fuzz(func(t *testing.T, body, header string) {
		r := httptest.NewRequest(http.MethodPost, tokens, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", header)
		answer := httptest.NewRecorder()
		w.authority.ServeHTTP(answer, r)
		w.Clock.Move(100_000_000)
		decoded := mustDecode(t, answer)
		if answer.Code == http.StatusOK && !strings.Contains(body, secret) {
			t.Errorf("%q, %q got a token", body, header)
		}
		if answer.Code != http.StatusOK && decoded["error"] == "" || answer.Code >= 500 {
			t.Errorf("%q, %q: %d %s", body, header, answer.Code, answer.Body)
		}
	})
}
