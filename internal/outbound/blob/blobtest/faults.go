package blobtest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// OpenFunc opens a new, empty container of a store that is reached at a URL. Connections on which nothing moves for
// idle are given up; zero is the store's default.
type OpenFunc func(t *testing.T, endpoint string, idle time.Duration) coffer.Container

// FaultConfig is what the suite of faults is run with.
type FaultConfig struct {
	// Target is the URL of the store.
	Target string
	Open   OpenFunc
	// Excuse names a put of testPutFaults, "FAULT long" or "FAULT short", that may fail: the server of the test lacks
	// something that the real store has. Even so it leaves nothing. Empty is none.
	Excuse string
}

// RunFaults runs the suite of what must not be lost between a container and a store.
func RunFaults(t *testing.T, config FaultConfig) {
	t.Helper()
	tests := map[string]func(*testing.T, *Proxy, OpenFunc){
		"no single fault of any request loses or doubles a put": func(t *testing.T, p *Proxy, open OpenFunc) {
			testPutFaults(t, p, open, config.Excuse)
		},
		"no single fault of any request fails the other calls":     testCallFaults,
		"a store that stays away is an error that passes":          testAway,
		"a key that is taken stays so, whatever is lost":           testTakenFaults,
		"a body that breaks off is never taken for a whole one":    testTruncated,
		"a slow store is waited for":                               testSlow,
		"a dead link is given up":                                  testDead,
		"a store that asks for time gets it, within reason":        testRetryAfter,
		"credentials that may read and not write are told so":      testForbidden,
		"a clock that is an hour off is told with the difference":  testSkew,
		"a full store is told so":                                  testFull,
		"of many writers one wins while the store fails at random": testStorm,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, NewProxy(t, config.Target), config.Open) })
	}
}

// passing are faults that a store or a network has now and then.
var passing = map[string]Fault{
	"500":           Status(http.StatusInternalServerError),
	"503":           Status(http.StatusServiceUnavailable),
	"429":           Status(http.StatusTooManyRequests),
	"cut before":    CutBefore,
	"cut in middle": CutMiddle,
	"cut after":     CutAfter,
}

func testPutFaults(t *testing.T, p *Proxy, open OpenFunc, excuse string) {
	c := open(t, p.URL, 0)
	for name, fault := range passing {
		for kind, size := range map[string]int64{"short": 1000, "long": 9 * mebibyte} {
			t.Run(name+" "+kind, func(t *testing.T) {
				for i := 0; ; i++ {
					key := fmt.Sprintf("%s/%s/%d", name, kind, i)
					p.Break(Only(i, fault))
					n, err := c.Put(t.Context(), key, noise(7, size))
					seen := p.Heal()
					if err != nil && name+" "+kind == excuse {
						mustBeGone(t, c, key)
						continue
					}
					if err != nil || n != size {
						t.Errorf("with request %d broken: Put = %d, %v", i, n, err)
						return
					}
					if i >= seen {
						return
					}
					mustHold(t, c, key, 7, size)
				}
			})
		}
	}
}

func mustBeGone(t *testing.T, c coffer.Container, key string) {
	t.Helper()
	if _, err := c.Stat(t.Context(), key); !errors.Is(err, coffer.ErrBlobNotFound) {
		t.Errorf("Stat(%q) = %v, want ErrBlobNotFound", key, err)
	}
}

func testCallFaults(t *testing.T, p *Proxy, open OpenFunc) {
	c := open(t, p.URL, 0)
	for i := range 20 {
		mustPut(t, c, fmt.Sprintf("k/%02d", i), "0123456789")
	}
	calls := map[string]func() error{
		"stat": func() error {
			_, err := c.Stat(t.Context(), "k/01")
			return err
		},
		"get": func() error {
			if got := mustGet(t, c, "k/01", 2, 3); got != "234" {
				return fmt.Errorf("got %q", got)
			}
			return nil
		},
		"list": func() error {
			if n := len(mustList(t, c, "k/")); n != 20 {
				return fmt.Errorf("listed %d keys", n)
			}
			return nil
		},
		"delete": func() error {
			if err := c.Delete(t.Context(), "k/gone"); err != nil {
				return err
			}
			if _, err := c.Stat(t.Context(), "k/gone"); !errors.Is(err, coffer.ErrBlobNotFound) {
				return fmt.Errorf("after Delete: Stat = %w", err)
			}
			return nil
		},
	}
	for name, fault := range passing {
		for call, do := range calls {
			for i := 0; ; i++ {
				if call == "delete" {
					mustPut(t, c, "k/gone", "x")
				}
				p.Break(Only(i, fault))
				err := do()
				if seen := p.Heal(); err != nil {
					t.Errorf("%s with request %d broken by %s: %v", call, i, name, err)
					break
				} else if i >= seen {
					break
				}
				if call == "delete" {
					if err := c.Delete(t.Context(), "k/gone"); err != nil {
						t.Fatal(err)
					}
				}
			}
			if call == "delete" {
				if err := c.Delete(t.Context(), "k/gone"); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func testAway(t *testing.T, p *Proxy, open OpenFunc) {
	c := open(t, p.URL, 0)
	p.Break(Always(Status(http.StatusServiceUnavailable)))
	_, err := c.Put(t.Context(), "a/b", strings.NewReader("x"))
	if err == nil || coffer.CodeOf(err) != "" || errors.Is(err, coffer.ErrBlobExists) {
		t.Errorf("Put = %v, want an error without a code", err)
	}
	// Of a long blob all but the last requests arrive: nothing of it may show.
	p.Break(func(r *http.Request, n int) Fault {
		if n >= 3 {
			return CutBefore
		}
		return nil
	})
	if _, err := c.Put(t.Context(), "a/long", noise(1, 20*mebibyte)); err == nil || coffer.CodeOf(err) != "" {
		t.Errorf("long Put = %v, want an error without a code", err)
	}
	p.Heal()
	mustBeEmpty(t, c)
	mustPut(t, c, "a/long", "not taken")
}

func testTakenFaults(t *testing.T, p *Proxy, open OpenFunc) {
	c := open(t, p.URL, 0)
	mustPut(t, c, "k", "first")
	for name, fault := range passing {
		for i := range 3 {
			p.Break(Only(i, fault))
			if _, err := c.Put(t.Context(), "k", strings.NewReader("second")); !errors.Is(err, coffer.ErrBlobExists) {
				t.Errorf("with request %d broken by %s: Put = %v, want ErrBlobExists", i, name, err)
			}
			p.Heal()
		}
	}
	if got := mustGet(t, c, "k", 0, -1); got != "first" {
		t.Errorf("blob = %q, want the first", got)
	}
}

func testTruncated(t *testing.T, p *Proxy, open OpenFunc) {
	c := open(t, p.URL, 0)
	const size = 3 * mebibyte
	if _, err := c.Put(t.Context(), "k", noise(1, size)); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{0, 1} {
		p.Break(Always(Truncate))
		r, err := c.Get(t.Context(), "k", offset, -1)
		if err == nil {
			var n int64
			if n, err = io.Copy(io.Discard, r); err == nil {
				t.Errorf("from %d: read %d of %d bytes without an error", offset, n, size)
			}
			_ = r.Close()
		}
		if coffer.CodeOf(err) != "" {
			t.Errorf("from %d: %v, want an error without a code", offset, err)
		}
	}
}

func testSlow(t *testing.T, p *Proxy, open OpenFunc) {
	const idle = 500 * time.Millisecond
	c := open(t, p.URL, idle)
	const size = 1 * mebibyte
	if _, err := c.Put(t.Context(), "k", noise(1, size)); err != nil {
		t.Fatal(err)
	}
	p.Break(Always(Trickle(64<<10, idle/5)))
	mustHold(t, c, "k", 1, size)
	p.Break(Always(Delay(idle / 2)))
	if _, err := c.Put(t.Context(), "l", noise(2, 9*mebibyte)); err != nil {
		t.Errorf("Put to a slow store = %v", err)
	}
	mustHold(t, c, "l", 2, 9*mebibyte)
	if keys := mustList(t, c, ""); len(keys) != 2 {
		t.Errorf("listed %q, want 2 keys", keys)
	}
}

func testDead(t *testing.T, p *Proxy, open OpenFunc) {
	c := open(t, p.URL, 300*time.Millisecond)
	p.Break(Always(Hang))
	began := time.Now()
	calls := map[string]func() error{
		"put": func() error {
			_, err := c.Put(t.Context(), "k", strings.NewReader("x"))
			return err
		},
		"stat": func() error {
			_, err := c.Stat(t.Context(), "k")
			return err
		},
	}
	for call, do := range calls {
		if err := do(); err == nil || coffer.CodeOf(err) != "" {
			t.Errorf("%s = %v, want an error without a code", call, err)
		}
	}
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("it took %s to give up", took)
	}
}

func testRetryAfter(t *testing.T, p *Proxy, open OpenFunc) {
	c := open(t, p.URL, 0)
	p.Break(Only(0, Status(http.StatusServiceUnavailable, "Retry-After", "2")))
	began := time.Now()
	mustPut(t, c, "k", "x")
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it came back after %s, asked for 2s", took)
	}
	p.Break(Always(Status(http.StatusTooManyRequests, "Retry-After", "3600")))
	began = time.Now()
	if _, err := c.Stat(t.Context(), "k"); err == nil || coffer.CodeOf(err) != "" {
		t.Errorf("Stat = %v, want an error without a code", err)
	}
	if took := time.Since(began); took > 10*time.Second || p.Heal() != 1 {
		t.Errorf("a store that asks for an hour was asked again, or waited for: %s", took)
	}
}

func testForbidden(t *testing.T, p *Proxy, open OpenFunc) {
	c := open(t, p.URL, 0)
	p.Break(Always(Status(http.StatusForbidden)))
	_, err := c.Put(t.Context(), "k", strings.NewReader("x"))
	mustBeRefused(t, err, "do not allow", "readOnly")
}

func testSkew(t *testing.T, p *Proxy, open OpenFunc) {
	c := open(t, p.URL, 0)
	early := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	p.Break(Always(Status(http.StatusForbidden, "Date", early)))
	_, err := c.Put(t.Context(), "k", strings.NewReader("x"))
	mustBeRefused(t, err, "clock and this machine's differ by 1h0m", "correct")
	clock, ok := c.(coffer.Clocked)
	if !ok {
		t.Fatal("this is no coffer.Clocked")
	}
	if skew := clock.ClockSkew().Round(time.Minute); skew != -time.Hour {
		t.Errorf("ClockSkew = %s, want -1h", skew)
	}
}

func testFull(t *testing.T, p *Proxy, open OpenFunc) {
	c := open(t, p.URL, 0)
	p.Break(func(r *http.Request, _ int) Fault {
		if r.Method == http.MethodPut || r.Method == http.MethodPost {
			return Status(http.StatusInsufficientStorage)
		}
		return nil
	})
	_, err := c.Put(t.Context(), "k", strings.NewReader("x"))
	mustBeRefused(t, err, "no room", "delete recovery points")
}

func testStorm(t *testing.T, p *Proxy, open OpenFunc) {
	c := open(t, p.URL, 0)
	faults := []Fault{nil, CutAfter, Status(http.StatusServiceUnavailable), nil, CutBefore}
	p.Break(func(_ *http.Request, n int) Fault { return faults[n%len(faults)] })
	testRace(t, c)
}

// mustBeRefused asserts an error that a person must act on, and that it says what.
func mustBeRefused(t *testing.T, err error, says ...string) {
	t.Helper()
	if coffer.CodeOf(err) != coffer.CodeLocationNotReady {
		t.Errorf("%v has the code %q, want %s", err, coffer.CodeOf(err), coffer.CodeLocationNotReady)
	}
	for _, text := range says {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

// MustRefuse asserts that no call is accepted, by errors that a person must act on and that say what, and never show a
// secret.
func MustRefuse(t *testing.T, c coffer.Container, secret string, says ...string) {
	t.Helper()
	_, putErr := c.Put(t.Context(), "k", strings.NewReader("x"))
	_, longErr := c.Put(t.Context(), "long", noise(1, 9*mebibyte))
	var listErr error
	for _, err := range c.List(t.Context(), "") {
		listErr = err
	}
	for call, err := range map[string]error{"put": putErr, "long put": longErr, "list": listErr} {
		t.Run(call, func(t *testing.T) {
			mustBeRefused(t, err, says...)
			if secret != "" && err != nil && strings.Contains(err.Error(), secret) {
				t.Error("the error shows the secret")
			}
		})
	}
}
