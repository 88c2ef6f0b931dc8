package reader

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// GateConfig is what a gate is made of; all is needed.
type GateConfig struct {
	// Reader answers what is let through.
	Reader *Handler
	// ConnectorFunc answers whether a token is the connector's, and AllowedFunc whether a vault may get a subresource, by the
	// cluster's own RBAC.
	ConnectorFunc func(ctx context.Context, token string) (bool, error)
	AllowedFunc   func(ctx context.Context, identity, resource, subresource string) (bool, error)
	// NowFunc is the clock.
	NowFunc func() time.Time
}

const (
	// answerAge is how long an answer of the API server is taken for true: trusted access that was withdrawn ends after it.
	answerAge = 3 * time.Second
	// maxAnswers bounds the answers that are kept.
	maxAnswers = 1000
	// parallelReviews bounds the questions to the API server: whoever reaches the port can cause one.
	parallelReviews = 4
	// maxToken bounds a token, in bytes.
	maxToken = 16 << 10
)

// gate lets vaults read, through the connector, what the cluster's RBAC lets them.
type gate struct {
	GateConfig
	reviews chan struct{}

	mu sync.Mutex // guards answers
	// answers are those of the API server, by the digest of the question.
	answers map[[sha256.Size]byte]answer
}

type answer struct {
	yes  bool
	when time.Time
}

// NewGate serves a Handler to the connector: each request has the connector's token, and link.IdentityHeader says for which vault
// it asks. Values of Secrets are never given, and reports of restore tests are not for vaults.
func NewGate(c GateConfig) http.Handler {
	g := &gate{GateConfig: c, reviews: make(chan struct{}, parallelReviews), answers: map[[sha256.Size]byte]answer{}}
	mux := http.NewServeMux()
	for pattern, subresource := range map[string]string{
		content.ContentsPattern: content.ResourceBackups + "/" + content.SubresourceContents,
		content.CoveragePattern: content.ResourceBackups + "/" + content.SubresourceContents,
		content.HoldingsPattern: content.ResourceBackups + "/" + content.SubresourceContents,
		content.PlanPattern:     content.ResourceRestores + "/" + content.SubresourceContents,
		content.ReportPattern:   content.ResourceRestores + "/" + content.SubresourceContents,
		content.DiffPattern:     content.ResourceRestores + "/" + content.SubresourceContents,
	} {
		mux.HandleFunc("GET "+pattern, g.guard(func(*http.Request) string { return subresource }))
	}
	mux.HandleFunc("GET "+content.InventoryPattern, g.guard(func(*http.Request) string {
		return content.ResourceBackups + "/" + content.SubresourceInventory
	}))
	mux.HandleFunc("GET "+content.LogsPattern, g.guard(func(r *http.Request) string {
		if r.PathValue("kind") == content.LogsOfRestore {
			return content.ResourceRestores + "/" + content.SubresourceContents
		}
		return content.ResourceBackups + "/" + content.SubresourceContents
	}))
	return mux
}

// guard serves what the vault that asks may get the subresource of.
func (g *gate) guard(subresourceOf func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := g.admit(r, subresourceOf(r)); err != nil {
			g.Reader.Log.Warn("content is refused", "path", r.URL.Path, "identity", shortIdentity(r), "code", coffer.CodeOf(err), "error", err)
			_ = newLines(w, g.Reader.Stall).end(err)
			return
		}
		// Whoever answers has no use for it.
		r.Header.Del("Authorization")
		g.Reader.ServeHTTP(w, r)
	}
}

// shortIdentity is what the log shows of who asks: it may be anything.
func shortIdentity(r *http.Request) string {
	identity := r.Header.Get(link.IdentityHeader)
	return identity[:min(len(identity), 64)]
}

// admit refuses a request.
func (g *gate) admit(r *http.Request, subresource string) error {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	stranger := coffer.Errorf(coffer.CodeAuthenticationFailed, "only the connector of this extension may ask here")
	if !found || token == "" || len(token) > maxToken {
		return stranger
	}
	known, err := g.ask(r.Context(), "token", []string{token}, func(ctx context.Context) (bool, error) { return g.ConnectorFunc(ctx, token) })
	if err != nil {
		return err
	}
	if !known {
		return stranger
	}
	if err := withoutSecrets(r); err != nil {
		return err
	}
	identities := r.Header.Values(link.IdentityHeader)
	if len(identities) != 1 || identities[0] == "" {
		return coffer.Errorf(coffer.CodeInvalid, "header %s has to say who asks, once", link.IdentityHeader)
	}
	resource, sub, _ := strings.Cut(subresource, "/")
	allowed, err := g.ask(r.Context(), "access", []string{identities[0], subresource}, func(ctx context.Context) (bool, error) {
		return g.AllowedFunc(ctx, identities[0], resource, sub)
	})
	if err != nil {
		return err
	}
	if !allowed {
		return coffer.Errorf(coffer.CodeForbidden, "the vault may not get %s in this cluster", subresource).
			WithHint("give it trusted access: a RoleBinding of its identity to the ClusterRole backup-operator, in the extension's namespace")
	}
	return nil
}

// withoutSecrets refuses a request for the values of Secrets, however it is spelled.
func withoutSecrets(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return coffer.Errorf(coffer.CodeInvalid, "the query is malformed: %w", err)
	}
	for name, values := range query {
		if strings.EqualFold(name, content.ParamSecrets) && (len(values) != 1 || values[0] != "false") {
			return coffer.Errorf(coffer.CodeForbidden, "values of Secrets do not leave the cluster").
				WithHint("read them in the cluster, with `coffer backup contents --show-secrets`")
		}
	}
	return nil
}

// ask has a question answered by the API server, or by what it said a moment ago.
func (g *gate) ask(ctx context.Context, about string, question []string, do func(context.Context) (bool, error)) (bool, error) {
	key := sha256.Sum256([]byte(about + "\x00" + strings.Join(question, "\x00")))
	if yes, known := g.recall(key); known {
		return yes, nil
	}
	turn, cancel := context.WithTimeout(ctx, g.Reader.Patience)
	defer cancel()
	select {
	case g.reviews <- struct{}{}:
		defer func() { <-g.reviews }()
	case <-turn.Done():
		busy := coffer.Errorf(coffer.CodeBusy, "the Backup extension is asking the API server about others").WithHint("try again")
		busy.Transient = true
		return false, busy
	}
	asked := g.NowFunc()
	yes, err := do(turn)
	if err != nil {
		return false, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.answers) >= maxAnswers {
		clear(g.answers)
	}
	g.answers[key] = answer{yes: yes, when: asked}
	return yes, nil
}

func (g *gate) recall(key [sha256.Size]byte) (yes, known bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, known := g.answers[key]
	if age := g.NowFunc().Sub(a.when); age < 0 || age >= answerAge {
		return false, false
	}
	return a.yes, known
}
