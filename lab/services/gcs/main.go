// Command lab-gcs is the lab's Google Cloud Storage: fake-gcs-server, for clients that reach it by different addresses.
//
// Clients send uploads where the answer to their first request tells them to, which is made of the request's own host.
// Downloads are recognised by one configured host only, which is why they are given that one here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

// publicHost is the host that downloads are recognised by.
const publicHost = "storage.gcs.lab"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "lab-gcs: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("lab-gcs", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:4443", "HOST:PORT to serve on")
	folder := flags.String("folder", "", "where buckets are kept; empty means in memory")
	if err := flags.Parse(args); err != nil {
		return err
	}
	storage, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener:  true,
		Scheme:      "http",
		StorageRoot: *folder,
		PublicHost:  publicHost,
		Writer:      os.Stderr,
	})
	if err != nil {
		return fmt.Errorf("open the storage: %w", err)
	}
	defer storage.Stop()
	server := &http.Server{Addr: *listen, Handler: byAnyHost(storage.HTTPHandler()), ReadHeaderTimeout: time.Minute}
	cancel := context.AfterFunc(ctx, func() { server.Close() })
	defer cancel()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", *listen, err)
	}
	return nil
}

// apiPrefixes are the paths of the JSON API, which needs to know the client's own name for this server.
var apiPrefixes = []string{"/storage/v1", "/upload/", "/download/", "/batch/", "/_internal/"}

// byAnyHost lets clients use any name for this server.
func byAnyHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, prefix := range apiPrefixes {
			if strings.HasPrefix(r.URL.Path, prefix) {
				next.ServeHTTP(w, r)
				return
			}
		}
		named := r.Clone(r.Context())
		named.Host = publicHost
		next.ServeHTTP(w, named)
	})
}
