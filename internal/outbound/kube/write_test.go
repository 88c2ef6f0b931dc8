package kube

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func newWriter(t *testing.T, answer http.HandlerFunc) *Cluster {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	c, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	c.patience = patience{page: 5 * time.Millisecond, attempts: 4, pause: time.Millisecond, busy: 10 * time.Second}
	return c
}

func status(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = fmt.Fprint(w, text)
}

func TestWritesWaitForABusyAPIServer(t *testing.T) {
	var asked atomic.Int32
	c := newWriter(t, func(w http.ResponseWriter, r *http.Request) {
		// Priority and fairness answers in plain text.
		if n := asked.Add(1); n <= 3 {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "Too many requests, please try again later.", http.StatusTooManyRequests)
			return
		}
		if got := r.URL.Query().Get("fieldManager"); got != "me" {
			t.Errorf("field manager %q", got)
		}
		status(w, http.StatusCreated, `{"metadata":{"name":"a"}}`)
	})
	if _, err := c.As("me").Create(t.Context(), mapType, "ns", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if asked.Load() != 4 || c.writes.limit != firstWrites/8 || c.writes.used != 0 {
		t.Errorf("asked %d times, limit %d, used %d", asked.Load(), c.writes.limit, c.writes.used)
	}
}

func TestDeletesOneObjectOnly(t *testing.T) {
	for name, c := range map[string]struct {
		code   int
		answer string
		gone   bool
		want   coffer.Code
	}{
		"gone":                       {200, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}`, true, ""},
		"gone, and told what it was": {200, `{"kind":"Service","metadata":{"name":"a","uid":"u"}}`, true, ""},
		"kept by a finalizer":        {200, `{"kind":"ConfigMap","metadata":{"name":"a","deletionTimestamp":"2026-01-01T00:00:00Z"}}`, false, ""},
		"another one":                {409, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409}`, false, coffer.CodeChanged},
		"none":                       {404, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`, false, coffer.CodeNotFound},
		"not allowed":                {403, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`, false, coffer.CodeForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := newWriter(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				var options struct {
					Preconditions     struct{ UID string }
					PropagationPolicy string
				}
				if err := json.Unmarshal(body, &options); err != nil || options.Preconditions.UID != "u" || options.PropagationPolicy != "Background" {
					t.Errorf("options %s", body)
				}
				status(w, c.code, c.answer)
			})
			gone, err := cluster.Delete(t.Context(), mapType, "ns", "a", "u")
			if gone != c.gone || coffer.CodeOf(err) != c.want {
				t.Errorf("Delete = %v, %v", gone, err)
			}
		})
	}
}

func TestARefusalNamesItsFields(t *testing.T) {
	c := newWriter(t, func(w http.ResponseWriter, _ *http.Request) {
		status(w, http.StatusUnprocessableEntity, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"message":"no",
			"details":{"causes":[{"reason":"FieldValueInvalid","message":"port is taken","field":"spec.ports[0].nodePort"},{"message":"general"}`+
			strings.Repeat(`,{"message":"m","field":"f"}`, 100)+`]}}`)
	})
	err := c.Patch(t.Context(), mapType, "ns", "a", []byte(`{}`))
	fields := coffer.RefusedFields(err)
	if coffer.CodeOf(err) != coffer.CodeRejected || len(fields) != fieldsShown || fields[0] != (coffer.RefusedField{Path: "spec.ports[0].nodePort", Reason: "port is taken"}) {
		t.Errorf("%v: %v", err, fields)
	}
}

// TestWhatIsNeverTakenIsFinal has answers after which nothing is to be gained by asking again, and others.
func TestWhatIsNeverTakenIsFinal(t *testing.T) {
	for code, want := range map[int]coffer.Code{
		http.StatusMethodNotAllowed:           coffer.CodeRejected,
		http.StatusUnsupportedMediaType:       coffer.CodeRejected,
		http.StatusUnavailableForLegalReasons: coffer.CodeRejected, // Webhooks deny with any code.
		http.StatusConflict:                   coffer.CodeServerError,
		http.StatusUnauthorized:               "",
		http.StatusRequestTimeout:             "",
		http.StatusGone:                       "",
		http.StatusBadGateway:                 "",
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			cluster := newWriter(t, func(w http.ResponseWriter, _ *http.Request) {
				reason := map[int]string{405: "MethodNotAllowed", 409: "Conflict", 415: "UnsupportedMediaType"}[code]
				status(w, code, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code))
			})
			for what, write := range map[string]func() error{
				"create": func() error { _, err := cluster.Create(t.Context(), mapType, "ns", []byte(`{}`)); return err },
				"patch":  func() error { return cluster.Patch(t.Context(), mapType, "ns", "a", []byte(`{}`)) },
				"delete": func() error { _, err := cluster.Delete(t.Context(), mapType, "ns", "a", "u"); return err },
			} {
				if what == "delete" && code == http.StatusConflict {
					continue
				}
				if err := write(); coffer.CodeOf(err) != want || err == nil {
					t.Errorf("%s: %q %v, want %q", what, coffer.CodeOf(err), err, want)
				}
			}
		})
	}
}

// TestAPodWaitsForItsDefaultServiceAccount has the words of a real API server about a Pod in a namespace that was made a moment ago.
func TestAPodWaitsForItsDefaultServiceAccount(t *testing.T) {
	for account, want := range map[string]coffer.Code{"default": coffer.CodeServerError, "robot": coffer.CodeForbidden} {
		cluster := newWriter(t, func(w http.ResponseWriter, _ *http.Request) {
			message := fmt.Sprintf(`pods \"box\" is forbidden: error looking up service account ns/%s: serviceaccount \"%[1]s\" not found`, account)
			status(w, http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"`+message+`"}`)
		})
		if _, err := cluster.Create(t.Context(), mapType, "ns", []byte(`{}`)); coffer.CodeOf(err) != want {
			t.Errorf("of %s: %q %v, want %q", account, coffer.CodeOf(err), err, want)
		}
	}
}
