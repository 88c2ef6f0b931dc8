// Command lab-fault is the lab's fault-injecting proxy: one address for each store, and one to set rules at.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/lab/internal/fault"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "lab-fault: %v\n", err)
		os.Exit(1)
	}
}

// store is where one store is asked for, and where it is.
type store struct {
	name, listen string
	upstream     *url.URL
}

func run(ctx context.Context, args []string) error {
	var stores []store
	flags := flag.NewFlagSet("lab-fault", flag.ContinueOnError)
	admin := flags.String("admin", "127.0.0.1:8474", "HOST:PORT to set rules at")
	flags.Func("store", "NAME=HOST:PORT=URL: pass requests at HOST:PORT on to the store at URL (may be repeated)", func(text string) error {
		one, err := parseStore(text)
		stores = append(stores, one)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	rules, requests := &fault.Rules{}, &fault.Requests{}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	transport := fault.NewTransport()
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return serve(ctx, *admin, fault.NewAdmin(rules, requests)) })
	for _, s := range stores {
		proxy := &fault.Proxy{Store: s.name, Upstream: s.upstream, Rules: rules, Requests: requests, Log: log, Transport: transport}
		all.Go(func() error { return serve(ctx, s.listen, proxy) })
	}
	return all.Wait()
}

func parseStore(text string) (store, error) {
	parts := strings.SplitN(text, "=", 3)
	if len(parts) != 3 {
		return store{}, fmt.Errorf("%q is not NAME=HOST:PORT=URL", text)
	}
	upstream, err := url.Parse(parts[2])
	if err != nil || upstream.Host == "" {
		return store{}, fmt.Errorf("%q is not the URL of a store", parts[2])
	}
	return store{name: parts[0], listen: parts[1], upstream: upstream}, nil
}

// serve answers until ctx ends.
func serve(ctx context.Context, address string, handler http.Handler) error {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", address, err)
	}
	return nil
}
