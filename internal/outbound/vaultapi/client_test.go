package vaultapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// world is a server that answers as a test says, and a client of it.
type world struct {
	*Client
	server *httptest.Server

	mu    sync.Mutex // guards asked
	asked []string
}

func newWorld(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *world {
	t.Helper()
	made := &world{}
	made.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		made.mu.Lock()
		made.asked = append(made.asked, r.Method+" "+r.URL.Path)
		made.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
			w.Header().Set("Content-Type", "application/json")
			if err := r.ParseForm(); err != nil || r.PostForm.Get("client_secret") != "right" || r.PostForm.Get("scope") != made.server.URL+"/.default" {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"the secret is wrong"}`)
				return
			}
			_, _ = io.WriteString(w, `{"access_token":"opaque","token_type":"Bearer","expires_in":3600}`)
			return
		}
		if r.Header.Get("Authorization") != "Bearer opaque" || r.URL.Query().Get("api-version") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		answer(w, r)
	}))
	t.Cleanup(made.server.Close)
	made.Client = made.client(t, Config{})
	return made
}

// client is one of the server; what is not said is right.
func (w *world) client(t *testing.T, c Config) *Client {
	t.Helper()
	if c.URL == "" {
		c.URL = w.server.URL
	}
	if c.CA == nil {
		c.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})
	}
	if c.ClientSecret == "" {
		c.ClientSecret = "right"
	}
	c.Interval = time.Millisecond
	made, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// requests are those that came, but for tokens.
func (w *world) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.asked), func(r string) bool { return strings.HasSuffix(r, "/token") })
}

func TestWhatTakesLongIsFollowedToItsEnd(t *testing.T) {
	polls := 0
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut:
			rw.Header().Set("Azure-AsyncOperation", w.server.URL+"/operations/1?api-version=2025-07-01")
			rw.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(rw, `{"properties":{"provisioningState":"Provisioning"}}`)
		case r.URL.Path == "/operations/1":
			polls++
			state := "Inprogress"
			if polls == 3 {
				state = "Succeeded"
			}
			_, _ = fmt.Fprintf(rw, `{"id":"/operations/1","status":%q}`, state)
		default:
			_, _ = io.WriteString(rw, `{"name":"made","properties":{"provisioningState":"Succeeded"}}`)
		}
	})
	var told []string
	reply, err := w.Do(t.Context(), Call{Method: http.MethodPut, Path: "/things/a", Body: []byte(`{}`), Follow: true, Progress: func(s string) { told = append(told, s) }})
	if err != nil || !strings.Contains(string(reply.Body), `"made"`) {
		t.Errorf("reply %s, %v", reply.Body, err)
	}
	if !slices.Equal(told, []string{"Inprogress", "Inprogress"}) {
		t.Errorf("progress %q", told)
	}
	polls = 0
	reply, err = w.Do(t.Context(), Call{Method: http.MethodPut, Path: "/things/a", Body: []byte(`{}`)})
	if err != nil || polls != 0 || !strings.HasSuffix(reply.Operation, "/operations/1?api-version=2025-07-01") {
		t.Errorf("not followed: %+v, %d polls, %v", reply, polls, err)
	}
}

func TestWhatFailsInTheEndSaysWhy(t *testing.T) {
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			rw.Header().Set("Azure-AsyncOperation", w.server.URL+"/operations/1?api-version=2025-07-01")
			rw.WriteHeader(http.StatusAccepted)
			return
		}
		rw.Header().Set("X-Ms-Correlation-Request-Id", "c-1")
		_, _ = io.WriteString(rw, `{"status":"Failed","error":{"code":"Conflict","message":"it is in use; stop it",
			"additionalInfo":[{"type":"UserFacingError","info":{"message":"it is in use","recommendedAction":["stop it"]}}]}}`)
	})
	_, err := w.Do(t.Context(), Call{Method: http.MethodDelete, Path: "/things/a", Follow: true})
	refused, ok := errors.AsType[*coffer.Error](err)
	if !ok || refused.Code != "Conflict" || refused.Message != "it is in use" || refused.Hint != "stop it" || refused.Correlation != "c-1" {
		t.Errorf("got %#v", err)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			rw.Header().Set("Azure-AsyncOperation", w.server.URL+"/operations/1?api-version=2025-07-01")
			rw.WriteHeader(http.StatusAccepted)
			return
		}
		rw.Header().Set("Retry-After", "3600")
		_, _ = io.WriteString(rw, `{"status":"InProgress"}`)
	})
	_, err := w.Do(ctx, Call{Method: http.MethodDelete, Path: "/things/a", Follow: true, Progress: func(string) { cancel() }})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "goes on") {
		t.Errorf("got %v", err)
	}
}

func TestAListIsReadToItsEnd(t *testing.T) {
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		next := ""
		if r.URL.Query().Get("$skipToken") == "" {
			next = w.server.URL + "/things?api-version=2025-07-01&$skipToken=2"
		}
		_, _ = fmt.Fprintf(rw, `{"value":[1,2],"nextLink":%q}`, next)
	})
	all, err := w.List(t.Context(), "/things")
	if err != nil || len(all) != 4 {
		t.Errorf("%d, %v", len(all), err)
	}
}

func TestNoAnswerLeadsTheTokenElsewhere(t *testing.T) {
	other := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirected":
			http.Redirect(rw, r, other.server.URL+"/x?api-version=2025-07-01", http.StatusTemporaryRedirect)
		case "/followed":
			rw.Header().Set("Azure-AsyncOperation", other.server.URL+"/operations/1?api-version=2025-07-01")
			rw.WriteHeader(http.StatusAccepted)
		default:
			_, _ = fmt.Fprintf(rw, `{"value":[],"nextLink":%q}`, other.server.URL+"/things?api-version=2025-07-01")
		}
	})
	if _, err := w.List(t.Context(), "/things"); coffer.CodeOf(err) != coffer.CodeForbidden {
		t.Errorf("a next page elsewhere: %v", err)
	}
	if _, err := w.Do(t.Context(), Call{Method: http.MethodDelete, Path: "/followed", Follow: true}); coffer.CodeOf(err) != coffer.CodeForbidden {
		t.Errorf("an operation elsewhere: %v", err)
	}
	reply, err := w.Do(t.Context(), Call{Method: http.MethodGet, Path: "/redirected"})
	if err == nil && reply.Status == http.StatusOK {
		t.Errorf("a redirection: %+v", reply)
	}
	if _, err := w.Do(t.Context(), Call{Method: http.MethodGet, Path: "@" + strings.TrimPrefix(other.server.URL, "https://") + "/x"}); err == nil {
		t.Error("a path that is a host is taken")
	}
	if asked := other.requests(); len(asked) > 0 {
		t.Errorf("the other server was asked: %q", asked)
	}
}

func TestALostRequestIsMadeAgainUnlessItCouldDoAThingTwice(t *testing.T) {
	for method, want := range map[string]int{http.MethodGet: 2, http.MethodPut: 2, http.MethodDelete: 2, http.MethodPost: 1} {
		first := true
		w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
			if first {
				first = false
				rw.Header().Set("Retry-After", "0")
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = io.WriteString(rw, `{}`)
		})
		_, err := w.Do(t.Context(), Call{Method: method, Path: "/things/a"})
		if got := len(w.requests()); got != want || (err == nil) != (want == 2) {
			t.Errorf("%s: %d requests, want %d: %v", method, got, want, err)
		}
	}
}

func TestRefusalsAsAPersonReadsThem(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       coffer.Error
	}{
		{
			"all that there is",
			`{"error":{"code":"BMSUserErrorInvalidInput","message":"two are wrong; do this","details":[{"code":"x","message":"is 1","target":"a.b"},{"message":"is 2"}],
			"additionalInfo":[{"type":"Other","info":null},{"type":"Other","info":{"message":"not this","recommendedAction":["nor this"]}},{"type":"UserFacingError","info":{"message":"two are wrong","recommendedAction":["do this","and that"],"isRetryable":true}}]}}`,
			coffer.Error{
				Code: "BMSUserErrorInvalidInput", Message: "two are wrong", Hint: "do this; and that", Transient: true, Correlation: "c-1",
				Fields: []coffer.RefusedField{{Path: "a.b", Reason: "is 1"}, {Reason: "is 2"}},
			},
		},
		{
			"another's information", `{"error":{"code":"Conflict","message":"it is in use","additionalInfo":[{"type":"PolicyViolation","info":{"message":"not this"}}]}}`,
			coffer.Error{Code: "Conflict", Message: "it is in use", Correlation: "c-1"},
		},
		{"a message only", `{"error":{"code":"Conflict","message":"it is in use"}}`, coffer.Error{Code: "Conflict", Message: "it is in use", Correlation: "c-1"}},
		{"no JSON", `<html>`, coffer.Error{Message: "the server answered 409 Conflict", Correlation: "c-1"}},
		{"nothing", ``, coffer.Error{Message: "the server answered 409 Conflict", Correlation: "c-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("X-Ms-Correlation-Request-Id", "c-1")
				rw.WriteHeader(http.StatusConflict)
				_, _ = io.WriteString(rw, tt.body)
			})
			_, first := w.Do(t.Context(), Call{Method: http.MethodGet, Path: "/things/a"})
			_, second := w.List(t.Context(), "/things")
			_, third := w.Do(t.Context(), Call{Method: http.MethodPut, Path: "/things/a", Follow: true})
			for _, err := range []error{first, second, third} {
				got, ok := errors.AsType[*coffer.Error](err)
				if !ok {
					t.Fatalf("got %v", err)
				}
				if tt.want.Code == "" {
					// The library makes one of the status.
					got.Code = ""
				}
				if fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", tt.want) {
					t.Errorf("got %+v\nwant %+v", *got, tt.want)
				}
			}
		})
	}
}

func TestWhoCannotLogIn(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	for _, tt := range []struct {
		name   string
		config Config
		code   coffer.Code
		want   string
	}{
		{"a wrong secret", Config{ClientID: "me", ClientSecret: "wrong"}, coffer.CodeAuthenticationFailed, "gives client me no token: the secret is wrong"},
		{"a token that has expired", Config{Token: Token{Text: "opaque", Expires: time.Unix(1, 0)}}, coffer.CodeTokenExpired, "coffer login"},
		{"another authority", Config{CA: otherCA}, "", "not of an authority that is trusted"},
		{"another name", Config{URL: strings.Replace(w.server.URL, "127.0.0.1", "localhost", 1)}, "", "is for other names"},
		{"nobody there", Config{URL: "https://127.0.0.1:1"}, "", "connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := w.client(t, tt.config)
			_, err := c.Do(t.Context(), Call{Method: http.MethodGet, Path: "/things/a"})
			if err == nil || coffer.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "right") {
				t.Errorf("got %v", err)
			}
			if _, err := c.Token(t.Context()); tt.code == coffer.CodeAuthenticationFailed && coffer.CodeOf(err) != tt.code {
				t.Errorf("token: %v", err)
			}
		})
	}
	if got := w.requests(); len(got) > 0 {
		t.Errorf("the API was asked: %q", got)
	}
}

func TestACertificateThatIsNotGoodNowIsAMatterOfClocks(t *testing.T) {
	now := time.Now()
	for name, at := range map[string]struct{ from, to time.Time }{
		"of tomorrow":  {now.Add(24 * time.Hour), now.Add(48 * time.Hour)},
		"of yesterday": {now.Add(-48 * time.Hour), now.Add(-24 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			template := &x509.Certificate{
				SerialNumber: big.NewInt(1), NotBefore: at.from, NotAfter: at.to, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
			}
			der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
			server.StartTLS()
			defer server.Close()
			authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
			w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
			_, err = w.client(t, Config{URL: server.URL, CA: authority}).Do(t.Context(), Call{Method: http.MethodGet, Path: "/things/a"})
			if err == nil || !strings.Contains(err.Error(), "compare the clocks") || strings.Contains(err.Error(), "--ca-file") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			block := []byte(strings.Repeat(" ", 1<<20))
			for range maxAnswer>>20 + 2 {
				_, _ = rw.Write(block)
			}
			return
		}
		_, _ = io.WriteString(rw, "<html>")
	})
	for path, want := range map[string]string{"/page": "is not JSON", "/endless": "larger than 64 MiB", "nowhere": "begin with a slash"} {
		if _, err := w.Do(t.Context(), Call{Method: http.MethodGet, Path: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := w.List(t.Context(), "/page"); err == nil {
		t.Error("a list that is none is taken")
	}
}

func TestURLsOfServers(t *testing.T) {
	for text, good := range map[string]bool{
		"https://localhost:8443": true, "https://localhost": true, "https://[::1]:8443/": true,
		"http://localhost": false, "localhost:8443": false, "https://": false, "https://a/b": false, "https://u:p@a": false, "https://a?b": false, "": false, "https://a\n": false,
	} {
		_, err := New(Config{URL: text})
		if (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: the error has the password: %v", text, err)
		}
	}
	if _, err := New(Config{URL: "https://a", CA: []byte("no PEM")}); err == nil {
		t.Error("an authority that is none is taken")
	}
}

// otherCA is an authority that no server here has.
var otherCA = []byte(`-----BEGIN CERTIFICATE-----
MIIBdjCCAR2gAwIBAgIUQnPkjyO9BQw4Izh9DhFB3ZZEi/cwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFb3RoZXIwIBcNMjYxMTIxMTQxMTMwWhgPMjEyNjEwMjgxNDEx
MzBaMBAxDjAMBgNVBAMMBW90aGVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
esbnvgG6gfJ6dxitoBw/LbfHW+E3cFpA+/moAc/kCeCi2/lqxYGWzzw89quyIytq
yTPG6y7hlWBnAkPhEWl966NTMFEwHQYDVR0OBBYEFEAIAwdyKSN8ZUhO/DhE+IUI
emyHMB8GA1UdIwQYMBaAFEAIAwdyKSN8ZUhO/DhE+IUIemyHMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgAi9DWY2JNGN4ZrQYHHPkSkcv28d8uEBw
RG5eu4fBC8YCIHqMkfqgeZzUaMQyYlSbZ7ckmdXsBnP3SrpcOjE5ysRt
-----END CERTIFICATE-----`)
