package main

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/inbound/connector"
	"github.com/coffer-backup/coffer/test/interop"
)

// Where the server of the link rows listens, beside apiListen.
const (
	linkListen   = "127.0.0.1:28445"
	statusListen = "127.0.0.1:28446"
)

// links measures a server that many clusters have joined: how long they take until all are linked again after it was killed and started, and the
// peak of its memory from its start until then. The connectors are the real ones, in this process, with an API server behind them that answers
// nothing of interest; the server is a process of its own.
func links(ctx context.Context, many int) ([]row, error) {
	program := os.Getenv("COFFER_BENCH_SERVER")
	if program == "" {
		return nil, errors.New("COFFER_BENCH_SERVER names no server: run hack/bench")
	}
	folder, err := os.MkdirTemp("", "coffer-bench-link-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	args := []string{
		"--data-dir", folder, "--listen", apiListen, "--status-listen", statusListen, "--link-listen", linkListen, "--hostname", "127.0.0.1", "--log-level", "error",
	}
	c, err := startServer(ctx, program, folder, args)
	if err != nil {
		return nil, err
	}
	defer func() { c.stop() }()
	before, err := resident(c.process.Process.Pid)
	if err != nil {
		return nil, err
	}
	say("link-%d: making %d clusters and their join tokens", many, many)
	tokens, err := c.joinTokens(ctx, many)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	stop, err := connectAll(ctx, tokens)
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := allLinked(ctx, many); err != nil {
		return nil, err
	}
	joined := time.Since(began).Seconds()
	var seconds, peaks []float64
	for range repetitions {
		// Connectors wait longer each time that a link ends soon after it began.
		if err := pass(ctx, 30*time.Second); err != nil {
			return nil, err
		}
		c.stop()
		began := time.Now()
		if c, err = startServer(ctx, program, folder, args); err != nil {
			return nil, err
		}
		answers := time.Since(began)
		if err := allLinked(ctx, many); err != nil {
			return nil, err
		}
		seconds = append(seconds, time.Since(began).Seconds())
		say("link-%d: linked again after %.1f s; the server answered after %.1f s", many, seconds[len(seconds)-1], answers.Seconds())
		peak, err := interop.Peak(c.process.Process.Pid)
		if err != nil {
			return nil, err
		}
		peaks = append(peaks, float64(peak)/mebi)
	}
	after, err := resident(c.process.Process.Pid)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("link-%d", many)
	return []row{
		newRow(name+"-restart", seconds, []float64{30}, "s", "<= 1.0",
			fmt.Sprintf("until %d clusters are linked again to a server that was killed, from its start on; to join them took %.1f s", many, joined)),
		newRow(name+"-memory", peaks, []float64{256}, "MiB", "<= 1.0",
			fmt.Sprintf("peak resident memory of that server meanwhile; %.0f MiB without a cluster, and %.0f KiB for each link more at the end", float64(before)/mebi, float64(after-before)/1024/float64(many))),
	}, nil
}

// pass lets time pass.
func pass(ctx context.Context, d time.Duration) error {
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resident is the resident memory of a process now, in bytes.
func resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	words := strings.Fields(string(text))
	if len(words) < 2 {
		return 0, fmt.Errorf("statm of process %d is %q", pid, text)
	}
	pages, err := strconv.ParseInt(words[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// joinTokens makes clusters, and a token for each.
func (c *apiClient) joinTokens(ctx context.Context, many int) ([]string, error) {
	group := "/subscriptions/" + c.subscription + "/resourceGroups/links"
	if _, err := c.send(ctx, http.MethodPut, group, `{"location":"here"}`); err != nil {
		return nil, err
	}
	tokens := make([]string, many)
	all, running := errgroup.WithContext(ctx)
	all.SetLimit(4)
	for n := range many {
		all.Go(func() error {
			id := fmt.Sprintf("%s/providers/Microsoft.ContainerService/managedClusters/cluster-%05d", group, n)
			if _, err := c.send(running, http.MethodPut, id, `{"location":"here","properties":{}}`); err != nil {
				return err
			}
			text, err := c.send(running, http.MethodPost, id+"/providers/Coffer.Backup/joinToken", `{}`)
			if err != nil {
				return err
			}
			var got struct {
				Token string `json:"token"`
			}
			err = json.Unmarshal(text, &got)
			tokens[n] = got.Token
			return err
		})
	}
	return tokens, all.Wait()
}

func (c *apiClient) send(ctx context.Context, method, path, body string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, "https://"+apiListen+path+"?api-version=2024-01-01", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+c.token)
	answer, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	return text, err
}

// connectAll starts a connector for each token.
func connectAll(ctx context.Context, tokens []string) (stop func(), err error) {
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	config := &rest.Config{Host: api.URL, BearerToken: "connector", TLSClientConfig: rest.TLSClientConfig{
		CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}),
	}}
	quiet := slog.New(slog.DiscardHandler)
	kubernetes, err := connector.NewKubernetes(config, "vaults", quiet)
	if err != nil {
		api.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	stop = func() { cancel(); running.Wait(); api.Close() }
	for n, token := range tokens {
		hello := wire.Hello{
			Protocol: wire.Protocol, ClusterUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Namespace: "coffer", VaultsNamespace: "vaults", Version: "v1", KubernetesVersion: "v1.34.1",
		}
		c, err := connector.New(connector.Config{
			Store: &kept{}, TokenFunc: func() (string, error) { return token, nil },
			HelloFunc:  func(context.Context) (wire.Hello, error) { return hello, nil },
			Kubernetes: kubernetes, Content: http.NotFoundHandler(), Consent: http.NotFoundHandler(), Settings: http.NotFoundHandler(), Log: quiet, NowFunc: time.Now,
		})
		if err != nil {
			stop()
			return nil, err
		}
		running.Go(func() { c.Run(ctx) })
	}
	return stop, nil
}

// kept is what one connector keeps, in memory. Only that connector calls it, one call after another.
type kept struct{ credentials connector.Credentials }

// Load implements connector.Store.
func (k *kept) Load(context.Context) (connector.Credentials, error) { return k.credentials, nil }

// Save implements connector.Store.
func (k *kept) Save(_ context.Context, c connector.Credentials) (connector.Credentials, error) {
	k.credentials = c
	return c, nil
}

// allLinked waits until the server counts so many links.
func allLinked(ctx context.Context, many int) error {
	last := -1
	err := await(ctx, 10*time.Minute, "all are linked", func(ctx context.Context) (bool, error) {
		n, err := countLinks(ctx)
		if err == nil {
			last = n
		}
		return err == nil && n == many, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %d of %d are", err, last, many)
	}
	return nil
}

func countLinks(ctx context.Context) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+statusListen+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), "coffer_server_links "); found {
			n, err := strconv.ParseFloat(text, 64)
			return int(n), err
		}
	}
	return 0, errors.New("the server does not count links")
}
