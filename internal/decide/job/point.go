package job

import (
	"math"
	"strconv"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// Point is the recovery point that a backup has made, as it is shown, and as the rules of retention see it. A backup of the schedule is given
// its tag now, for it is known only now whether it is a good one; previous is the slot before it that retention.Previous names, and copied the
// one that retention.PreviousCopy does. One that somebody has asked for falls under the rule that was found when it began, as that is now; if it is
// gone, the default rule keeps the recovery point.
func (s State) Point(policy retention.Policy, policyVersion string, previous, copied time.Time) (arm.RecoveryPoint, retention.Point) {
	choice := s.choice(policy, previous)
	taken := s.Work.Taken
	name := s.Body.ActivityID
	made := policy.Promise(retention.Point{Name: name, Taken: taken, Slot: s.Work.Slot, Good: !s.Work.Partial}, choice, copied)
	expiry := made.Operational.Expires
	state := arm.PointCompleted
	if s.Work.Partial {
		state = arm.PointPartial
	}
	return arm.RecoveryPoint{
		ObjectType: arm.TypeRecoveryPoint, RecoveryPointID: name, RecoveryPointTime: taken, RecoveryPointType: arm.PointIncremental,
		FriendlyName: name, RetentionTagName: made.Rule, RetentionTagVersion: policyVersion, PolicyName: s.Body.PolicyName,
		PolicyVersion: &policyVersion, ExpiryTime: &expiry, RecoveryPointState: state,
		RecoveryPointDataStoresDetails: []arm.PointStore{{
			ID: name, Type: arm.OperationalStore, CreationTime: taken, ExpiryTime: &expiry, Visible: true, State: arm.PointCommitted,
		}},
		Coffer: made.Promised(),
	}, made
}

// choice is the rule that the recovery point falls under, and why.
func (s State) choice(policy retention.Policy, previous time.Time) retention.Choice {
	if !s.Work.Slot.IsZero() {
		return policy.Choose(s.Work.Slot, previous)
	}
	rule, ok := policy.Rule(s.Work.Rule)
	if !ok {
		return retention.Choice{Rule: policy.Default(), Reason: "the policy has no rule " + s.Work.Rule + " any more"}
	}
	return retention.Choice{Rule: rule, Reason: s.Work.Reason}
}

// Bytes is how large the archive is that a backup has written, SnapshotBytes how large volumes made of its snapshots are at least, and
// Namespaces how many it has captured; each is 0 where its run has not said.
func (s State) Bytes() int64 { return s.count("bytes") }

// SnapshotBytes is told with Bytes.
func (s State) SnapshotBytes() int64 { return s.count("snapshotBytes") }

// Namespaces is told with Bytes.
func (s State) Namespaces() int { return int(min(s.count("namespaces"), math.MaxInt32)) }

// count is one of those that Observe takes from a run.
func (s State) count(name string) int64 {
	info := s.Body.ExtendedInfo
	if info == nil {
		return 0
	}
	n, err := strconv.ParseInt(info.AdditionalDetails[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
