package guard

import (
	"slices"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// Case is a critical operation that somebody asks for.
type Case struct {
	Operation Operation
	// Resource is what is operated on, in a vault, which is under a guard that does not cover the operations that are Excluded.
	Resource, Vault, Guard catalogue.ID
	Excluded               []string
	// Named are the operation requests of guards that the request names.
	Named []string
	// Unlocks are those of the vault, and count if the operation is Unlockable: of a request without a body, which can name nothing.
	Unlocks    []Unlock
	Unlockable bool
	// Who asks, with the role assignments that they hold.
	Who  catalogue.Principal
	Held []access.Assignment
	Now  time.Time
}

// Unlock is a critical operation on one resource that somebody has named beforehand, for a while.
type Unlock struct {
	// Request is the operation's, and Resource what it is on.
	Request  string       `json:"request"`
	Resource catalogue.ID `json:"resource"`
	// By is the object id of the one who may use it, once, before it ends.
	By    string    `json:"principalId"`
	Until time.Time `json:"expiryTime"`
}

// UnlockTime is how long an unlock lasts.
const UnlockTime = 15 * time.Minute

// Open are the unlocks that have not ended.
func Open(all []Unlock, now time.Time) []Unlock {
	return slices.DeleteFunc(slices.Clone(all), func(u Unlock) bool { return !u.Until.After(now) })
}

// Consent is why a critical operation may be done.
type Consent struct {
	// Covered says that the guard covers the operation. If it does not, the rest is empty.
	Covered bool
	// Request is the id of the guard's operation request.
	Request catalogue.ID
	// By is the role assignment that allows it, given by somebody else than the one who asks, and Role its role's name.
	By   access.Assignment
	Role string
	// Used is the place of the unlock that it was named by, or -1.
	Used int
}

// RequestID is the id of a guard's request for an operation.
func RequestID(guard catalogue.ID, o Operation) catalogue.ID {
	return guard.Child(o.Request, "default")
}

// Decide says whether a critical operation may be done: its request names the guard's request for it, now or by an unlock, and whoever asks
// has a role at the guard that allows it and that somebody else has given them. Roles at the vault have no part in it. An unlock without
// the role is nothing: who takes the role away has ended all that was unlocked by it.
func Decide(c Case) (Consent, error) {
	if c.Operation.excluded(c.Excluded) {
		return Consent{Used: -1}, nil
	}
	consent := Consent{Covered: true, Request: RequestID(c.Guard, c.Operation), Used: -1}
	if !c.named(consent.Request) {
		if consent.Used = c.unlocked(); consent.Used < 0 {
			return Consent{}, c.unnamed(consent.Request)
		}
	}
	by, role, err := c.allowed(consent.Request)
	consent.By, consent.Role = by, role
	return consent, err
}

// named says whether the request is among those that are named, however they are spelled.
func (c Case) named(request catalogue.ID) bool {
	return slices.ContainsFunc(c.Named, func(text string) bool {
		id, err := catalogue.ParseID(text)
		return err == nil && id.Is(request)
	})
}

// unlocked is the place of the unlock that is for this, or -1.
func (c Case) unlocked() int {
	if !c.Unlockable {
		return -1
	}
	return slices.IndexFunc(c.Unlocks, func(u Unlock) bool {
		return strings.EqualFold(u.Request, c.Operation.Request) && u.Resource.Is(c.Resource) && u.By == c.Who.ObjectID && u.Until.After(c.Now)
	})
}

func (c Case) unnamed(request catalogue.ID) error {
	message := "the vault %s is under the resource guard %s: to %s (%s) takes the operation request %s"
	args := []any{c.Vault.Name(), c.Guard.Name(), c.Operation.What, c.Resource.Name(), request}
	if len(c.Named) > 0 {
		message += ", and the request names others"
	}
	err := coffer.Errorf(coffer.CodeGuarded, message, args...)
	const ask = "ask somebody who manages the guard for the role Backup MUA Operator there"
	if c.Unlockable {
		return err.WithHint("%s, and unlock it, for %d minutes: coffer resource-guard unlock --resource-guard-operation-requests %s --resource-to-be-deleted %s; the command line does so by itself with --resource-guard-operation-requests",
			ask, int(UnlockTime.Minutes()), request, c.Resource)
	}
	return err.WithHint("%s, and name the request: --resource-guard-operation-requests %s, or resourceGuardOperationRequests in the body", ask, request)
}

// allowed is the role assignment by which whoever asks may go past the guard.
func (c Case) allowed(request catalogue.ID) (access.Assignment, string, error) {
	own, others := split(c.Who, c.Held)
	if d := access.Decide(c.Who, others, c.Operation.Action(), request); d.Allowed {
		role, _ := access.RoleByID(d.By.Role)
		return d.By, role.Name, nil
	}
	err := coffer.Errorf(coffer.CodeLinkedAuthorizationFailed,
		"The client '%s' with object id '%s' has permission to %s on '%s'; however, the vault is under a resource guard, and it does not have permission to perform action '%s' on the linked scope '%s', or the linked scope is invalid.",
		c.Who.Name, c.Who.ObjectID, c.Operation.What, c.Resource, c.Operation.Action(), request)
	if d := access.Decide(c.Who, own, c.Operation.Action(), request); d.Allowed {
		return access.Assignment{}, "", err.WithHint("%s, but they have given it to themselves: somebody else has to", d.Reason)
	}
	return access.Assignment{}, "", err.WithHint("ask somebody who manages the guard %s for the role Backup MUA Operator there, for as long as it takes", c.Guard.Name())
}

// split parts the assignments that somebody has given themselves from the others.
func split(who catalogue.Principal, held []access.Assignment) (own, others []access.Assignment) {
	for _, a := range held {
		if a.GivenBy != "" && a.GivenBy == who.ObjectID {
			own = append(own, a)
		} else {
			others = append(others, a)
		}
	}
	return own, others
}

// Alone says why somebody needs nobody else to go past a guard, or is empty. A guard protects a vault from those only who do.
func Alone(who catalogue.Principal, held []access.Assignment, guard catalogue.ID) string {
	_, others := split(who, held)
	if d := access.Decide(who, others, Unguard.Action(), RequestID(guard, Unguard)); d.Allowed {
		return d.Reason
	}
	return ""
}
