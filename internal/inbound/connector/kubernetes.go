package connector

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// maxObject bounds what is sent to the API server: its own bound is about that.
const maxObject = 3 << 20

// passedOn are the headers of a request that reach the API server or the reader. Whatever says who somebody is, is not among them.
var passedOn = []string{"Accept", "Content-Length", "Content-Type", "If-Match", "If-None-Match", "User-Agent"}

// withheld are the headers of an answer that do not reach the server.
var withheld = []string{"Audit-Id", "Authorization", "Set-Cookie", "Www-Authenticate"}

// NewKubernetes carries requests to the API server of config, as the vault that asks: a ServiceAccount of the namespace of vaults. What it may is for the
// API server to say; that only requests are passed on that vaults have a use for is to keep small what the server's end can try.
func NewKubernetes(config *rest.Config, vaultsNamespace string, log *slog.Logger) (http.Handler, error) {
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(base)
			r.Out.Header = keep(r.In.Header)
			r.Out.Host = ""
			r.Out.Header.Set("Impersonate-User", "system:serviceaccount:"+vaultsNamespace+":"+Identity(r.In.Context()))
		},
		ModifyResponse: withhold,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			log.Warn("API server not reached", "path", r.URL.Path, "error", err)
			answerStatus(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "the connector does not reach its API server")
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allowed(r) {
			log.Warn("request refused", "method", r.Method, "path", r.URL.Path, "identity", Identity(r.Context()))
			answerStatus(w, http.StatusForbidden, metav1.StatusReasonForbidden, "the connector does not pass on "+r.Method+" "+r.URL.Path)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxObject)
		proxy.ServeHTTP(w, r)
	}), nil
}

// keep are the headers that are passed on.
func keep(header http.Header) http.Header {
	kept := http.Header{}
	for _, name := range passedOn {
		if values := header.Values(name); len(values) > 0 {
			kept[name] = slices.Clone(values)
		}
	}
	return kept
}

func withhold(answer *http.Response) error {
	for _, name := range withheld {
		answer.Header.Del(name)
	}
	return nil
}

// reviews is where somebody asks what it may itself.
const reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

// allowed says whether a vault has a use for a request.
func allowed(r *http.Request) bool {
	if !straight(r) {
		return false
	}
	p := r.URL.Path
	switch {
	case strings.HasPrefix(p, "/apis/"+v1alpha1.GroupVersion.Group+"/"):
		return slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}, r.Method)
	case p == reviews:
		return r.Method == http.MethodPost
	}
	return r.Method == http.MethodGet && discovery(p)
}

// straight says that a request is one, with a path that means the same to everybody, and that asks for no other protocol.
func straight(r *http.Request) bool {
	p := r.URL.Path
	return r.Header.Get("Upgrade") == "" && !strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Connection"), ",")), "upgrade") &&
		strings.HasPrefix(p, "/") && path.Clean(p) == strings.TrimSuffix(p, "/") && r.URL.EscapedPath() == p
}

// discovery says whether a path is of what is served, and in which version.
func discovery(p string) bool {
	words := strings.Split(strings.Trim(p, "/"), "/")
	switch words[0] {
	case "version":
		return len(words) == 1
	case "api":
		return len(words) <= 2
	case "apis":
		return len(words) <= 3
	case "openapi":
		return true
	}
	return false
}

// answerStatus answers as an API server would, for clients that know no other answers.
func answerStatus(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Code: int32(code), Reason: reason, Message: message, //nolint:gosec // It is an HTTP status.
	})
}
