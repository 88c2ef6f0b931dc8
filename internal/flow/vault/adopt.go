package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/alert"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// policyMark is another one for each policy, and for each version of one.
func policyMark(r catalogue.Resource) string {
	sum := sha256.Sum256([]byte(r.ID.Key() + " " + ETag(r)))
	return hex.EncodeToString(sum[:16])
}

// keepTo does what the policy says beside its schedule: recovery points that there are adopt one that has changed, if it is for them too, and
// there is an alert if the newest good one is older than its objective.
func (j *Jobs) keepTo(ctx context.Context, tx catalogue.Tx, s *scheduled) error {
	// They do so also while nothing is backed up: of what is suspended they expire meanwhile, and of what is stopped once it is resumed.
	if s.policy.Adopt && s.was.Policy != s.next.Policy {
		if err := j.adopt(ctx, tx, s); err != nil {
			return err
		}
	}
	if s.idle {
		return nil
	}
	if s.policy.Objective == nil {
		return s.meets(ctx, tx, "there is no recoveryPointObjective any more")
	}
	newest, err := newestGood(ctx, tx, s.resource.ID)
	if err != nil {
		return err
	}
	for _, began := range []time.Time{s.since, s.resource.Created.At} {
		if newest.Before(began) {
			newest = began
		}
	}
	deadline := s.policy.Objective.After(newest)
	if s.now.Before(deadline) {
		if deadline.Before(s.next.At) {
			s.next.At = deadline
		}
		return s.meets(ctx, tx, "the objective is another one, and is met until "+deadline.Format(time.RFC3339))
	}
	if later := s.now.Add(idleLook); later.Before(s.next.At) {
		s.next.At = later
	}
	return j.alert(ctx, tx, alert.ObjectiveMissed, s.vault.ID, s.resource.ID, arm.SeverityError,
		fmt.Sprintf("%s has had no good recovery point since %s, and its policy wants one by %s", s.resource.ID.Name(), newest.Format(time.RFC3339), deadline.Format(time.RFC3339)),
		"see why its backups fail, or do not end: coffer job list", s.now)
}

// meets closes the alert of an instance that met no objective, once a change of its policy has it meet one. Without a change, it is the next
// good backup that does.
func (s *scheduled) meets(ctx context.Context, tx catalogue.Tx, reason string) error {
	// One that had no schedule was suspended or stopped: what it missed before does not count.
	if s.was.Policy == s.next.Policy && s.was.Schedule != "" {
		return nil
	}
	return closeOver(ctx, tx, s.resource.ID, []alert.Over{{Kind: alert.ObjectiveMissed, Reason: reason}}, "the policy "+s.config.Policy.Name(), s.now)
}

// newestGood is when the newest good recovery point of an instance was taken; zero is none.
func newestGood(ctx context.Context, v catalogue.View, id catalogue.ID) (newest time.Time, err error) {
	err = pagesOfPoints(ctx, v, catalogue.PointQuery{Instance: id, Bare: true, Limit: newestFirst}, func(page []catalogue.Point) (bool, error) {
		for _, point := range page {
			if point.Good {
				newest = point.Time
				return false, nil
			}
		}
		return true, nil
	})
	return newest, err
}

// adopt promises to the recovery points that there are what the policy says now.
func (j *Jobs) adopt(ctx context.Context, tx catalogue.Tx, s *scheduled) error {
	terms, err := termsOf(s.resource, s.settings, s.now)
	if err != nil {
		return err
	}
	policy := s.keptPolicy
	readers, err := readersOf(ctx, tx, s.resource.ID)
	if err != nil {
		return err
	}
	all, err := allPoints(ctx, tx, s.resource.ID)
	if err == nil {
		err = j.tellLost(ctx, tx, s.resource.ID, all.lost, s.now)
	}
	if err != nil {
		return err
	}
	kept, judged := all.kept, all.judged
	readBy(judged, readers[s.resource.ID.Key()])
	by := Caller{Principal: catalogue.Principal{Name: "the change of " + policy.ID.Name()}}
	for i, promised := range s.policy.Adopted(judged, terms.Immutable) {
		was := kept[i]
		if kept[i].Body, err = repromise(was.Body, promised, policy); err == nil {
			err = setTiers(&kept[i], promised)
		}
		if err != nil {
			return err
		}
		due, wasDue := promised.CopyDue(), judged[i].CopyDue()
		if kept[i].Expiry.Equal(was.Expiry) && kept[i].VaultExpiry.Equal(was.VaultExpiry) && due.Equal(wasDue) && promised.Rule == judged[i].Rule {
			continue
		}
		if !due.Equal(wasDue) {
			kept[i].Copy = due
		}
		if due.IsZero() && !wasDue.IsZero() {
			err = j.dropCopy(ctx, tx, s.resource, kept[i], func(copying job.State) job.State { return copying.Unwanted("its policy copies it no more", s.now) }, s.now)
			if err != nil {
				return err
			}
		}
		if err := tx.PutPoint(ctx, kept[i]); err != nil {
			return err
		}
		entry := by.entry(s.now, typePoint+"/write", was.Instance.Child("recoveryPoints", was.Name), http.StatusOK)
		entry.Before, entry.After = was.Body, kept[i].Body
		if err := tx.AppendAudit(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}

// repromise is the body of a recovery point with the policy that promises what it says now.
func repromise(body []byte, promised retention.Point, policy catalogue.Resource) ([]byte, error) {
	version := versionOf(policy)
	return jsonpatch.MergePatch(body, facts(object{
		"retentionTagName": promised.Rule, "retentionTagVersion": version, "policyName": policy.ID.Name(), "policyVersion": version,
	}))
}
