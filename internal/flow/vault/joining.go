package vault

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// Joining are the use cases of clusters that join, are linked, and leave. It may be used concurrently.
//
//	Pending ──Join──▶ Disconnected ◀──Unlinked── Connected
//	   ▲                    │  └──────Linked────────▲  │
//	   └───────Leave────────┴──────────────────────────┘
type Joining struct {
	config JoiningConfig
}

// JoiningConfig is what Joining needs; all of it but Address and AskFunc.
type JoiningConfig struct {
	Database  catalogue.Database
	Sealer    catalogue.Sealer
	Authority *Authority
	// NowFunc is the clock, and Random gives random bytes that nobody can guess; both may be used concurrently.
	NowFunc func() time.Time
	Random  io.Reader
	// Address is the link address that connectors are told, HOST:PORT; empty if this server has none.
	Address string
	// Hosts are the names and addresses that the certificate of the link address is good for.
	Hosts []string
	// Replica is the name of this one of the server's replicas.
	Replica string
	// AskFunc asks a cluster by a kubeconfig what there is to know of it; nil if this server dials none.
	AskFunc func(ctx context.Context, k catalogue.Kubeconfig) (catalogue.ClusterInfo, error)
	Log     *slog.Logger
}

// NewJoining makes the use cases.
func NewJoining(c JoiningConfig) (*Joining, error) {
	if c.Database == nil || c.Sealer == nil || c.Authority == nil || c.NowFunc == nil || c.Random == nil || c.Replica == "" || c.Log == nil {
		return nil, errMissingConfig
	}
	return &Joining{config: c}, nil
}

func (j *Joining) now() time.Time { return j.config.NowFunc().UTC().Truncate(time.Microsecond) }

// connector is who writes what a cluster does by itself.
func connector(cluster catalogue.ID, remote string) Caller {
	return Caller{Principal: catalogue.Principal{Name: "connector of " + cluster.Name()}, Remote: remote}
}

// Join takes a cluster in by the secret of a join token, and answers its certificate. The same secret may come again with the same key,
// as long as the token is good.
func (j *Joining) Join(ctx context.Context, secret string, request []byte, hello link.Hello, remote string) (link.Certificate, error) {
	info, err := infoOf(hello)
	if err != nil {
		return link.Certificate{}, err
	}
	asked, key, err := readRequest(request)
	if err != nil {
		return link.Certificate{}, err
	}
	shown, err := j.present(ctx, secret, key)
	if err != nil {
		return link.Certificate{}, err
	}
	var fresh [16]byte
	if _, err := io.ReadFull(j.config.Random, fresh[:]); err != nil {
		return link.Certificate{}, fmt.Errorf("make the number of a joining: %w", err)
	}
	now := j.now()
	var cluster catalogue.ID
	var joined ClusterFacts
	err = j.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, shown.cluster)
		if missing(err) {
			return errToken()
		}
		if err != nil {
			return err
		}
		cluster = r.ID
		if err := useToken(ctx, tx, shown); err != nil {
			return err
		}
		joined, err = joins(ctx, tx, r, info, now, hex.EncodeToString(fresh[:]), "")
		if err != nil || shown.used == nil {
			// Whoever comes again has joined already.
			return err
		}
		before := r
		if r, err = putCluster(ctx, tx, r, joined); err != nil {
			return err
		}
		return appendEntry(ctx, tx, connector(r.ID, remote).entry(now, access.ActionJoin, r.ID, http.StatusOK), &before, &r)
	})
	if err != nil {
		return link.Certificate{}, err
	}
	return j.certify(cluster, joined.Joining, asked)
}

// useToken records that a token has been used, unless somebody was faster.
func useToken(ctx context.Context, tx catalogue.Tx, shown presented) error {
	kept, err := tx.Secrets(ctx, shown.cluster)
	if err != nil {
		return err
	}
	for _, s := range kept {
		if s.Name != shown.secret.Name || !bytes.Equal(s.Sealed, shown.secret.Sealed) {
			continue
		}
		if shown.used == nil {
			return nil
		}
		s.Sealed = shown.used
		return tx.PutSecret(ctx, s)
	}
	return &coffer.Error{Code: coffer.CodeJoinRefused, Message: "the join token is being used by somebody else at this moment", Hint: "try again", Transient: true}
}

// joins are the facts of a cluster that has joined as the one that it says it is, or why it may not.
func joins(ctx context.Context, v catalogue.View, r catalogue.Resource, info catalogue.ClusterInfo, now time.Time, fresh string, by JoinedBy) (ClusterFacts, error) {
	f, err := ClusterFactsOf(r)
	if err == nil {
		err = mustJoinBy(r.ID, f, by)
	}
	if err != nil {
		return f, err
	}
	others, err := v.Resources(ctx, catalogue.ResourceQuery{
		Type: typeCluster, Linked: &catalogue.Link{Relation: catalogue.LinkClusterUID, Target: uidKey(info.UID)}, Limit: 2,
	})
	if err != nil {
		return f, err
	}
	for _, o := range others {
		if !o.ID.Is(r.ID) {
			return f, coffer.Errorf(coffer.CodeJoinRefused, "this cluster (its kube-system is %s) has joined already, as %s", info.UID, o.ID).
				WithHint("use it under that id; or let it leave there first: coffer cluster leave %s", o.ID)
		}
	}
	if err := mustBeSame(r.ID, f, info); err != nil {
		return f, err
	}
	if f.State == ClusterPending {
		f = ClusterFacts{State: ClusterDisconnected, Message: "the cluster has joined, and is about to connect", Joined: now, Since: now, Joining: fresh, JoinedBy: by}
	}
	return f.said(info), nil
}

// mustJoinBy refuses a cluster that has joined in another way: one would take it from the other.
func mustJoinBy(id catalogue.ID, f ClusterFacts, by JoinedBy) error {
	if f.State == ClusterPending || f.JoinedBy == by {
		return nil
	}
	has, wants := "its connector", "a kubeconfig"
	if f.JoinedBy == JoinedByKubeconfig {
		has, wants = wants, "a connector"
	}
	return coffer.Errorf(coffer.CodeJoinRefused, "%s has joined by %s already, and cannot by %s too", id, has, wants).
		WithHint("let it leave first: coffer cluster leave %s", id)
}

// mustBeSame refuses a cluster that is another one than has joined.
func mustBeSame(id catalogue.ID, f ClusterFacts, info catalogue.ClusterInfo) error {
	if f.State == ClusterPending || f.ClusterUID == uidKey(info.UID) {
		return nil
	}
	return coffer.Errorf(coffer.CodeJoinRefused, "%s is another cluster: its kube-system has the UID %s, and that of the one that has joined has %s", id, info.UID, f.ClusterUID).
		WithHint("join it under an id of its own; or, if it stands in that one's place, let that one leave first: coffer cluster leave %s", id)
}

// certify answers a certificate for the key of a request.
func (j *Joining) certify(cluster catalogue.ID, joining string, request *x509.CertificateRequest) (link.Certificate, error) {
	text, err := j.config.Authority.certifyCluster(cluster, joining, request)
	if err != nil {
		return link.Certificate{}, fmt.Errorf("make a certificate for %s: %w", cluster, err)
	}
	return link.Certificate{Certificate: string(text), Authority: string(j.config.Authority.PEM), Cluster: string(cluster)}, nil
}

// Renew answers another certificate in place of one that is good.
func (j *Joining) Renew(ctx context.Context, peer *x509.Certificate, request []byte) (link.Certificate, error) {
	asked, _, err := readRequest(request)
	if err != nil {
		return link.Certificate{}, err
	}
	r, f, err := j.admitted(ctx, peer)
	if err != nil {
		return link.Certificate{}, err
	}
	return j.certify(r.ID, f.Joining, asked)
}

// Admit says which cluster a certificate is of, if it may be linked.
func (j *Joining) Admit(ctx context.Context, peer *x509.Certificate, hello link.Hello) (catalogue.ID, error) {
	info, err := infoOf(hello)
	if err != nil {
		return "", err
	}
	r, f, err := j.admitted(ctx, peer)
	if err != nil {
		return "", err
	}
	return r.ID, mustBeSame(r.ID, f, info)
}

// admitted is the cluster of a certificate that was not revoked.
func (j *Joining) admitted(ctx context.Context, peer *x509.Certificate) (r catalogue.Resource, f ClusterFacts, err error) {
	id, joining, err := j.config.Authority.clusterOf(peer)
	if err != nil {
		return r, f, err
	}
	err = j.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		r, f, err = clusterAt(ctx, v, id)
		return err
	})
	if missing(err) || err == nil && (f.State == ClusterPending || f.Joining != joining) {
		err = coffer.Errorf(coffer.CodeJoinRefused, "the cluster %s has left, and its certificate has ended with that", id).
			WithHint("let it join again: coffer cluster join %s", id)
	}
	return r, f, err
}

// clusterAt is a cluster and its facts.
func clusterAt(ctx context.Context, v catalogue.View, id catalogue.ID) (catalogue.Resource, ClusterFacts, error) {
	r, err := v.Resource(ctx, id)
	if err != nil {
		return r, ClusterFacts{}, err
	}
	f, err := ClusterFactsOf(r)
	return r, f, err
}

// Linked records that this replica has a link to a cluster.
func (j *Joining) Linked(ctx context.Context, cluster catalogue.ID, info catalogue.ClusterInfo) error {
	if err := checkInfo(info); err != nil {
		return err
	}
	now := j.now()
	return j.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		r, f, err := clusterAt(ctx, tx, cluster)
		if missing(err) || err == nil && f.State == ClusterPending {
			// It has left since it was admitted.
			return coffer.Errorf(coffer.CodeJoinRefused, "the cluster %s has left", cluster).WithHint("let it join again: coffer cluster join %s", cluster)
		}
		if err != nil {
			return err
		}
		if err := mustBeSame(r.ID, f, info); err != nil {
			return err
		}
		if err := j.mustBeFirst(r.ID, f); err != nil {
			return err
		}
		f = f.said(info)
		if f.State != ClusterConnected {
			f.State, f.Since = ClusterConnected, now
		}
		f.Message, f.Command, f.LinkedBy = "", "", j.config.Replica
		_, err = putCluster(ctx, tx, r, f)
		return err
	})
}

// unlinkedTime is how long it may take to record that a link is gone, whoever waits for that.
const unlinkedTime = 10 * time.Second

// Unlinked records that this replica has no link to a cluster any more. What cannot be recorded now is by Watch.
func (j *Joining) Unlinked(ctx context.Context, cluster catalogue.ID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlinkedTime)
	defer cancel()
	if err := j.disconnect(ctx, j.config.Replica, cluster); err != nil {
		j.config.Log.Error("it is not recorded yet that a cluster is not connected any more", "cluster", cluster, "error", err)
	}
}

// disconnect records that a replica has no links to clusters, in one transaction; of those that another one has, nothing is changed.
func (j *Joining) disconnect(ctx context.Context, replica string, clusters ...catalogue.ID) error {
	now := j.now()
	return j.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		for _, cluster := range clusters {
			r, f, err := clusterAt(ctx, tx, cluster)
			if missing(err) || err == nil && (f.State != ClusterConnected || f.LinkedBy != replica) {
				continue
			}
			if err != nil {
				return err
			}
			f.State, f.Since, f.LinkedBy = ClusterDisconnected, now, ""
			f.Message = "the cluster's connector is not connected; what is to be done there waits until it is"
			f.Command = "kubectl -n " + f.Namespace + " logs deployment/coffer-connector"
			if f.JoinedBy == JoinedByKubeconfig {
				f.Message, f.Command = "the cluster is not reached by its kubeconfig at the moment; what is to be done there waits until it is", ""
			}
			if _, err := putCluster(ctx, tx, r, f); err != nil {
				return err
			}
		}
		return nil
	})
}

// Leave ends all certificates, join tokens and kubeconfigs of a cluster: it may join again, and so may another one in its place. Links that it has are
// the caller's to end.
func (j *Joining) Leave(ctx context.Context, by Caller, cluster catalogue.ID) (r catalogue.Resource, err error) {
	now := j.now()
	err = j.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		before, err := tx.Resource(ctx, cluster)
		if err != nil {
			return err
		}
		if r, err = dropTokens(ctx, tx, before, now, 0); err != nil {
			return err
		}
		if err := dropKubeconfig(ctx, tx, r.ID); err != nil {
			return err
		}
		if r, err = putCluster(ctx, tx, r, pendingCluster(r.ID)); err != nil {
			return err
		}
		if err := forgetLocations(ctx, tx, r.ID, pendingCluster(r.ID)); err != nil {
			return err
		}
		// What was approved, or asked for, was so in the cluster that has left.
		err = each(ctx, tx, catalogue.ResourceQuery{Type: typeBinding, Under: r.ID}, func(b catalogue.Resource) error {
			f, err := BindingFactsOf(b)
			if err != nil {
				return err
			}
			f.Consent = ""
			return putBinding(ctx, tx, b, f.in(r.ID, pendingCluster(r.ID)))
		})
		if err != nil {
			return err
		}
		return appendEntry(ctx, tx, by.entry(now, access.ActionLeave, r.ID, http.StatusOK), &before, &r)
	})
	return r, err
}
