package vault

import (
	"context"
	"net/http"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// tenantID is the resource that says which tenant a database is of.
const tenantID catalogue.ID = "/providers/Coffer.Backup/settings/tenant"

// Tenant is whom a server serves: one directory, with a first subscription.
type Tenant struct {
	// ID and Subscription are GUIDs.
	ID           string `json:"tenantId"`
	Subscription string `json:"subscriptionId"`
}

// EnsureTenant is the tenant of a database, which is made with a first subscription if there is none: once, whatever starts at the
// same time.
func EnsureTenant(ctx context.Context, a *Access) (t Tenant, err error) {
	fresh := Tenant{}
	for _, id := range []*string{&fresh.ID, &fresh.Subscription} {
		if *id, err = a.newGUID(); err != nil {
			return Tenant{}, err
		}
	}
	at := a.now()
	err = a.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		kept, err := find(ctx, tx, tenantID)
		if err != nil {
			return err
		}
		if kept != nil {
			t, err = decode[Tenant](Proposal{ID: tenantID, Body: kept.Body})
			return err
		}
		t = fresh
		return makeTenant(ctx, tx, t, Caller{Principal: catalogue.Principal{Name: "coffer-server"}}, Proposal{Now: at})
	})
	return t, err
}

func makeTenant(ctx context.Context, tx catalogue.Tx, t Tenant, by Caller, p Proposal) error {
	subscription := SubscriptionKind(t.ID)
	p.ID, p.Body = catalogue.ID("/subscriptions/"+t.Subscription), facts(object{"displayName": "Coffer"})
	verdict, err := subscription.Judge(ctx, tx, p)
	if err != nil {
		return err
	}
	for _, r := range []catalogue.Resource{
		{ID: tenantID, Body: facts(t)},
		{ID: p.ID, Body: p.Body, Facts: verdict.Facts},
	} {
		r.Created, r.Changed = by.stamp(p.Now), by.stamp(p.Now)
		put, err := tx.PutResource(ctx, r, catalogue.Condition{New: true})
		if err != nil {
			return err
		}
		if err := appendEntry(ctx, tx, by.entry(p.Now, put.ID.Type()+"/write", put.ID, http.StatusCreated), nil, &put); err != nil {
			return err
		}
	}
	return nil
}
