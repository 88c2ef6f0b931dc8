package vault

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Replicas keeps what the catalogue says of links as they are: which of the server's replicas holds which, and that one that has died holds
// none. It may be used concurrently.
type Replicas struct {
	config ReplicasConfig

	mu sync.Mutex // guards seen
	// seen is when the row of each replica was seen to have changed last.
	seen map[string]sighting
}

type sighting struct {
	version int64
	at      time.Time
}

// ReplicasConfig is what Replicas needs; all of it but URL.
type ReplicasConfig struct {
	Database catalogue.Database
	Joining  *Joining
	// Clusters are those that this replica has a link to, and Close ends one.
	Clusters catalogue.Clusters
	Close    func(cluster catalogue.ID)
	// URL is by which other replicas reach this one; empty if they do not.
	URL string
	// NowFunc is the clock. How long others are silent is measured by it alone: theirs may be set otherwise.
	NowFunc func() time.Time
	Log     *slog.Logger
}

// A replica renews its row each replicaInterval, and is dead once it has not for replicaLife. One that has begun looks again after firstLook, and
// then after twice as long each time: others often begin with it.
const (
	firstLook       = 2 * time.Second
	replicaInterval = 15 * time.Second
	replicaLife     = time.Minute
)

// disconnectBatch is how many clusters are written in one transaction: a replica may have held a thousand.
const disconnectBatch = 100

const (
	typeSettings = "Coffer.Backup/settings"
	replicasAt   = catalogue.ID("/providers/" + typeSettings + "/replicas-")
)

type replicaBody struct {
	Properties struct {
		URL     string    `json:"url"`
		Renewed time.Time `json:"renewed"`
	} `json:"properties"`
}

// NewReplicas makes the use cases.
func NewReplicas(c ReplicasConfig) (*Replicas, error) {
	if c.Database == nil || c.Joining == nil || c.Clusters == nil || c.Close == nil || c.NowFunc == nil || c.Log == nil {
		return nil, errMissingConfig
	}
	return &Replicas{config: c, seen: map[string]sighting{}}, nil
}

func (r *Replicas) name() string { return r.config.Joining.config.Replica }

// Begin records that this replica has begun, and holds no links: those that it is said to hold are of the process before it. It knows of the
// others then, so that it does not take their shares for its own until it looks.
func (r *Replicas) Begin(ctx context.Context) error {
	if err := r.renew(ctx); err != nil {
		return err
	}
	if err := r.disconnectAll(ctx, r.name()); err != nil {
		return err
	}
	return r.bury(ctx)
}

// Run looks after all of that until ctx ends.
func (r *Replicas) Run(ctx context.Context) {
	for pause := firstLook; ; pause = min(2*pause, replicaInterval) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if err := r.Look(ctx); err != nil && ctx.Err() == nil {
			r.config.Log.Error("what is known of links is not up to date", "error", err)
		}
	}
}

// End records that this replica is no more, and that its links end. Nothing else is called after it.
func (r *Replicas) End(ctx context.Context) error {
	if err := r.disconnectAll(ctx, r.name()); err != nil {
		return err
	}
	return r.forget(ctx, replicasAt+catalogue.ID(r.name()), 0)
}

// Look is what Run does each time.
func (r *Replicas) Look(ctx context.Context) error {
	if err := r.renew(ctx); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	return r.bury(ctx)
}

// Mine says whether something falls to this replica of those that are alive: each has its share, that does not change as long as they do
// not.
func (r *Replicas) Mine(id catalogue.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := weight(r.name(), id)
	for row := range r.seen {
		if other := string(catalogue.ID(row)[len(replicasAt):]); other != strings.ToLower(r.name()) && weight(other, id) > own {
			return false
		}
	}
	return true
}

// weight is how much something falls to a replica.
func weight(replica string, id catalogue.ID) uint64 {
	sum := sha256.Sum256([]byte(strings.ToLower(replica) + " " + id.Key()))
	return binary.BigEndian.Uint64(sum[:])
}

// renew writes this replica's row.
func (r *Replicas) renew(ctx context.Context) error {
	now := r.config.NowFunc().UTC().Truncate(time.Microsecond)
	var body replicaBody
	body.Properties.URL, body.Properties.Renewed = r.config.URL, now
	by := Caller{Principal: catalogue.Principal{Name: "coffer-server"}}
	return r.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		_, err := tx.PutResource(ctx, catalogue.Resource{
			ID: replicasAt + catalogue.ID(r.name()), Body: facts(body), Created: by.stamp(now), Changed: by.stamp(now),
		}, catalogue.Condition{})
		return err
	})
}

// settle makes the catalogue say of this replica's links what is so, and ends links of clusters that have left or that were deleted.
func (r *Replicas) settle(ctx context.Context) error {
	recorded := map[string]catalogue.ID{}
	err := r.eachOf(ctx, r.name(), func(c catalogue.Resource) error { recorded[c.ID.Key()] = c.ID; return nil })
	if err != nil {
		return err
	}
	for _, cluster := range r.config.Clusters.Linked() {
		_, known := recorded[cluster.Key()]
		delete(recorded, cluster.Key())
		if known {
			continue
		}
		session, err := r.config.Clusters.Session(ctx, cluster)
		if err != nil {
			continue
		}
		err = r.config.Joining.Linked(ctx, cluster, session.Info())
		if coffer.CodeOf(err) == coffer.CodeJoinRefused {
			r.config.Log.Info("a link is ended: its cluster has left", "cluster", cluster)
			r.config.Close(cluster)
			continue
		}
		if err != nil {
			return err
		}
	}
	for _, gone := range recorded {
		// It may have come since.
		if _, err := r.config.Clusters.Session(ctx, gone); err != nil {
			r.config.Joining.Unlinked(ctx, gone)
		}
	}
	return nil
}

// bury disconnects the clusters of replicas that have not been heard of for a while.
func (r *Replicas) bury(ctx context.Context) error {
	var rows []catalogue.Resource
	err := r.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		rows = nil
		return each(ctx, v, catalogue.ResourceQuery{Type: typeSettings}, func(row catalogue.Resource) error {
			if strings.HasPrefix(row.ID.Key(), replicasAt.Key()) {
				rows = append(rows, row)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, row := range r.silent(rows) {
		name := string(row.ID[len(replicasAt):])
		r.config.Log.Warn("a replica of the server is not heard of: its clusters are not connected", "replica", name)
		if err := r.disconnectAll(ctx, name); err != nil {
			return err
		}
		if err := r.forget(ctx, row.ID, row.Version); err != nil {
			return err
		}
	}
	return nil
}

// silent are the rows of other replicas that have not changed for replicaLife since they were seen first.
func (r *Replicas) silent(rows []catalogue.Resource) []catalogue.Resource {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, seen := r.config.NowFunc(), map[string]sighting{}
	var silent []catalogue.Resource
	for _, row := range rows {
		key := row.ID.Key()
		was, known := r.seen[key]
		switch {
		case row.ID.Is(replicasAt + catalogue.ID(r.name())):
			continue
		case !known || was.version != row.Version:
			was = sighting{row.Version, now}
		case now.Sub(was.at) >= replicaLife:
			silent = append(silent, row)
		}
		seen[key] = was
	}
	r.seen = seen
	return silent
}

// forget deletes the row of a replica, unless it has changed from a version; 0 is any.
func (r *Replicas) forget(ctx context.Context, id catalogue.ID, version int64) error {
	err := r.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		return tx.DeleteResource(ctx, id, catalogue.Condition{Version: version})
	})
	if code := coffer.CodeOf(err); code == coffer.CodePreconditionFailed || code == coffer.CodeResourceNotFound {
		return nil
	}
	return err
}

func (r *Replicas) disconnectAll(ctx context.Context, replica string) error {
	var clusters []catalogue.ID
	err := r.eachOf(ctx, replica, func(c catalogue.Resource) error { clusters = append(clusters, c.ID); return nil })
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(clusters, disconnectBatch) {
		if err := r.config.Joining.disconnect(ctx, replica, batch...); err != nil {
			return err
		}
	}
	return nil
}

// eachOf calls visit for the clusters that a replica is said to hold the links of.
func (r *Replicas) eachOf(ctx context.Context, replica string, visit func(catalogue.Resource) error) error {
	var found []catalogue.Resource
	err := r.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		found = nil
		q := catalogue.ResourceQuery{Type: typeCluster, Linked: &catalogue.Link{Relation: catalogue.LinkReplica, Target: replica}}
		return each(ctx, v, q, func(c catalogue.Resource) error { found = append(found, c); return nil })
	})
	for _, c := range found {
		if err == nil {
			err = visit(c)
		}
	}
	return err
}

// Elsewhere is the url of the replica that holds the link of a cluster; empty if it is this one, or none that can be called.
func (r *Replicas) Elsewhere(ctx context.Context, cluster catalogue.ID) (url string, err error) {
	err = r.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		url = ""
		_, f, err := clusterAt(ctx, v, cluster)
		if err != nil || f.State != ClusterConnected || f.LinkedBy == r.name() {
			return err
		}
		row, err := v.Resource(ctx, replicasAt+catalogue.ID(f.LinkedBy))
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		body, err := decode[replicaBody](Proposal{ID: row.ID, Body: row.Body})
		url = body.Properties.URL
		return err
	})
	return url, err
}
