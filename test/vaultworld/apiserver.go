package vaultworld

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// APIServer is as much of a cluster as consent needs: who is bound, over real HTTP. It is a session, as the connector carries it.
type APIServer struct {
	*httptest.Server
	info catalogue.ClusterInfo

	mu sync.Mutex // guards all below
	// bound are the identities that may make backups, and asked how often somebody asked.
	bound map[string]bool
	asked int
	// answer, if it is there, is answered to everybody.
	answer http.HandlerFunc
	ended  chan struct{}
}

// NewAPIServer makes one in which nobody is bound.
func NewAPIServer(t testing.TB, info catalogue.ClusterInfo) *APIServer {
	t.Helper()
	a := &APIServer{info: info, bound: map[string]bool{}, ended: make(chan struct{})}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.asked++
		if a.answer != nil {
			a.answer(w, r)
			return
		}
		var review struct {
			Kind string
			Spec struct {
				ResourceAttributes struct{ Group, Resource, Verb, Namespace string }
			}
		}
		err := json.NewDecoder(r.Body).Decode(&review)
		at := review.Spec.ResourceAttributes
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" || review.Kind != "SelfSubjectAccessReview" {
			http.Error(w, "what is that", http.StatusBadRequest)
			return
		}
		allowed := a.bound[r.Header.Get("Impersonate-User")] && at.Group == "clusterbackup.dataprotection.microsoft.com" && at.Resource == "backups" && at.Verb == "create" && at.Namespace == a.info.Namespace
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": map[string]any{"allowed": allowed}})
	}))
	t.Cleanup(a.Close)
	return a
}

// Bind says whether an identity is bound.
func (a *APIServer) Bind(identity string, bound bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bound[identity] = bound
}

// Bound says whether an identity is bound.
func (a *APIServer) Bound(identity string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bound[identity]
}

// Questions is how often it was asked.
func (a *APIServer) Questions() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

// Answer has everybody answered by a handler from now on.
func (a *APIServer) Answer(by http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = by
}

// Relink makes it another link's.
func (a *APIServer) Relink() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = make(chan struct{})
}

// Info implements catalogue.ClusterSession.
func (a *APIServer) Info() catalogue.ClusterInfo { return a.info }

// Kubernetes implements catalogue.ClusterSession.
func (a *APIServer) Kubernetes(identity string) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		to, err := url.Parse(a.URL)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = to.Scheme, to.Host
		r.Header.Set("Impersonate-User", identity)
		return http.DefaultTransport.RoundTrip(r)
	})
}

// Content implements catalogue.ClusterSession.
func (a *APIServer) Content(string) http.RoundTripper { return nil }

// Consent implements catalogue.ClusterSession.
func (a *APIServer) Consent(_ context.Context, identity string) error {
	if !a.info.BindingsByOwner {
		return coffer.Errorf(coffer.CodeTrustedAccessMissing, "the cluster's owner has not allowed it")
	}
	a.Bind(identity, true)
	return nil
}

// Ended implements catalogue.ClusterSession.
func (a *APIServer) Ended() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Links are the clusters that there is a way to.
type Links struct {
	mu  sync.Mutex
	all map[string]linkedCluster
}

// NewLinks are none.
func NewLinks() *Links { return &Links{all: map[string]linkedCluster{}} }

// Session implements catalogue.Clusters.
func (l *Links) Session(_ context.Context, cluster catalogue.ID) (catalogue.ClusterSession, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.all[cluster.Key()]; ok {
		return s.session, nil
	}
	return nil, &coffer.Error{Code: coffer.CodeClusterNotReachable, Message: "it is not linked", Transient: true}
}

// Linked implements catalogue.Clusters.
func (l *Links) Linked() (found []catalogue.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.all {
		found = append(found, s.id)
	}
	return found
}

// Set makes a session the way to a cluster; nil is that there is none.
func (l *Links) Set(cluster catalogue.ID, s catalogue.ClusterSession) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s == nil {
		delete(l.all, cluster.Key())
		return
	}
	l.all[cluster.Key()] = linkedCluster{cluster, s}
}

type linkedCluster struct {
	id      catalogue.ID
	session catalogue.ClusterSession
}

// Close ends the link of a cluster, if there is one.
func (l *Links) Close(cluster catalogue.ID) { l.Set(cluster, nil) }
