package reader

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/coffer-backup/coffer/api/content"
)

// Address is where the extension serves: on the loopback interface only, so that who reaches it has the right to forward
// ports into the pod.
func Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(content.Port)) }

// Server is an HTTP server of a handler. Its answers end when ctx does. Requests have no bodies.
func Server(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           withoutBody(h),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}

// withoutBody refuses requests with bodies. The server would wait for them, as long as their senders like, and answers may take so long that
// there is no other end to that.
func withoutBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		// A writer that knows no deadlines is no connection.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now())
		w.Header().Set("Connection", "close")
		http.Error(w, "requests here have no bodies", http.StatusBadRequest)
	})
}
