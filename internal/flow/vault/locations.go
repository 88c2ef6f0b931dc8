package vault

import (
	"context"
	"log/slog"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/extension"
)

// Locations are the use cases of where clusters write recovery points to, as the settings of their extensions' resources name it. What a cluster has is the only truth,
// and whether it is changed is its owner's word. It may be used concurrently, also by several servers: what has not been settled yet is kept with the settings, in
// one transaction, and whichever server has the cluster's link goes on with it.
//
//	put ──▶ Pending ──cluster asked──▶ Applied ◀──▶ (Un)available there
//	           │                          ▲
//	           └──▶ Differs, Refused ─────┘ once the cluster's owner has done what the command says, or has let the server
type Locations struct {
	config LocationsConfig
}

// LocationsConfig is what Locations needs; all of it.
type LocationsConfig struct {
	Database catalogue.Database
	Clusters catalogue.Clusters
	NowFunc  func() time.Time
	Log      *slog.Logger
}

// NewLocations makes the use cases.
func NewLocations(c LocationsConfig) (*Locations, error) {
	if c.Database == nil || c.Clusters == nil || c.NowFunc == nil || c.Log == nil {
		return nil, errMissingConfig
	}
	return &Locations{config: c}, nil
}

// Check asks the cluster of an extension where it writes recovery points to, and writes down the answer. Where that is not what the settings name, an Owner has asked for it and
// the cluster's owner lets this server, it is changed before. It takes at most 15 seconds. A cluster that has no link is an error with
// coffer.CodeClusterNotReachable, one that has not joined with coffer.CodeClusterNotJoined.
func (l *Locations) Check(ctx context.Context, id catalogue.ID) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	r, err := view(ctx, l.config.Database, func(ctx context.Context, v catalogue.View) (catalogue.Resource, error) { return v.Resource(ctx, id) })
	if err != nil {
		return err
	}
	f, err := ExtensionFactsOf(r)
	if err != nil || f.StorageLocation == nil || f.StorageLocation.Wanted == nil {
		return err
	}
	session, err := joinedSession(ctx, l.config.Database, l.config.Clusters, r.ID.Parent())
	if err != nil {
		return err
	}
	c, err := l.ask(ctx, session, *f.StorageLocation)
	if err != nil {
		return err
	}
	c.Cluster = r.ID.Parent()
	return l.record(ctx, r.ID, *f.StorageLocation, c)
}

// ask asks a cluster, and has it change what it may.
func (l *Locations) ask(ctx context.Context, session catalogue.ClusterSession, was LocationFacts) (c extension.Case, err error) {
	info := session.Info()
	asked, ok := session.(catalogue.Configurable)
	if !ok || !info.Settings {
		return c, nil
	}
	c.Askable, c.Allowed = true, info.SettingsByOwner
	var found catalogue.FoundLocation
	if c.Allowed && same(was.Consent, was.Wanted) {
		found, err = asked.SetLocation(ctx, *was.Wanted)
		if coffer.CodeOf(err) != coffer.CodeForbidden {
			c.Found = &found
			return c, err
		}
		c.Refusal = err.Error()
	}
	if found, err = asked.Location(ctx); coffer.CodeOf(err) == coffer.CodeForbidden {
		// It does not let its own connector look.
		return extension.Case{}, nil
	}
	c.Found = &found
	return c, err
}

// record writes what a cluster has answered. Settings that name something else by now stay as they are: it is asked again for those.
func (l *Locations) record(ctx context.Context, id catalogue.ID, asked LocationFacts, c extension.Case) error {
	now := l.config.NowFunc().UTC().Truncate(time.Microsecond)
	return l.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, id)
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		f, err := ExtensionFactsOf(r)
		if err != nil || f.StorageLocation == nil || !same(f.StorageLocation.Wanted, asked.Wanted) || !same(f.StorageLocation.Consent, asked.Consent) {
			return err
		}
		_, cluster, err := clusterAt(ctx, tx, r.ID.Parent())
		if err != nil {
			return err
		}
		was := *f.StorageLocation
		answered := was
		answered.Found = c.Found
		answered, awaited := answered.judged(c)
		if said(answered) == said(was) && awaited == isAwaited(r) && now.Sub(was.Checked).Abs() < checkedLife {
			return nil
		}
		answered.Checked = now
		before := r
		if err := putExtension(ctx, tx, r, cluster, &answered, awaited); err != nil || c.Found == nil || !c.Found.Changed {
			return err
		}
		if r, err = tx.Resource(ctx, r.ID); err != nil {
			return err
		}
		return appendEntry(ctx, tx, settledEntry(now, r.ID), &before, &r)
	})
}

// said is what is shown of a location, but for when it was found so.
func said(l LocationFacts) string {
	l.Checked = time.Time{}
	return string(facts(l))
}

func isAwaited(r catalogue.Resource) bool {
	for _, l := range r.Links {
		if l.Relation == catalogue.LinkAwaited {
			return true
		}
	}
	return false
}

// extensions are the extensions that a query selects.
func (l *Locations) extensions(ctx context.Context, q catalogue.ResourceQuery) (found []catalogue.ID, err error) {
	q.Type = typeExtension
	err = l.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		found = nil
		return each(ctx, v, q, func(r catalogue.Resource) error {
			found = append(found, r.ID)
			return nil
		})
	})
	return found, err
}

// Run checks the extension of each cluster when it has been linked, every few minutes, and soon after its settings were changed, until ctx ends.
func (l *Locations) Run(ctx context.Context) {
	r := rounds{clusters: l.config.Clusters, due: l.due, ask: func(within context.Context, cluster catalogue.ID) {
		all, err := l.extensions(within, catalogue.ResourceQuery{Under: cluster})
		for _, id := range all {
			if failed := l.Check(within, id); failed != nil && !missing(failed) {
				err = failed
			}
		}
		if err != nil && ctx.Err() == nil {
			l.config.Log.Warn("the storage location of a cluster is not checked", "cluster", cluster, "error", err)
		}
	}}
	r.run(ctx)
}

// due are the clusters whose settings are not known to hold there.
func (l *Locations) due(ctx context.Context) map[string]bool {
	all, err := l.extensions(ctx, catalogue.ResourceQuery{Linked: &catalogue.Link{Relation: catalogue.LinkAwaited, Target: awaitedCluster}})
	if err != nil && ctx.Err() == nil {
		l.config.Log.Warn("it is not known which clusters' settings have changed", "error", err)
	}
	due := make(map[string]bool, len(all))
	for _, id := range all {
		due[id.Parent().Key()] = true
	}
	return due
}
