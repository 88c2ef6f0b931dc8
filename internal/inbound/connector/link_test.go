package connector_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/inbound/connector"
	"github.com/coffer-backup/coffer/internal/outbound/link"
)

// ask sends a request through a link.
func ask(t testing.TB, through http.RoundTripper, method, path string, header http.Header) (status int, body string) {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), method, "https://any"+path, http.NoBody))
	for name, values := range header {
		r.Header[name] = values
	}
	answer, err := through.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	return answer.StatusCode, string(must(io.ReadAll(answer.Body)))
}

const runs = "/apis/clusterbackup.dataprotection.microsoft.com/v1alpha1/namespaces/coffer/backups"

func TestAVaultIsItselfInTheClusterAndNobodyElse(t *testing.T) {
	s := newServer(t, nil)
	var got http.Header
	newCluster(t, s.token(clusterID(1)).String(), func(c *cluster, _ *connector.Config) {
		c.api = func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Clone()
			w.Header().Set("Set-Cookie", "a=b")
			_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI()) //nolint:gosec // No browser reads it.
		}
	})
	session := s.mustSession(t, clusterID(1))
	status, body := ask(t, session.Kubernetes(identity), http.MethodGet, runs+"?limit=5", http.Header{
		"Authorization": {"Bearer stolen"}, "Impersonate-User": {"system:admin"}, "Impersonate-Group": {"system:masters"}, "Impersonate-Uid": {"0"},
		"Impersonate-Extra-Scopes": {"all"}, "X-Remote-User": {"system:admin"}, "X-Remote-Group": {"system:masters"}, "X-Remote-Extra-A": {"b"},
		"Cookie": {"a=b"}, "X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Client-Cert": {"x"}, "Forwarded": {"for=x"}, "Proxy-Authorization": {"x"},
		"Connection": {"Impersonate-User"}, "Accept": {"application/json"}, "User-Agent": {"coffer-server"},
	})
	if status != http.StatusOK || body != "GET "+runs+"?limit=5" {
		t.Fatalf("%d %s", status, body)
	}
	got.Del("Accept-Encoding")
	want := http.Header{
		"Accept": {"application/json"}, "User-Agent": {"coffer-server"}, "Authorization": {"Bearer the-connectors-own"},
		"Impersonate-User": {"system:serviceaccount:coffer-vaults:" + identity},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the API server was sent (-want +got):\n%s", diff)
	}
	if _, err := session.Kubernetes("system:admin").RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x"+runs, http.NoBody))); err == nil {
		t.Error("a request was sent as somebody who is no vault")
	}
}

func TestOnlyWhatVaultsHaveAUseForIsPassedOn(t *testing.T) {
	s := newServer(t, nil)
	newCluster(t, s.token(clusterID(1)).String(), func(c *cluster, _ *connector.Config) {
		c.api = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
	})
	api := s.mustSession(t, clusterID(1)).Kubernetes(identity)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, runs, http.StatusTeapot},
		{http.MethodPost, runs, http.StatusTeapot},
		{http.MethodPatch, runs + "/b1", http.StatusTeapot},
		{http.MethodDelete, runs + "/b1", http.StatusTeapot},
		{http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", http.StatusTeapot},
		{http.MethodGet, "/version", http.StatusTeapot},
		{http.MethodGet, "/apis/clusterbackup.dataprotection.microsoft.com/v1alpha1", http.StatusTeapot},
		{http.MethodGet, "/apis", http.StatusTeapot},
		{http.MethodGet, "/api/v1/namespaces/coffer/secrets/coffer-link", http.StatusForbidden},
		{http.MethodGet, "/api/v1/pods", http.StatusForbidden},
		{http.MethodPost, "/api/v1/namespaces/coffer/pods/p/exec", http.StatusForbidden},
		{http.MethodPost, "/apis/authorization.k8s.io/v1/subjectaccessreviews", http.StatusForbidden},
		{http.MethodGet, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", http.StatusForbidden},
		{http.MethodPost, "/apis", http.StatusForbidden},
		{http.MethodGet, "/apis/apps/v1/deployments", http.StatusForbidden},
		{http.MethodGet, "/apis/clusterbackup.dataprotection.microsoft.com/../../api/v1/secrets", http.StatusForbidden},
		{http.MethodGet, "/apis/clusterbackup.dataprotection.microsoft.com/v1alpha1/%2e%2e/%2e%2e/api/v1/secrets", http.StatusForbidden},
		{http.MethodGet, "/apis/clusterbackup.dataprotection.microsoft.com/v1alpha1/a%2f..%2f..", http.StatusForbidden},
		{http.MethodGet, "//api/v1/secrets", http.StatusForbidden},
		{http.MethodGet, "/metrics", http.StatusForbidden},
		{http.MethodGet, "/logs/", http.StatusForbidden},
		{http.MethodOptions, runs, http.StatusForbidden},
	} {
		if status, body := ask(t, api, c.method, c.path, nil); status != c.want {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, status, body, c.want)
		}
	}
	if status, _ := ask(t, api, http.MethodGet, runs, http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}); status != http.StatusForbidden {
		t.Errorf("an upgrade was answered %d", status)
	}
}

func TestAWatchIsSeenAsItHappens(t *testing.T) {
	s := newServer(t, nil)
	more := make(chan struct{})
	newCluster(t, s.token(clusterID(1)).String(), func(c *cluster, _ *connector.Config) {
		c.api = func(w http.ResponseWriter, r *http.Request) {
			for n := range 3 {
				fmt.Fprintf(w, "event %d\n", n)
				_ = http.NewResponseController(w).Flush()
				select {
				case <-more:
				case <-r.Context().Done():
					return
				}
			}
		}
	})
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x"+runs+"?watch=true", http.NoBody))
	answer, err := s.mustSession(t, clusterID(1)).Kubernetes(identity).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	lines := bufio.NewReader(answer.Body)
	for n := range 3 {
		if line := must(lines.ReadString('\n')); line != fmt.Sprintf("event %d\n", n) {
			t.Fatal(line)
		}
		more <- struct{}{}
	}
}

func TestAnAnswerThatWasLostCostsNoToken(t *testing.T) {
	for dies := 1; dies <= 2; dies++ {
		s := newServer(t, nil)
		c := newCluster(t, s.token(clusterID(1)).String(), func(c *cluster, _ *connector.Config) { c.store.dies = dies })
		s.mustSession(t, clusterID(1))
		// The first save is of the key, before the token was used; the second of what the server has answered.
		if joins := get(s.keeper, func() int { return s.joins }); joins != dies {
			t.Errorf("dying at save %d, it has joined %d times", dies, joins)
		}
		if kept := must(c.store.Load(t.Context())); len(kept.PendingKey) != 0 || kept.Cluster != string(clusterID(1)) {
			t.Errorf("kept %+v", kept)
		}
	}
}

func TestWhyAClusterIsNotLinkedIsShownAndNoSecretIs(t *testing.T) {
	s := newServer(t, nil)
	good := s.token(clusterID(1))
	newCluster(t, good.String(), nil)
	s.mustSession(t, clusterID(1))
	foreign, unknown, nowhere := s.token(clusterID(3)), s.token(clusterID(4)), s.token(clusterID(5))
	foreign.Authority = newAuthority(t).digest()
	unknown.Secret = "of-another-server"
	nowhere.Address = "127.0.0.1:1"
	for _, c := range []struct{ name, token, want string }{
		{"no token", "", "no join token"},
		{"not a token", "coffer-join-!", "damaged"},
		{"a token that was used by another key", good.String(), "used before"},
		{"a token that nobody knows", unknown.String(), "not known, or has ended; get another"},
		{"a token with the authority of another server", foreign.String(), "not the join token's"},
		{"a token of a server that is not there", nowhere.String(), "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := newCluster(t, c.token, nil)
			cluster.mustShow(t, c.want)
			cluster.stop()
			all := cluster.log.String() + cluster.Status().Problem + s.log.String()
			for _, secret := range []string{good.Secret, unknown.Secret, foreign.Secret, nowhere.Secret, "coffer-join-ey"} {
				if strings.Contains(all, secret) {
					t.Errorf("the secret %s is in\n%s", secret, all)
				}
			}
		})
	}
}

func TestAServerWithAnotherClockIsAMatterOfClocks(t *testing.T) {
	s := newServer(t, nil)
	joined := newCluster(t, s.token(clusterID(1)).String(), nil)
	s.mustSession(t, clusterID(1))
	s.stop(t)
	s.serving = s.authority.serving(2 * time.Hour)
	s.start(t)
	joined.mustShow(t, "compare the clocks")
	newCluster(t, s.token(clusterID(2)).String(), nil).mustShow(t, "compare the clocks")
}

func TestAnotherTokenIsUsedAtOnce(t *testing.T) {
	s := newServer(t, nil)
	c := newCluster(t, "", func(_ *cluster, settings *connector.Config) { settings.RetryFinal = time.Hour })
	c.mustShow(t, "no join token")
	c.setToken(s.token(clusterID(1)).String())
	s.mustSession(t, clusterID(1))
	// Another one while it is linked, of another server.
	other := newServer(t, nil)
	c.setToken(other.token(clusterID(2)).String())
	other.mustSession(t, clusterID(2))
	await(t, "the first server is left", func() bool { return s.count() == 0 })
	// One that is refused does not end the link that there is.
	bad := other.token(clusterID(3))
	bad.Secret = "unknown"
	c.setToken(bad.String())
	await(t, "it is refused", func() bool { return strings.Contains(c.log.String(), "join token refused") })
	other.mustSession(t, clusterID(2))
}

func TestATokenThatIsOfNoUseTakesNothingFromALinkThatThereIs(t *testing.T) {
	foreign := newAuthority(t).digest()
	for name, spoil := range map[string]func(*wire.Token){
		"the server does not know it":        func(t *wire.Token) { t.Secret = "unknown" },
		"it leads to nobody":                 func(t *wire.Token) { t.Address = "127.0.0.1:1" },
		"it leads to somebody else's server": func(t *wire.Token) { t.Authority = foreign },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, nil)
			var ahead atomic.Int64
			c := newCluster(t, s.token(clusterID(1)).String(), func(_ *cluster, settings *connector.Config) {
				settings.RetryFinal = time.Hour
				settings.NowFunc = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			})
			session := s.mustSession(t, clusterID(1))
			bad := s.token(clusterID(1))
			spoil(&bad)
			c.setToken(bad.String())
			<-session.Ended()
			s.mustSession(t, clusterID(1))
			await(t, "it is linked all the same", func() bool { return c.Status().Linked })
			// Its certificate is renewed when it is time, as ever.
			before := must(c.store.Load(t.Context())).Certificate
			ahead.Store(int64(11 * 24 * time.Hour))
			await(t, "another certificate is kept", func() bool { return !bytes.Equal(must(c.store.Load(t.Context())).Certificate, before) })
		})
	}
}

func TestTheLinkComesBackAfterARestartOfTheServer(t *testing.T) {
	s := newServer(t, nil)
	c := newCluster(t, s.token(clusterID(1)).String(), nil)
	before := s.mustSession(t, clusterID(1))
	s.stop(t)
	<-before.Ended()
	if s.count() != 0 {
		t.Error("it was not told that the link has ended")
	}
	_, err := before.Kubernetes(identity).RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x"+runs, http.NoBody)))
	var coded *coffer.Error
	if !errors.As(err, &coded) || coded.Code != coffer.CodeClusterNotReachable || !coded.Transient {
		t.Errorf("a request through a link that has ended: %v", err)
	}
	if _, err := s.hub.Session(t.Context(), clusterID(1)); coffer.CodeOf(err) != coffer.CodeClusterNotReachable || coffer.Final(err) {
		t.Errorf("%v", err)
	}
	c.mustShow(t, "refused")
	s.start(t)
	if status, _ := ask(t, s.mustSession(t, clusterID(1)).Kubernetes(identity), http.MethodGet, runs, nil); status != http.StatusOK {
		t.Error(status)
	}
	if joins := get(s.keeper, func() int { return s.joins }); joins != 1 {
		t.Errorf("it has joined %d times", joins)
	}
}

func TestAConnectorTakesUpWhatIsKept(t *testing.T) {
	s := newServer(t, nil)
	first := newCluster(t, s.token(clusterID(1)).String(), nil)
	s.mustSession(t, clusterID(1))
	first.stop()
	await(t, "it is gone", func() bool { return s.count() == 0 })
	newCluster(t, "", func(c *cluster, settings *connector.Config) { c.store = first.store; settings.Store = first.store })
	s.mustSession(t, clusterID(1))
}

func TestTheNewestLinkOfAClusterWins(t *testing.T) {
	s := newServer(t, nil)
	first := newCluster(t, s.token(clusterID(1)).String(), func(_ *cluster, settings *connector.Config) {
		settings.RetryFirst, settings.RetryLongest = time.Hour, time.Hour
	})
	before := s.mustSession(t, clusterID(1))
	newCluster(t, "", func(c *cluster, settings *connector.Config) { c.store = first.store; settings.Store = first.store })
	<-before.Ended()
	var after catalogue.ClusterSession
	await(t, "there is another", func() bool {
		var err error
		after, err = s.hub.Session(t.Context(), clusterID(1))
		return err == nil && after != before
	})
	if status, _ := ask(t, after.Kubernetes(identity), http.MethodGet, runs, nil); status != http.StatusOK || s.hub.Count() != 1 || s.count() != 1 {
		t.Errorf("%d, %d links, %d recorded", status, s.hub.Count(), s.count())
	}
}

func TestLeavingEndsTheLinkForGood(t *testing.T) {
	s := newServer(t, nil)
	c := newCluster(t, s.token(clusterID(1)).String(), nil)
	session := s.mustSession(t, clusterID(1))
	get(s.keeper, func() bool { s.revoked[string(clusterID(1))] = true; return true })
	s.hub.Close(clusterID(1))
	<-session.Ended()
	c.mustShow(t, "the cluster has left; join again")
	if c.Status().Linked {
		t.Error("it says that it is linked")
	}
}

func TestALinkThatIsNotRecordedIsClosed(t *testing.T) {
	s := newServer(t, nil)
	s.trouble = errors.New("the database is away")
	c := newCluster(t, s.token(clusterID(1)).String(), nil)
	await(t, "it was tried again", func() bool { return c.Status().Links > 1 })
	if s.count() != 0 {
		t.Error("it is recorded")
	}
	get(s.keeper, func() bool { s.trouble = nil; return true })
	s.mustSession(t, clusterID(1))
}

func TestACertificateIsRenewedAfterAThirdOfItsTime(t *testing.T) {
	s := newServer(t, nil)
	// It began a minute ago: a third of it is over.
	s.life = 90 * time.Second
	c := newCluster(t, s.token(clusterID(1)).String(), nil)
	s.mustSession(t, clusterID(1))
	await(t, "it is renewed", func() bool { return get(s.keeper, func() int { return s.renewed }) == 1 })
	await(t, "it is kept", func() bool { return must(c.store.Load(t.Context())).Version == "3" })
	if got := get(s.keeper, func() int { return s.renewed }); got != 1 {
		t.Errorf("renewed %d times", got)
	}
}

func TestAClockThatIsAheadRenewsNoCertificateWithoutEnd(t *testing.T) {
	s := newServer(t, nil)
	var looks atomic.Int64
	newCluster(t, s.token(clusterID(1)).String(), func(_ *cluster, settings *connector.Config) {
		settings.NowFunc = func() time.Time { return time.Now().Add(s.life) }
		settings.RetryFinal = time.Hour
		given := settings.TokenFunc
		settings.TokenFunc = func() (string, error) { looks.Add(1); return given() }
	})
	s.mustSession(t, clusterID(1))
	await(t, "it has looked many times", func() bool { return looks.Load() > 20 })
	// Once before it was linked, and once to see whether that has helped.
	if got := get(s.keeper, func() int { return s.renewed }); got != 2 {
		t.Errorf("renewed %d times", got)
	}
}

func TestALinkEndsWithItsCertificate(t *testing.T) {
	s := newServer(t, nil)
	s.life = time.Second
	c := newCluster(t, s.token(clusterID(1)).String(), func(_ *cluster, settings *connector.Config) {
		// A clock that is behind: it does not renew.
		settings.NowFunc = func() time.Time { return time.Now().Add(-time.Hour) }
	})
	session := s.mustSession(t, clusterID(1))
	<-session.Ended()
	await(t, "it is not linked any more", func() bool { return !c.Status().Linked && s.count() == 0 })
	if s.hub.Count() != 0 {
		t.Error("there is a link")
	}
}

// gap is a network between a cluster and a server that can go silent.
type gap struct {
	address string

	mu     sync.Mutex
	silent bool
	opened *sync.Cond
}

func newGap(t *testing.T, to string) *gap {
	t.Helper()
	listener := must((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))
	g := &gap{address: listener.Addr().String()}
	g.opened = sync.NewCond(&g.mu)
	t.Cleanup(func() { g.set(false); _ = listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			go g.carry(near, far)
			go g.carry(far, near)
		}
	}()
	return g
}

func (g *gap) set(silent bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.silent = silent
	g.opened.Broadcast()
}

func (g *gap) carry(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		g.mu.Lock()
		for g.silent {
			g.opened.Wait()
		}
		g.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestAConnectionThatIsHalfOpenIsNoticedByBothEnds(t *testing.T) {
	s := newServer(t, func(c *link.Config) { c.KeepAlive = 200 * time.Millisecond })
	between := newGap(t, s.address)
	token := s.token(clusterID(1))
	token.Address = between.address
	c := newCluster(t, token.String(), func(_ *cluster, settings *connector.Config) { settings.KeepAlive = 200 * time.Millisecond })
	session := s.mustSession(t, clusterID(1))
	between.set(true)
	<-session.Ended()
	await(t, "the connector has noticed", func() bool { return !c.Status().Linked })
	between.set(false)
	s.mustSession(t, clusterID(1))
}

func TestAHundredClustersAtOnce(t *testing.T) {
	s := newServer(t, nil)
	const many = 100
	for n := range many {
		newCluster(t, s.token(clusterID(n)).String(), func(c *cluster, _ *connector.Config) {
			c.api = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, n) }
		})
	}
	check := func() {
		await(t, "all are linked", func() bool { return s.hub.Count() == many && s.count() == many })
		var all sync.WaitGroup
		for n := range many {
			all.Go(func() {
				session, err := s.hub.Session(t.Context(), clusterID(n))
				if err != nil {
					t.Error(err)
					return
				}
				r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x"+runs, http.NoBody))
				answer, err := session.Kubernetes(identity).RoundTrip(r)
				if err != nil {
					t.Error(err)
					return
				}
				if text := string(must(io.ReadAll(answer.Body))); text != fmt.Sprint(n) {
					t.Errorf("cluster %d answers %s", n, text)
				}
				_ = answer.Body.Close()
			})
		}
		all.Wait()
	}
	check()
	s.stop(t)
	if s.count() != 0 {
		t.Errorf("%d are recorded after the end", s.count())
	}
	s.start(t)
	check()
}
