package kube

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxRefusal bounds what is read of a refusal, in bytes.
const maxRefusal = 64 << 10

// AwaitRoles makes of the refusals of an API server that has not read its ClusterRoles yet what they mean: try again. One that was started
// a moment ago refuses everything to everybody who has it by a role, by a 403 that is as final as any other but for its text.
//
// It is for rest.Config.Wrap: clients of client-go ask again by themselves, some ten times.
func AwaitRoles(next http.RoundTripper) http.RoundTripper { return rolesAwaiter{next} }

type rolesAwaiter struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (a rolesAwaiter) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := a.next.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusForbidden {
		return answer, err
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
	if err != nil {
		_ = answer.Body.Close()
		return nil, err
	}
	if !rolesUnread(string(text)) {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(text), answer.Body), answer.Body}
		return answer, nil
	}
	_ = answer.Body.Close()
	body, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusServiceUnavailable,
		Reason: metav1.StatusReasonServiceUnavailable, Message: "the API server has not read its roles yet",
		Details: &metav1.StatusDetails{RetryAfterSeconds: 1},
	})
	if err != nil {
		return nil, err
	}
	answer.StatusCode, answer.Status = http.StatusServiceUnavailable, "503 Service Unavailable"
	answer.Header = http.Header{"Content-Type": {"application/json"}, "Retry-After": {"1"}, "Content-Length": {strconv.Itoa(len(body))}}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, nil
}

// rolesUnread says whether a refusal is by an API server that does not know of its roles yet: system:discovery is one that each makes
// when it starts, and that everybody is bound to.
func rolesUnread(refusal string) bool {
	at := strings.Index(refusal, "RBAC: ")
	if at < 0 {
		return false
	}
	// In JSON, quotes are escaped.
	why := strings.ReplaceAll(refusal[at:], `\"`, `"`)
	return strings.Contains(why, `"system:discovery" not found`)
}
