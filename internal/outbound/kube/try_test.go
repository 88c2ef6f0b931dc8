package kube

import (
	"io"
	"net/http"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestTriesAreDryRuns(t *testing.T) {
	var asked []string
	c := newWriter(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.URL.Query().Get("dryRun")+" "+r.URL.Query().Get("fieldManager")+" "+string(body))
		status(w, http.StatusOK, `{"metadata":{"name":"a","uid":"u"}}`)
	})
	me := c.As("me")
	created, err := me.TryCreate(t.Context(), mapType, "ns", []byte(`{"a":1}`))
	if err != nil || string(created) != `{"metadata":{"name":"a","uid":"u"}}` {
		t.Errorf("TryCreate = %s, %v", created, err)
	}
	patched, err := me.TryPatch(t.Context(), mapType, "ns", "a", []byte(`{"b":2}`))
	if err != nil || string(patched) != string(created) {
		t.Errorf("TryPatch = %s, %v", patched, err)
	}
	want := []string{`POST /api/v1/namespaces/ns/configmaps All me {"a":1}`, `PATCH /api/v1/namespaces/ns/configmaps/a All me {"b":2}`}
	if len(asked) != 2 || asked[0] != want[0] || asked[1] != want[1] {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func TestRefusedTries(t *testing.T) {
	for name, c := range map[string]struct {
		code   int
		answer string
		want   coffer.Code
	}{
		"a webhook that has effects": {400, `{"kind":"Status","status":"Failure","reason":"BadRequest","code":400,"message":"admission webhook \"w\" does not support dry run"}`, coffer.CodeNotTryable},
		"a malformed object":         {400, `{"kind":"Status","status":"Failure","reason":"BadRequest","code":400,"message":"no"}`, coffer.CodeRejected},
		"an invalid object":          {422, `{"kind":"Status","status":"Failure","reason":"Invalid","code":422,"message":"no"}`, coffer.CodeRejected},
		"one that exists":            {409, `{"kind":"Status","status":"Failure","reason":"AlreadyExists","code":409}`, coffer.CodeExists},
		"one that is not allowed":    {403, `{"kind":"Status","status":"Failure","reason":"Forbidden","code":403}`, coffer.CodeForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := newWriter(t, func(w http.ResponseWriter, _ *http.Request) { status(w, c.code, c.answer) })
			if _, err := cluster.TryCreate(t.Context(), mapType, "ns", []byte(`{}`)); coffer.CodeOf(err) != c.want {
				t.Errorf("TryCreate = %v", err)
			}
			if _, err := cluster.TryPatch(t.Context(), mapType, "ns", "a", []byte(`{}`)); coffer.CodeOf(err) != c.want {
				t.Errorf("TryPatch = %v", err)
			}
		})
	}
}
