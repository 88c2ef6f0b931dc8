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

// Server is an HTTP server of a handler. Its answers end when ctx does.
func Server(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}
