package vault

import (
	"context"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// PointKept is a recovery point of an instance as Point answers it, and shows until when it is kept as things are, and what for: what that depends on,
// such as which one is the newest, changes without it. Nothing is said of one that cannot be read.
func (k *Keeper) PointKept(ctx context.Context, instance catalogue.ID, name string) (catalogue.Point, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (catalogue.Point, error) {
		point, err := v.Point(ctx, instance, strings.ToLower(name))
		if err != nil {
			return point, err
		}
		own, err := readPoint(point)
		if err != nil {
			return point, nil //nolint:nilerr // It is shown as what cannot be read.
		}
		why, err := k.whyKept(ctx, v, instance, own)
		if err != nil {
			// What else there is to know of it does not depend on that. If it was the database, nothing is answered.
			why = "it cannot be said what keeps it: " + err.Error()
		}
		point.Body, err = jsonpatch.MergePatch(point.Body, facts(object{"coffer": object{"kept": why}}))
		return point, err
	})
}

// whyKept says what becomes of a recovery point of an instance.
func (k *Keeper) whyKept(ctx context.Context, v catalogue.View, instance catalogue.ID, own retention.Point) (string, error) {
	r, err := v.Resource(ctx, instance)
	if err != nil {
		return "", err
	}
	record, err := ProtectionOf(r)
	switch {
	case err != nil:
		return "", err
	case record.Deleting || record.State == protection.SoftDeleted:
		return "goes with its backup instance, which is being deleted", nil
	}
	p, err := protectedOf(ctx, v, r)
	if err != nil {
		return "", err
	}
	readers, err := readersOf(ctx, v, instance)
	if err != nil {
		return "", err
	}
	now := k.now()
	all, err := agedPoints(ctx, v, instance, now)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(all.judged, func(one retention.Point) bool { return one.Name == own.Name })
	// Of what is not at the end of its time only a few columns were read, which do not say why.
	all.judged[at] = own
	decisions, err := p.judge(all.judged, readers[instance.Key()], now)
	if err != nil {
		return "", err
	}
	return decisions[at].Reason, nil
}
