package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// date is the time at the store.
var date = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

// store remembers what reached it, and answers with the body it got, or "hello".
type store struct {
	mu       sync.Mutex // guards bodies and failed
	bodies   []string
	failed   int
	received chan struct{}
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	if err != nil {
		s.failed++
	}
	s.bodies = append(s.bodies, string(body))
	s.mu.Unlock()
	w.Header().Set("Date", date.Format(http.TimeFormat))
	w.Header().Set("X-Seen", r.Host+" "+r.RequestURI)
	if len(body) == 0 {
		body = []byte("hello")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
	s.received <- struct{}{}
}

// setup is a store, a proxy before it, and its rules.
type setup struct {
	store  *store
	url    string
	admin  string
	client *http.Client
}

func newSetup(t *testing.T) *setup {
	t.Helper()
	s := &setup{store: &store{received: make(chan struct{}, 100)}, client: &http.Client{Timeout: 20 * time.Second}}
	upstream := newServer(t, s.store)
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	rules, requests := &Rules{}, &Requests{}
	transport := NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	s.url = newServer(t, &Proxy{Store: "s3", Upstream: target, Rules: rules, Requests: requests, Log: slog.New(slog.DiscardHandler), Transport: transport})
	s.admin = newServer(t, NewAdmin(rules, requests))
	return s
}

func newServer(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// do sends a request and returns the response with what could be read of its body.
func (s *setup) do(t *testing.T, method, address, body string) (*http.Response, string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response, string(content), err
}

func (s *setup) mustSet(t *testing.T, rules string) {
	t.Helper()
	if response, said, err := s.do(t, http.MethodPut, s.admin+"/rules", rules); err != nil || response.StatusCode != http.StatusNoContent {
		t.Fatalf("set %s: %v %s", rules, err, said)
	}
}

// mustPass sends a request that has to come back as it is without any rule.
func (s *setup) mustPass(t *testing.T, method, path, body string) {
	t.Helper()
	response, got, err := s.do(t, method, s.url+path, body)
	if err != nil || response.StatusCode != http.StatusOK || (body != "" && got != body) {
		t.Fatalf("%s %s: %v, %d bytes", method, path, err, len(got))
	}
}

// reached is how many requests the store got whole, and in part.
func (s *setup) reached() (whole, partial int) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return len(s.store.bodies) - s.store.failed, s.store.failed
}

func TestWithoutRulesNothingChanges(t *testing.T) {
	s := newSetup(t)
	const path = "/bucket/a%2Fb%20c+d%C3%A9!?list-type=2;x&prefix=a%2fb&&y"
	response, got, err := s.do(t, http.MethodPut, s.url+path, strings.Repeat("data", 100_000))
	if err != nil || len(got) != 400_000 {
		t.Fatalf("%v, %d bytes", err, len(got))
	}
	// A signature covers all of these.
	if want, seen := strings.TrimPrefix(s.url, "http://")+" "+path, response.Header.Get("X-Seen"); seen != want {
		t.Errorf("the store saw %q, want %q", seen, want)
	}
}

func TestAStoreThatDoesNotWantTheBodyIsHeardOut(t *testing.T) {
	full := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPreconditionFailed) }))
	target, err := url.Parse(full)
	if err != nil {
		t.Fatal(err)
	}
	transport := NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	proxy := newServer(t, &Proxy{Store: "s3", Upstream: target, Rules: &Rules{}, Requests: &Requests{}, Log: slog.New(slog.DiscardHandler), Transport: transport})
	client := &http.Client{Transport: NewTransport()}
	t.Cleanup(client.CloseIdleConnections)
	for range 20 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, proxy, bytes.NewReader(make([]byte, 10_000_000)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Expect", "100-continue")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusPreconditionFailed {
			t.Fatalf("answered %s", response.Status)
		}
	}
}

func TestAStatusAnswersInsteadOfTheStore(t *testing.T) {
	s := newSetup(t)
	s.mustSet(t, `[{"method":"PUT","path":"^/bucket/","times":2,
		"fault":{"status":{"code":503,"body":"<Error/>","retryAfter":"7","header":{"X-Ms-Error-Code":"ServerBusy"}}}}]`)
	s.mustPass(t, http.MethodGet, "/bucket/key", "")
	s.mustPass(t, http.MethodPut, "/other/bucket/key", "data")
	for range 2 {
		response, got, err := s.do(t, http.MethodPut, s.url+"/bucket/key", "data")
		if err != nil || response.StatusCode != http.StatusServiceUnavailable || got != "<Error/>" {
			t.Errorf("%v %v %q", err, response, got)
		}
		if response.Header.Get("Retry-After") != "7" || response.Header.Get("X-Ms-Error-Code") != "ServerBusy" {
			t.Errorf("headers %v", response.Header)
		}
	}
	s.mustPass(t, http.MethodPut, "/bucket/key", "data")
	if whole, partial := s.reached(); whole != 3 || partial != 0 {
		t.Errorf("%d and %d requests reached the store, want 3 and 0", whole, partial)
	}
}

func TestAnAbortBeforeHasNoEffectAndAnAbortAfterHas(t *testing.T) {
	for when, want := range map[Abort]int{AbortBefore: 0, AbortAfter: 1} {
		t.Run(string(when), func(t *testing.T) {
			s := newSetup(t)
			s.mustSet(t, fmt.Sprintf(`[{"times":1,"fault":{"abort":%q}}]`, when))
			// POST, for the client repeats by itself what it takes for harmless.
			if response, got, err := s.do(t, http.MethodPost, s.url+"/key", "data"); err == nil {
				t.Errorf("the client was answered %s %q", response.Status, got)
			}
			if whole, _ := s.reached(); whole != want {
				t.Errorf("%d requests reached the store, want %d", whole, want)
			}
			s.mustPass(t, http.MethodPost, "/key", "data")
		})
	}
}

func TestATruncatedResponseEndsEarlyAndWithAnError(t *testing.T) {
	s := newSetup(t)
	s.mustSet(t, `[{"path":"long","fault":{"truncateResponse":1000}}]`)
	sent := strings.Repeat("x", 5000)
	response, got, err := s.do(t, http.MethodPost, s.url+"/long", sent)
	if !errors.Is(err, io.ErrUnexpectedEOF) || got != sent[:1000] || response.ContentLength != 5000 {
		t.Errorf("got %d bytes and %v", len(got), err)
	}
	s.mustPass(t, http.MethodPost, "/long", sent[:1000])
}

func TestACutRequestReachesTheStoreInPart(t *testing.T) {
	s := newSetup(t)
	s.mustSet(t, `[{"method":"PUT","fault":{"cutRequest":1000}}]`)
	sent := strings.Repeat("x", 5_000_000)
	if response, _, err := s.do(t, http.MethodPut, s.url+"/key", sent); err == nil {
		t.Errorf("the client was answered %s", response.Status)
	}
	<-s.store.received
	if whole, partial := s.reached(); whole != 0 || partial != 1 || s.store.bodies[0] != sent[:1000] {
		t.Errorf("%d whole and %d partial requests, and %d bytes, reached the store", whole, partial, len(s.store.bodies[0]))
	}
	s.mustPass(t, http.MethodPut, "/key", sent[:1000])
}

func TestADelayHoldsTheRequestBack(t *testing.T) {
	s := newSetup(t)
	s.mustSet(t, `[{"fault":{"delay":"300ms"}}]`)
	begin := time.Now()
	s.mustPass(t, http.MethodGet, "/key", "")
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Do(request); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a client without patience got %v", err)
	}
}

func TestABandwidthLimitsBothDirections(t *testing.T) {
	s := newSetup(t)
	s.mustSet(t, `[{"fault":{"bandwidth":100000}}]`)
	begin := time.Now()
	// There and back again.
	s.mustPass(t, http.MethodPut, "/key", strings.Repeat("x", 20_000))
	if took := time.Since(begin); took < 390*time.Millisecond {
		t.Errorf("it took %s", took)
	}
}

func TestTheDateOfTheStoreCanBeWrong(t *testing.T) {
	s := newSetup(t)
	for skew, want := range map[string]time.Time{"-1h": date.Add(-time.Hour), "90m": date.Add(90 * time.Minute)} {
		s.mustSet(t, fmt.Sprintf(`[{"fault":{"skewDate":%q}}]`, skew))
		response, got, err := s.do(t, http.MethodGet, s.url+"/key", "")
		if err != nil || got != "hello" || response.Header.Get("Date") != want.Format(http.TimeFormat) {
			t.Errorf("%v %q, date %q, want %s", err, got, response.Header.Get("Date"), want)
		}
	}
}

func TestAStoreThatIsDownIsABadGateway(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	target, err := url.Parse(gone.URL)
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	requests := &Requests{}
	proxy := &Proxy{Store: "gcs", Upstream: target, Rules: &Rules{}, Requests: requests, Log: slog.New(slog.DiscardHandler), Transport: NewTransport()}
	response := httptest.NewRecorder()
	proxy.ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/key", http.NoBody))
	if response.Code != http.StatusBadGateway || !bytes.Contains(response.Body.Bytes(), []byte("gcs")) {
		t.Errorf("answered %d %s", response.Code, response.Body)
	}
	if got := requests.Counts()["gcs"]["GET"][Unreachable]; got != 1 {
		t.Errorf("%d unreachable, want 1", got)
	}
}
