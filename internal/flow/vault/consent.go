package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// Consents are the use cases of whether clusters let vaults act in them. A cluster's own RBAC is the only truth; what bindings say of it
// is what a cluster has answered last. It may be used concurrently.
type Consents struct {
	config ConsentsConfig
}

// ConsentsConfig is what Consents needs; all of it.
type ConsentsConfig struct {
	Database catalogue.Database
	Clusters catalogue.Clusters
	NowFunc  func() time.Time
	Log      *slog.Logger
}

// NewConsents makes the use cases.
func NewConsents(c ConsentsConfig) (*Consents, error) {
	if c.Database == nil || c.Clusters == nil || c.NowFunc == nil || c.Log == nil {
		return nil, errMissingConfig
	}
	return &Consents{config: c}, nil
}

// How clusters are asked.
const (
	// askTime is how long it may take to ask a cluster about one binding, and to give consent.
	askTime = 15 * time.Second
	// maxReview bounds what a cluster answers, in bytes.
	maxReview = 64 << 10
	// checkedLife is how old it may be when a cluster was asked last, as it is kept: answers that are the same are not written each time.
	checkedLife = time.Hour
)

// Check asks a cluster whether it lets the vault of a binding act in it, and writes down the answer. Consent that an Owner of the cluster
// has asked for is given before that, where the cluster lets this server. It takes at most 15 seconds. A cluster that has no link is an
// error with coffer.CodeClusterNotReachable, one that has not joined with coffer.CodeClusterNotJoined.
func (c *Consents) Check(ctx context.Context, binding catalogue.ID) (catalogue.Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	r, f, err := c.binding(ctx, binding)
	if err != nil {
		return r, err
	}
	session, err := joinedSession(ctx, c.config.Database, c.config.Clusters, r.ID.Parent())
	if err != nil {
		return r, err
	}
	info := session.Info()
	if err := checkInfo(info); err != nil {
		return r, err
	}
	approved, err := ask(ctx, session, info.Namespace, f.Identity)
	if err != nil {
		return r, err
	}
	gave := false
	if !approved && f.Consent == ConsentAsked && info.BindingsByOwner {
		if err := session.Consent(ctx, f.Identity); err != nil {
			// Why not is for the log: the binding says how it is approved.
			c.config.Log.Warn("a cluster was asked for consent by its owner, and has not given it", "binding", r.ID, "error", err)
		} else if approved, err = ask(ctx, session, info.Namespace, f.Identity); err != nil {
			return r, err
		}
		gave = approved
	}
	return c.record(ctx, r.ID, f.Identity, approved, gave)
}

// joinedSession is a way to a cluster that has joined, or why there is none.
func joinedSession(ctx context.Context, db catalogue.Database, clusters catalogue.Clusters, cluster catalogue.ID) (catalogue.ClusterSession, error) {
	r, err := view(ctx, db, func(ctx context.Context, v catalogue.View) (catalogue.Resource, error) {
		return v.Resource(ctx, cluster)
	})
	if err != nil {
		return nil, err
	}
	if err := mustHaveJoined(r); err != nil {
		return nil, err
	}
	return clusters.Session(ctx, cluster)
}

func (c *Consents) binding(ctx context.Context, id catalogue.ID) (r catalogue.Resource, f BindingFacts, err error) {
	err = c.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		if r, err = v.Resource(ctx, id); err != nil {
			return err
		}
		f, err = BindingFactsOf(r)
		return err
	})
	return r, f, err
}

// record writes what a cluster has answered about an identity. A binding that is of another one by now stays as it is.
func (c *Consents) record(ctx context.Context, binding catalogue.ID, identity string, approved, gave bool) (r catalogue.Resource, err error) {
	now := c.config.NowFunc().UTC().Truncate(time.Microsecond)
	err = c.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		if r, err = tx.Resource(ctx, binding); err != nil {
			return err
		}
		was, err := BindingFactsOf(r)
		if err != nil || was.Identity != identity {
			return err
		}
		_, cluster, err := clusterAt(ctx, tx, r.ID.Parent())
		if err != nil {
			return err
		}
		f := was
		f.State = BindingPending
		if approved {
			f.State = BindingApproved
		}
		if gave || approved && f.Consent == ConsentAsked {
			f.Consent = ConsentGiven
		}
		f = f.in(r.ID.Parent(), cluster)
		if f == was && now.Sub(was.Checked).Abs() < checkedLife {
			return nil
		}
		f.Checked = now
		before := r
		if err := putBinding(ctx, tx, r, f); err != nil {
			return err
		}
		if r, err = tx.Resource(ctx, r.ID); err != nil || !gave {
			return err
		}
		by := connector(r.ID.Parent(), "")
		return appendEntry(ctx, tx, by.entry(now, access.ActionConsent, r.ID, http.StatusOK), &before, &r)
	})
	return r, err
}

// ask asks a cluster whether an identity may make backups in the extension's namespace: the connector may be it, and it asks for itself.
func ask(ctx context.Context, session catalogue.ClusterSession, namespace, identity string) (approved bool, err error) {
	body := facts(object{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": object{"resourceAttributes": object{"group": operatorGroup, "resource": "backups", "verb": "create", "namespace": namespace}},
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://cluster/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	answer, err := session.Kubernetes(identity).RoundTrip(r)
	if err != nil {
		if coffer.CodeOf(err) != "" {
			return false, err
		}
		return false, notReachable("the cluster does not answer: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxReview+1))
	switch {
	case err != nil:
		return false, notReachable("the cluster's answer does not arrive: %w", err)
	case answer.StatusCode == http.StatusForbidden:
		// A cluster where not even that may be asked lets nobody in.
		return false, nil
	case answer.StatusCode != http.StatusCreated && answer.StatusCode != http.StatusOK:
		return false, notReachable("the cluster answers %d when it is asked what a vault may do in it", answer.StatusCode)
	case len(text) > maxReview:
		return false, notReachable("the cluster answers more than %d bytes when it is asked what a vault may do in it", maxReview)
	}
	var review struct {
		Kind   string `json:"kind"`
		Status struct {
			Allowed bool `json:"allowed"`
		} `json:"status"`
	}
	if err := json.Unmarshal(text, &review); err != nil || review.Kind != "SelfSubjectAccessReview" {
		return false, notReachable("the cluster answers no SelfSubjectAccessReview when it is asked what a vault may do in it")
	}
	return review.Status.Allowed, nil
}

func notReachable(format string, args ...any) error {
	err := coffer.Errorf(coffer.CodeClusterNotReachable, format, args...).WithHint("try again later; if it stays so, look at the connector's log in the cluster")
	err.Transient = true
	return err
}

// CheckCluster checks all bindings of a cluster that has a link. It goes on after an error with the next one, but for a cluster that does
// not answer.
func (c *Consents) CheckCluster(ctx context.Context, cluster catalogue.ID) error {
	var bindings []catalogue.ID
	err := c.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		bindings = nil
		return each(ctx, v, catalogue.ResourceQuery{Type: typeBinding, Under: cluster}, func(r catalogue.Resource) error {
			bindings = append(bindings, r.ID)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("list the trusted access of %s: %w", cluster, err)
	}
	for _, b := range bindings {
		if _, failed := c.Check(ctx, b); failed != nil && !missing(failed) {
			err = errors.Join(err, fmt.Errorf("check %s: %w", b, failed))
			if coffer.CodeOf(failed) == coffer.CodeClusterNotReachable {
				break
			}
		}
	}
	return err
}

// Run checks all bindings of each cluster when it has been linked, and every few minutes, until ctx ends.
func (c *Consents) Run(ctx context.Context) {
	r := rounds{clusters: c.config.Clusters, ask: func(within context.Context, cluster catalogue.ID) {
		if err := c.CheckCluster(within, cluster); err != nil && ctx.Err() == nil {
			c.config.Log.Warn("trusted access is not checked", "cluster", cluster, "error", err)
		}
	}}
	r.run(ctx)
}
