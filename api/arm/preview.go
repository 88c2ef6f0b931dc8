package arm

import "time"

// PreviewRequest asks what a policy comes to.
type PreviewRequest struct {
	// Policy are the properties of one that need not be kept; a policy that is asked itself needs none.
	Policy *Policy `json:"policy,omitempty"`
	// From is from when on runs are told; without it, from now on.
	From *time.Time `json:"from,omitempty"`
	// Runs is how many of the next runs are told; without it, ten.
	Runs *int64 `json:"runs,omitempty"`
	// Days are dates such as 2027-03-01, of whose recovery points is told.
	Days []string `json:"days,omitempty"`
	// Good are the times of the schedule of which there are good recovery points already.
	Good []time.Time `json:"good,omitempty"`
}

// Preview is what a policy comes to.
type Preview struct {
	Runs []PreviewRun `json:"runs"`
	Days []PreviewDay `json:"days"`
	// Notes say what of it this server does not do.
	Notes []string `json:"notes,omitempty"`
}

// PreviewRun is a run to come. Expiry is when the last tier may delete its recovery point.
type PreviewRun struct {
	Slot   time.Time  `json:"slot"`
	Tag    string     `json:"tag"`
	Reason string     `json:"reason"`
	Expiry *time.Time `json:"expiry,omitempty"`
}

// PreviewDay is what there is at the end of a day.
type PreviewDay struct {
	Date           string         `json:"date"`
	RecoveryPoints []PreviewPoint `json:"recoveryPoints"`
}

// PreviewPoint is a recovery point that there will be, and why. Tiers are those that have it.
type PreviewPoint struct {
	Time   time.Time  `json:"time"`
	Tag    string     `json:"tag"`
	Tiers  []Word     `json:"tiers"`
	Expiry *time.Time `json:"expiry,omitempty"`
	Reason string     `json:"reason"`
}

// PreviewChangeRequest asks what a change does to the recovery points that there are: of a policy to Policy, of an instance to the policy
// PolicyID.
type PreviewChangeRequest struct {
	Policy   *Policy `json:"policy,omitempty"`
	PolicyID string  `json:"policyId,omitempty"`
}

// PreviewedChanges are what a change does. The recovery points that nothing is changed of are counted, and not listed.
type PreviewedChanges struct {
	RecoveryPoints []PreviewedChange `json:"recoveryPoints"`
	Kept           int64             `json:"kept"`
	Changed        int64             `json:"changed"`
	Deleted        int64             `json:"deleted"`
	// More says that more are changed or deleted than are listed.
	More bool `json:"more,omitempty"`
}

// PreviewedChange is what a change does to a recovery point. Without an expiry it is kept for ever.
type PreviewedChange struct {
	Instance  string     `json:"instance"`
	Name      string     `json:"name"`
	Time      time.Time  `json:"time"`
	Expiry    *time.Time `json:"expiry,omitempty"`
	NewExpiry *time.Time `json:"newExpiry,omitempty"`
	// Deleted says that the change makes it expire at once.
	Deleted bool   `json:"deleted,omitempty"`
	Reason  string `json:"reason"`
}
