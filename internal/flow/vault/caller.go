package vault

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Caller is who asks for something, by which request.
type Caller struct {
	Principal catalogue.Principal
	// Request is the request's correlation id, and Remote where it came from.
	Request, Remote string
	// ClientRequest is the id that the client has given the request, the same when it repeats it; empty is none.
	ClientRequest string
	// GuardRequests are the operation requests of resource guards that the request names.
	GuardRequests []string

	// asked is by what a repetition of the request is known; empty is by nothing.
	asked string
}

// entry is the audit entry of a write that succeeded.
func (c Caller) entry(at time.Time, action string, target catalogue.ID, status int) catalogue.AuditEntry {
	return catalogue.AuditEntry{
		Time: at, Principal: c.Principal.ObjectID, Name: c.Principal.Name, Action: action, Target: target,
		Request: c.Request, Remote: c.Remote, Status: status,
	}
}

// stamp is what a resource says of who changed it.
func (c Caller) stamp(at time.Time) catalogue.Stamp {
	return catalogue.Stamp{By: c.Principal.ObjectID, At: at}
}

// audited fills an entry with a resource before and after; either may be nil.
func audited(e catalogue.AuditEntry, before, after *catalogue.Resource) (catalogue.AuditEntry, error) {
	for _, side := range []struct {
		r  *catalogue.Resource
		to *json.RawMessage
	}{{before, &e.Before}, {after, &e.After}} {
		if side.r == nil {
			continue
		}
		text, err := Shown(*side.r)
		if err != nil {
			return e, err
		}
		*side.to = text
	}
	return e, nil
}

// missing says whether an error is that there is no such resource.
func missing(err error) bool { return coffer.CodeOf(err) == coffer.CodeResourceNotFound }

// errMissingConfig is a mistake of the wiring.
var errMissingConfig = errors.New("a database, a sealer, a clock and randomness are needed")
