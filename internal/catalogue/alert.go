package catalogue

import (
	"encoding/json"
	"time"
)

// Alert is something that somebody should look at. While it is open, there is one of a kind for a target in a vault: what happens again
// counts. Its vault is there; its target may be gone meanwhile.
type Alert struct {
	Vault ID
	Name  string
	// Kind is a word such as BackupMissed, and Target what it is about.
	Kind   string
	Target ID
	State  AlertState
	// First and Last are when it happened, and Count how often.
	First, Last time.Time
	Count       int
	// Closed is zero while it is open.
	Closed time.Time
	// Body are the properties as they are shown.
	Body json.RawMessage
}

// AlertState says how far people are with an alert.
type AlertState string

// The states. All but the last are open.
const (
	AlertFired        AlertState = "Fired"
	AlertAcknowledged AlertState = "Acknowledged"
	AlertClosed       AlertState = "Closed"
)

// AlertQuery selects alerts of a vault, the one that happened last first, and the last name first where times are equal.
type AlertQuery struct {
	Vault ID
	// Target, Kind and State select, where they are set; Open selects those that are not closed.
	Target ID
	Kind   string
	State  AlertState
	Open   bool
	// After is the last alert of the page before: its Last and its name.
	After *PointCursor
	// Limit is how many at most, 1 to 1,000.
	Limit int
}
