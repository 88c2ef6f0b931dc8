package clusterclient

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

func newClients(t *testing.T) (c *vaultworld.Cluster, one, other *Client) {
	t.Helper()
	c = vaultworld.NewCluster(t, func() time.Time { return time.Unix(1, 0) }, catalogue.ClusterInfo{Namespace: "coffer"})
	c.Bind("vault-one", true)
	c.Bind("vault-other", true)
	return c, New(c, "vault-one"), New(c, "vault-other")
}

func TestARunIsMadeOnceAndCancelled(t *testing.T) {
	c, one, _ := newClients(t)
	var uids []string
	for range 2 {
		run, err := one.Create(t.Context(), job.Backup, "b", v1alpha1.BackupSpec{IncludedNamespaces: []string{"app"}})
		if err != nil {
			t.Fatal(err)
		}
		uids = append(uids, run.UID)
	}
	if uids[0] != uids[1] || c.Made() != 1 || c.Get("backups", "b", "kind") != "Backup" {
		t.Errorf("made twice: %v, %v", uids, c.Get("backups", "b"))
	}
	if run, err := one.Cancel(t.Context(), job.Backup, "b"); err != nil || !run.Cancel {
		t.Errorf("cancelled: %+v, %v", run, err)
	}
	for range 2 {
		if err := one.Delete(t.Context(), job.Backup, "b"); err != nil {
			t.Error(err)
		}
	}
	if _, err := one.Read(t.Context(), job.Backup, "b"); coffer.CodeOf(err) != coffer.CodeNotFound {
		t.Errorf("deleted: %v", err)
	}
}

func TestWhatAnotherVaultHasMadeIsNotThere(t *testing.T) {
	c, one, other := newClients(t)
	if _, err := other.Create(t.Context(), job.Restore, "r", v1alpha1.RestoreSpec{}); err != nil {
		t.Fatal(err)
	}
	c.Put("restores", "people", nil)
	for _, name := range []string{"r", "people"} {
		if _, err := one.Read(t.Context(), job.Restore, name); coffer.CodeOf(err) != coffer.CodeNotFound {
			t.Errorf("%s is read: %v", name, err)
		}
		if _, err := one.Cancel(t.Context(), job.Restore, name); coffer.CodeOf(err) != coffer.CodeNotFound || c.Get("restores", name, "spec", "cancel") != nil {
			t.Errorf("%s is cancelled: %v", name, err)
		}
		if err := one.Delete(t.Context(), job.Restore, name); err != nil || c.Get("restores", name) == nil {
			t.Errorf("%s is deleted: %v", name, err)
		}
		if _, err := one.Create(t.Context(), job.Restore, name, v1alpha1.RestoreSpec{}); coffer.CodeOf(err) != coffer.CodeConflict {
			t.Errorf("%s is taken for one's own: %v", name, err)
		}
	}
}

func TestRunsAreListedInPages(t *testing.T) {
	c, one, _ := newClients(t)
	var want []string
	for i := range 120 {
		name := fmt.Sprintf("r%03d", i)
		want = append(want, name)
		c.Put("restores", name, map[string]string{job.VaultLabel: "vault-one"})
	}
	c.Put("restores", "a", map[string]string{job.VaultLabel: "vault-other"})
	for _, limit := range []int{500, 70} {
		found, err := one.List(t.Context(), job.Restore, limit)
		var names []string
		for _, r := range found {
			names = append(names, r.Name)
		}
		if err != nil || !slices.Equal(names, want[:min(limit, 120)]) {
			t.Errorf("up to %d: %v, %v", limit, names, err)
		}
	}
}

// said is a session whose API server answers everything so.
type said struct {
	catalogue.ClusterSession
	server *httptest.Server
}

func (s said) Info() catalogue.ClusterInfo { return catalogue.ClusterInfo{Namespace: "coffer"} }

func (s said) Kubernetes(string) http.RoundTripper { return s }

func (s said) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(s.server.URL, "http://")
	return http.DefaultTransport.RoundTrip(r)
}

func TestWhatAnAPIServerAnswersIsJudged(t *testing.T) {
	status := func(code int, reason, message, name string) string {
		return fmt.Sprintf(`{"kind":"Status","status":"Failure","code":%d,"reason":%q,"message":%q,"details":{"name":%q}}`, code, reason, message, name)
	}
	for _, tt := range []struct {
		what      string
		status    int
		body      string
		code      coffer.Code
		transient bool
	}{
		{"no role", 403, status(403, "Forbidden", `backups is forbidden: User "x" cannot get resource "backups"`, "b"), coffer.CodeTrustedAccessMissing, false},
		{"an admission rule", 403, status(403, "Forbidden", "admission webhook denied the request", "b"), coffer.CodeForbidden, false},
		{"no such object", 404, status(404, "NotFound", "not found", "b"), coffer.CodeNotFound, false},
		{"no such kind", 404, "404 page not found", coffer.CodeExtensionNotFound, false},
		{"an API server that is busy", 429, status(429, "TooManyRequests", "later", ""), coffer.CodeClusterNotReachable, true},
		{"one that is ill", 500, "oops", coffer.CodeClusterNotReachable, true},
		{"one that does not know the connector any more", 401, status(401, "Unauthorized", "Unauthorized", ""), coffer.CodeClusterNotReachable, true},
		{"a spec that it does not take", 422, status(422, "Invalid", "spec is wrong", "b"), coffer.CodeRejected, false},
		{"a redirect", 302, "", coffer.CodeRejected, false},
		{"no JSON", 200, "<html>", coffer.CodeServerError, false},
		{"another object", 200, `{"metadata":{"uid":"u","name":"c","labels":{"` + job.VaultLabel + `":"vault-one"}}}`, coffer.CodeNotFound, false},
		{"too much", 200, `{"a":"` + strings.Repeat("x", maxAnswer) + `"}`, coffer.CodeServerError, false},
		{"too deep", 200, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), coffer.CodeServerError, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://169.254.169.254/")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			}))
			defer server.Close()
			_, err := New(said{server: server}, "vault-one").Read(t.Context(), job.Backup, "b")
			if coffer.CodeOf(err) != tt.code || coffer.Final(err) == tt.transient {
				t.Errorf("%v (%s)", err, coffer.CodeOf(err))
			}
		})
	}
}

func TestAClusterThatDoesNotAnswerIsTriedAgain(t *testing.T) {
	c, one, _ := newClients(t)
	for _, lost := range []bool{false, true} {
		c.DieAt(0, lost)
		_, err := one.Create(t.Context(), job.Backup, fmt.Sprint("b", lost), v1alpha1.BackupSpec{})
		if coffer.CodeOf(err) != coffer.CodeClusterNotReachable || coffer.Final(err) {
			t.Errorf("lost %v: %v", lost, err)
		}
	}
	if _, err := one.Create(t.Context(), job.Backup, "btrue", v1alpha1.BackupSpec{}); err != nil || c.Made() != 1 {
		t.Errorf("after an answer was lost: %v, made %d", err, c.Made())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := one.Read(ctx, job.Backup, "btrue"); coffer.CodeOf(err) != "" {
		t.Errorf("nobody waits: %v", err)
	}
}
