package accessreview

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// reviewer asks an API server that gives the one answer.
func reviewer(t *testing.T, answer func(body []byte) any) Reviewer {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer(body)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	c, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	return Reviewer{Client: c, Namespace: "ns", VaultsNamespace: "ns-vaults"}
}

func TestOnlyATokenOfTheConnectorForTheExtensionIsKnown(t *testing.T) {
	const connector = "system:serviceaccount:ns:coffer-connector"
	for _, tt := range []struct {
		name   string
		status authenticationv1.TokenReviewStatus
		want   bool
	}{
		{"the connector's", authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: connector}, Audiences: []string{"coffer-extension"}}, true},
		{"one for others", authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: connector}, Audiences: []string{"kubernetes"}}, false},
		{"of an API server without audiences", authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: connector}}, false},
		{"of another namespace", authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "system:serviceaccount:nz:coffer-connector"}, Audiences: []string{"coffer-extension"}}, false},
		{"a vault's", authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "system:serviceaccount:ns-vaults:vault-1"}, Audiences: []string{"coffer-extension"}}, false},
		{"one that is not valid", authenticationv1.TokenReviewStatus{User: authenticationv1.UserInfo{Username: connector}, Audiences: []string{"coffer-extension"}, Error: "expired"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := reviewer(t, func(body []byte) any {
				if !strings.Contains(string(body), `"audiences":["coffer-extension"]`) || !strings.Contains(string(body), `"token":"secret"`) {
					t.Errorf("asked %s", body)
				}
				return authenticationv1.TokenReview{Status: tt.status}
			})
			if got, err := r.Connector(t.Context(), "secret"); err != nil || got != tt.want {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestAVaultIsJudgedAsItsIdentity(t *testing.T) {
	identity := "vault-" + strings.Repeat("0a", 20)
	for _, allowed := range []bool{true, false} {
		r := reviewer(t, func(body []byte) any {
			var asked authorizationv1.SubjectAccessReview
			if err := json.Unmarshal(body, &asked); err != nil {
				t.Error(err)
			}
			a := asked.Spec.ResourceAttributes
			if asked.Spec.User != "system:serviceaccount:ns-vaults:"+identity || len(asked.Spec.Groups) != 3 || a == nil || a.Verb != "get" || a.Namespace != "ns" ||
				a.Group != "clusterbackup.dataprotection.microsoft.com" || a.Resource != "backups" || a.Subresource != "contents" {
				t.Errorf("asked %s", body)
			}
			return authorizationv1.SubjectAccessReview{Status: authorizationv1.SubjectAccessReviewStatus{Allowed: allowed}}
		})
		if got, err := r.Allowed(t.Context(), identity, "backups", "contents"); err != nil || got != allowed {
			t.Errorf("%v, %v", got, err)
		}
	}
	never := reviewer(t, func(body []byte) any {
		t.Errorf("asked %s", body)
		return authorizationv1.SubjectAccessReview{Status: authorizationv1.SubjectAccessReviewStatus{Allowed: true}}
	})
	for _, odd := range []string{"", "vault-1", "default", identity + ":x", "x" + identity, identity + "\n"} {
		if got, err := never.Allowed(t.Context(), odd, "backups", "contents"); err != nil || got {
			t.Errorf("%q: %v, %v", odd, got, err)
		}
	}
}
