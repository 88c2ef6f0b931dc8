package connector

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	wire "github.com/coffer-backup/coffer/api/link"
)

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
			r.Out.Header = wire.PassedOn(r.In.Header)
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
		if !wire.Useful(r) {
			log.Warn("request refused", "method", r.Method, "path", r.URL.Path, "identity", Identity(r.Context()))
			answerStatus(w, http.StatusForbidden, metav1.StatusReasonForbidden, "the connector does not pass on "+r.Method+" "+r.URL.Path)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, wire.MaxObject)
		proxy.ServeHTTP(w, r)
	}), nil
}

func withhold(answer *http.Response) error {
	wire.Withhold(answer.Header)
	return nil
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
