package kube

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestServicesAndPodsAreAskedThroughTheAPIServer(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Method + " " + r.URL.RequestURI()
		switch {
		case strings.Contains(got, "moved"):
			http.Redirect(w, r, "/api/v1/secrets", http.StatusFound)
		case strings.Contains(got, "large"):
			_, _ = io.WriteString(w, strings.Repeat("x", maxAnswer+1))
		default:
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "hello")
		}
	}))
	defer server.Close()
	c, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(change func(*coffer.Ask)) (coffer.Answer, error) {
		got = ""
		a := coffer.Ask{Namespace: "shop", Service: "web", Port: "http", Path: "/", Timeout: time.Minute}
		change(&a)
		return c.Ask(t.Context(), a)
	}
	for _, tt := range []struct {
		name   string
		change func(*coffer.Ask)
		want   string
	}{
		{"a Service", func(*coffer.Ask) {}, "GET /api/v1/namespaces/shop/services/web:http/proxy/"},
		{"a path", func(a *coffer.Ask) { a.Path = "/a%20b/c?d=../e" }, "GET /api/v1/namespaces/shop/services/web:http/proxy/a%20b/c?d=../e"},
		{"a pod with TLS", func(a *coffer.Ask) { a.Service, a.Pod, a.Port, a.TLS = "", "db-0", "8443", true }, "GET /api/v1/namespaces/shop/pods/https:db-0:8443/proxy/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, err := ask(tt.change)
			if err != nil || answer.Status != http.StatusTeapot || answer.Body != "hello" || got != tt.want {
				t.Errorf("%+v, %v, request %s, want %s", answer, err, got, tt.want)
			}
		})
	}
	if answer, err := ask(func(a *coffer.Ask) { a.Path = "/moved" }); err != nil || answer.Status != http.StatusFound || !strings.HasSuffix(got, "/moved") {
		t.Errorf("a redirect: %+v, %v, request %s", answer, err, got)
	}
	if answer, err := ask(func(a *coffer.Ask) { a.Path = "/large" }); err != nil || len(answer.Body) != maxAnswer {
		t.Errorf("a large answer has %d bytes: %v", len(answer.Body), err)
	}
	for name, change := range map[string]func(*coffer.Ask){
		"a path":          func(a *coffer.Ask) { a.Path = "/../../../../secrets" },
		"an escaped path": func(a *coffer.Ask) { a.Path = "/%2e%2e/%2e%2e/secrets" },
		"another host":    func(a *coffer.Ask) { a.Path = "//evil/" },
		"a Service":       func(a *coffer.Ask) { a.Service = "../secrets/x" },
		"a port":          func(a *coffer.Ask) { a.Port = "80/../../.." },
		"a namespace":     func(a *coffer.Ask) { a.Namespace = "../x" },
		"an empty one":    func(a *coffer.Ask) { a.Namespace = "" },
		"an escaped name": func(a *coffer.Ask) { a.Service = "%2e%2e" },
	} {
		if answer, err := ask(change); coffer.CodeOf(err) != coffer.CodeInvalid || got != "" {
			t.Errorf("%s leads elsewhere: %+v, %v, request %s", name, answer, err, got)
		}
	}
}
