package fault

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// Requests counts requests by store, method and outcome. The zero value is empty. It may be used concurrently.
type Requests struct {
	mu     sync.Mutex // guards counts
	counts map[string]map[string]map[Outcome]int
}

func (r *Requests) add(store, method string, outcome Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]map[string]map[Outcome]int{}
	}
	if r.counts[store] == nil {
		r.counts[store] = map[string]map[Outcome]int{}
	}
	if r.counts[store][method] == nil {
		r.counts[store][method] = map[Outcome]int{}
	}
	r.counts[store][method][outcome]++
}

// Counts returns a copy.
func (r *Requests) Counts() map[string]map[string]map[Outcome]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	copied := map[string]map[string]map[Outcome]int{}
	for store, methods := range r.counts {
		copied[store] = map[string]map[Outcome]int{}
		for method, outcomes := range methods {
			copied[store][method] = maps.Clone(outcomes)
		}
	}
	return copied
}

// Reset begins to count anew.
func (r *Requests) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts = nil
}

// Proxy passes requests on to one store, but for what the rules do to them.
type Proxy struct {
	Store    string
	Upstream *url.URL
	Rules    *Rules
	Requests *Requests
	Log      *slog.Logger
	// Transport carries the requests; nil means one with ordinary settings. It must not compress.
	Transport http.RoundTripper
}

// NewTransport returns a transport that leaves requests and answers as they are.
func NewTransport() *http.Transport {
	return &http.Transport{
		DisableCompression: true,
		// A client that asks first whether the store wants the body is told what the store says, not met by a line that
		// the store has closed meanwhile.
		ExpectContinueTimeout: 10 * time.Second,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       time.Minute,
	}
}

// ServeHTTP handles one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := p.Rules.choose(p.Store, r)
	outcome := fault.outcome()
	if outcome != Passed {
		p.Log.Info("request is disturbed", "store", p.Store, "method", r.Method, "path", r.URL.RequestURI(), "outcome", outcome)
	}
	defer func() { p.Requests.add(p.Store, r.Method, outcome) }()
	switch outcome {
	case Answered:
		answer(w, fault.Status)
		return
	case AbortedBefore:
		panic(http.ErrAbortHandler)
	case Delayed:
		if wait(r.Context(), time.Duration(fault.Delay)) != nil {
			panic(http.ErrAbortHandler)
		}
	case CutWhileUploaded:
		r.Body = &cutReader{ReadCloser: r.Body, left: *fault.CutRequest}
	case Limited:
		r.Body = &slowReader{ReadCloser: r.Body, ctx: r.Context(), bytesPerSecond: fault.Bandwidth}
	}
	// Else the server closes the request's body at the first byte of the response, which the transport takes for an
	// error. A writer that cannot has no such habit.
	_ = http.NewResponseController(w).EnableFullDuplex()
	forward := httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      p.Transport,
		ModifyResponse: func(response *http.Response) error { return disturb(response, fault) },
		// What was truncated has been passed on by then.
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(p.Log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			// A client that went away has ended its request itself.
			if errors.Is(err, errCut) || r.Context().Err() != nil {
				panic(http.ErrAbortHandler)
			}
			p.Log.Info("store is unreachable", "store", p.Store, "error", err)
			outcome = Unreachable
			http.Error(w, "the store "+p.Store+" cannot be reached through the fault proxy: "+err.Error(), http.StatusBadGateway)
		},
	}
	forward.ServeHTTP(w, r)
}

// rewrite changes nothing but where the request goes: a signature may cover its host, path and query.
func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme, r.Out.URL.Host = p.Upstream.Scheme, p.Upstream.Host
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Host = r.In.Host
}

// disturb changes the store's response. An error ends the connection.
func disturb(response *http.Response, fault Fault) error {
	switch fault.outcome() {
	case AbortedAfter:
		// All of it, for the store may still be at work while it answers.
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return err
		}
		return errCut
	case TruncatedAnswer:
		response.Body = &cutReader{ReadCloser: response.Body, left: *fault.TruncateResponse}
	case Limited:
		response.Body = &slowReader{ReadCloser: response.Body, ctx: response.Request.Context(), bytesPerSecond: fault.Bandwidth}
	case Skewed:
		said, err := http.ParseTime(response.Header.Get("Date"))
		if err != nil {
			said = time.Now()
		}
		response.Header.Set("Date", said.Add(time.Duration(fault.SkewDate)).UTC().Format(http.TimeFormat))
	}
	return nil
}

func answer(w http.ResponseWriter, status *Status) {
	for name, value := range status.Header {
		w.Header().Set(name, value)
	}
	if status.RetryAfter != "" {
		w.Header().Set("Retry-After", status.RetryAfter)
	}
	w.WriteHeader(status.Code)
	// A client that has gone needs no answer.
	_, _ = io.WriteString(w, status.Body)
}
