package blobtest

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a store and its client, and breaks what it is told to.
type Proxy struct {
	// URL is where the store is reached through it.
	URL     string
	reverse http.Handler

	mu sync.Mutex
	// choose says what becomes of a request, by its number since the hook was set; guarded by mu.
	choose func(r *http.Request, number int) Fault
	// seen counts requests since then; guarded by mu.
	seen int
}

// Fault serves a request wrongly. next is the store.
type Fault func(next http.Handler, w http.ResponseWriter, r *http.Request)

// NewProxy starts a proxy before the server at a URL.
func NewProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			// Signatures may cover the host that the client asked for.
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(r *http.Response) error {
			// Sessions of resumable uploads are to come this way too.
			if at := r.Header.Get("Location"); at != "" {
				r.Header.Set("Location", strings.Replace(at, target, p.URL, 1))
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// Break sets what becomes of the requests from now on, numbered from 0; nil is served well.
func (p *Proxy) Break(choose func(r *http.Request, number int) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choose, p.seen = choose, 0
}

// Heal serves all requests well again, and answers how many there were since Break.
func (p *Proxy) Heal() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choose = nil
	return p.seen
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	var fault Fault
	if p.choose != nil {
		fault = p.choose(r, p.seen)
	}
	p.seen++
	p.mu.Unlock()
	if fault == nil {
		p.reverse.ServeHTTP(w, r)
		return
	}
	fault(p.reverse, w, r)
}

// Always is a hook that breaks all requests in one way.
func Always(f Fault) func(*http.Request, int) Fault {
	return func(*http.Request, int) Fault { return f }
}

// Only is a hook that breaks one request.
func Only(number int, f Fault) func(*http.Request, int) Fault {
	return func(_ *http.Request, n int) Fault {
		if n == number {
			return f
		}
		return nil
	}
}

// Status answers with a status and headers, each a name and a value.
func Status(code int, header ...string) Fault {
	return func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// CutBefore ends the connection before the store hears of the request.
func CutBefore(http.Handler, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// CutMiddle ends both connections when half of the request's body has been passed on.
func CutMiddle(next http.Handler, _ http.ResponseWriter, r *http.Request) {
	if r.ContentLength > 0 {
		half := io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), brokenReader{})
		r.Body = io.NopCloser(half)
		next.ServeHTTP(httptest.NewRecorder(), r)
	}
	panic(http.ErrAbortHandler)
}

type brokenReader struct{}

// Read implements io.Reader.
func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("cut in the middle") }

// CutAfter ends the connection when the store has done what was asked, and before the client hears of it.
func CutAfter(next http.Handler, _ http.ResponseWriter, r *http.Request) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// Truncate ends the connection in the middle of the answer's body.
func Truncate(next http.Handler, w http.ResponseWriter, r *http.Request) {
	whole := httptest.NewRecorder()
	next.ServeHTTP(whole, r)
	for name, values := range whole.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(whole.Code)
	_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// Trickle passes the body of the answer on in pieces with a pause after each.
func Trickle(piece int, pause time.Duration) Fault {
	return func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		next.ServeHTTP(whole, r)
		for name, values := range whole.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(whole.Code)
		for body := whole.Body; body.Len() > 0; {
			_, _ = w.Write(body.Next(piece))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(pause):
			}
		}
	}
}

// Delay passes the request on after a pause.
func Delay(pause time.Duration) Fault {
	return func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(pause):
			next.ServeHTTP(w, r)
		}
	}
}

// Hang takes the request and never answers.
func Hang(_ http.Handler, _ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}
