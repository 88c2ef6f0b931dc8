package job

import (
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// Point is the recovery point that a backup has made, as it is shown, with the time at which it expires. Its retention rule is looked
// up in the policy as that is now; if it is gone, the default rule keeps the recovery point.
func (s State) Point(policy retention.Policy, policyVersion string) (arm.RecoveryPoint, time.Time) {
	rule, ok := policy.Rule(s.Work.Rule)
	if !ok {
		rule = policy.Default()
	}
	taken := s.Work.Taken
	expiry := policy.Keep(rule, taken).Operational
	state := arm.PointCompleted
	if s.Work.Partial {
		state = arm.PointPartial
	}
	name := s.Body.ActivityID
	return arm.RecoveryPoint{
		ObjectType: arm.TypeRecoveryPoint, RecoveryPointID: name, RecoveryPointTime: taken, RecoveryPointType: arm.PointIncremental,
		FriendlyName: name, RetentionTagName: rule.Name, RetentionTagVersion: policyVersion, PolicyName: s.Body.PolicyName,
		PolicyVersion: &policyVersion, ExpiryTime: &expiry, RecoveryPointState: state,
		RecoveryPointDataStoresDetails: []arm.PointStore{{
			ID: name, Type: arm.OperationalStore, CreationTime: taken, ExpiryTime: &expiry, Visible: true, State: arm.PointCommitted,
		}},
	}, expiry
}
