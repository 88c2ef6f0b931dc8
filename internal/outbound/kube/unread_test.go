package kube

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// unread is what an API server says that was started a moment ago.
const unread = `widgets.acme.io "one" is forbidden: User "system:serviceaccount:a:b" cannot patch resource "widgets" in API group "acme.io" in the namespace "shop": ` +
	`RBAC: [clusterrole.rbac.authorization.k8s.io "cluster-admin" not found, clusterrole.rbac.authorization.k8s.io "system:discovery" not found]`

func TestAnAPIServerThatHasNotReadItsRolesIsAskedAgain(t *testing.T) {
	// One role that is gone is somebody's mistake, and no reason to wait.
	final := strings.ReplaceAll(unread, "system:discovery", "deleted")
	for _, tt := range []struct {
		name, refusal string
		times         int32
		want          coffer.Code
		asked         int32
	}{
		{"once", unread, 1, "", 2},
		{"for good", final, 1 << 30, coffer.CodeForbidden, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) > tt.times {
					_, _ = w.Write([]byte("{}"))
					return
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusForbidden)
				_ = json.NewEncoder(w).Encode(metav1.Status{
					TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusForbidden,
					Reason: metav1.StatusReasonForbidden, Message: tt.refusal,
				})
			}))
			defer server.Close()
			config := &rest.Config{Host: server.URL}
			config.Wrap(AwaitRoles)
			c, err := New(config)
			if err != nil {
				t.Fatal(err)
			}
			widgets := coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "widgets"}, Version: "v1"}
			err = c.PatchStatus(t.Context(), widgets, "shop", "one", []byte(`{"status":{}}`))
			if coffer.CodeOf(err) != tt.want || (err == nil) != (tt.want == "") || asked.Load() != tt.asked {
				t.Errorf("asked %d times: %v", asked.Load(), err)
			}
		})
	}
}

func TestARefusedExecIsFinalOnlyOnceRolesAreRead(t *testing.T) {
	for text, want := range map[string]bool{
		unread: true,
		`unable to upgrade connection: pods "box" is forbidden: User "u" cannot create resource "pods/exec" in API group "" in the namespace "n"`: false,
		strings.ReplaceAll(unread, "system:discovery", "deleted"):                                                                                 false,
		`the text "system:discovery" not found of somebody else`:                                                                                  false,
	} {
		if rolesUnread(text) != want {
			t.Errorf("%s", text)
		}
	}
}
