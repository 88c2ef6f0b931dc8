package kube

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestStatusIsPatchedThroughItsSubresource(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(body)
		if r.URL.Path != "/apis/acme.io/v1/namespaces/shop/widgets/one/status" {
			answerStatus(w, http.StatusNotFound, "NotFound", "")
			return
		}
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	c, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	widgets := coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "widgets"}, Version: "v1"}
	if err := c.PatchStatus(t.Context(), widgets, "shop", "one", []byte(`{"status":{}}`)); err != nil {
		t.Error(err)
	}
	const want = `PATCH /apis/acme.io/v1/namespaces/shop/widgets/one/status application/merge-patch+json {"status":{}}`
	if got != want {
		t.Errorf("request %s, want %s", got, want)
	}
	if err := c.PatchStatus(t.Context(), mapType, "shop", "one", []byte(`{"status":{}}`)); coffer.CodeOf(err) != coffer.CodeNotFound {
		t.Errorf("a type without a status: %v", err)
	}
}
