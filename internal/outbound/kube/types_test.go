package kube

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// A cluster that serves autoscaling/v1 and prefers v2 is asked without aggregated discovery, as an old one is.
func TestEveryServedVersionIsFoundThePreferredOneFirst(t *testing.T) {
	resources := func(version, more string) string {
		return fmt.Sprintf(`{"kind":"APIResourceList","groupVersion":"autoscaling/%s","resources":[
			{"name":"horizontalpodautoscalers","kind":"HorizontalPodAutoscaler","namespaced":true,"verbs":["create","list"]},
			{"name":"horizontalpodautoscalers/status","kind":"HorizontalPodAutoscaler","namespaced":true,"verbs":["get"]}%s]}`, version, more)
	}
	answers := map[string]string{
		"/api": `{"kind":"APIVersions","versions":["v1"]}`,
		"/api/v1": `{"kind":"APIResourceList","groupVersion":"v1","resources":[
			{"name":"secrets","kind":"Secret","namespaced":true,"verbs":["create","list"]},{"name":"bindings","kind":"Binding","namespaced":true,"verbs":["create"]}]}`,
		"/apis": `{"kind":"APIGroupList","groups":[{"name":"autoscaling","versions":[{"groupVersion":"autoscaling/v1","version":"v1"},
			{"groupVersion":"autoscaling/v2","version":"v2"}],"preferredVersion":{"groupVersion":"autoscaling/v2","version":"v2"}}]}`,
		"/apis/autoscaling/v1": resources("v1", `,{"name":"olds","kind":"Old","namespaced":true,"verbs":["create","list"]}`),
		"/apis/autoscaling/v2": resources("v2", ""),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if answers[r.URL.Path] == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = fmt.Fprint(w, answers[r.URL.Path])
	}))
	t.Cleanup(server.Close)
	c, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	versions := func(types []coffer.ResourceType, resource string) (found []string) {
		for _, x := range types {
			if x.Resource == resource {
				found = append(found, x.Version)
			}
		}
		return found
	}
	all, gaps, err := c.Versions(t.Context())
	if err != nil || len(gaps) > 0 {
		t.Fatalf("%v, %v", gaps, err)
	}
	for resource, want := range map[string][]string{"horizontalpodautoscalers": {"v2", "v1"}, "olds": {"v1"}, "secrets": {"v1"}, "bindings": nil} {
		if got := versions(all, resource); !slices.Equal(got, want) {
			t.Errorf("%s is served at %v, want %v", resource, got, want)
		}
	}
	preferred, _, err := c.Types(t.Context())
	if got := versions(preferred, "horizontalpodautoscalers"); err != nil || !slices.Equal(got, []string{"v2"}) {
		t.Errorf("preferred: %v, %v", got, err)
	}
}
