package access

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// AssignmentType is the resource type of role assignments.
const AssignmentType = "Microsoft.Authorization/roleAssignments"

// Assignment gives a principal a role at a scope, and at all below it.
type Assignment struct {
	ID    catalogue.ID
	Scope catalogue.ID
	// Role is a role's GUID in lower case.
	Role string
	// Principal is the object id of a user, a service principal or a group, and Kind says which; KindAny is where that was not said.
	Principal string
	Kind      Kind
	// GivenBy is the object id of the one who made the assignment, where that is known.
	GivenBy string
}

// Kind is what sort of principal an assignment is to.
type Kind string

// The kinds, in ARM's words.
const (
	KindAny              Kind = ""
	KindUser             Kind = "User"
	KindGroup            Kind = "Group"
	KindServicePrincipal Kind = "ServicePrincipal"
	KindForeignGroup     Kind = "ForeignGroup"
	KindDevice           Kind = "Device"
)

// to says whether the assignment is to a principal, and if that is by a group, which one, in words.
func (a Assignment) to(who catalogue.Principal) (group string, to bool) {
	if a.Principal == "" {
		return "", false
	}
	if a.Kind != KindGroup && a.Kind != KindForeignGroup && same(a.Principal, who.ObjectID) {
		return "", true
	}
	if a.Kind == KindUser || a.Kind == KindServicePrincipal || a.Kind == KindDevice {
		return "", false
	}
	for _, g := range who.Groups {
		if same(a.Principal, g) {
			return "to the group " + g + " ", true
		}
	}
	return "", false
}

// same compares object ids. The case of GUIDs does not matter, that of all others does: OIDC issuers have subjects that differ by
// nothing else.
func same(a, b string) bool {
	return a == b || catalogue.GUID(a) && catalogue.GUID(b) && strings.EqualFold(a, b)
}

// maxPrincipal bounds the length of an object id: OIDC allows a subject of 255 characters.
const maxPrincipal = 255

type assignmentBody struct {
	Properties struct {
		RoleDefinitionID string `json:"roleDefinitionId"`
		PrincipalID      string `json:"principalId"`
		PrincipalType    string `json:"principalType"`
		Scope            string `json:"scope"`
		Condition        string `json:"condition"`
	} `json:"properties"`
}

// ReadAssignment reads the body of a role assignment, and says what is wrong with it.
func ReadAssignment(id catalogue.ID, body []byte) (Assignment, error) {
	if !strings.EqualFold(id.Type(), AssignmentType) || !catalogue.GUID(id.Name()) {
		return Assignment{}, coffer.Errorf(coffer.CodeInvalidResourceID, "the role assignment ID '%s' is not valid: the role assignment ID must be a GUID", id.Name()).
			WithHint("take a new GUID as its name")
	}
	var b assignmentBody
	// A field that is spelled otherwise is meant all the same: a condition that is not seen would be left out of account.
	if err := json.Unmarshal(body, &b, json.MatchCaseInsensitiveNames(true)); err != nil {
		return Assignment{}, coffer.Errorf(coffer.CodeInvalidContent, "the role assignment cannot be read: %w", err).
			WithHint(`send {"properties": {"roleDefinitionId": "...", "principalId": "..."}}`)
	}
	p := b.Properties
	kind, err := parseKind(p.PrincipalType)
	if err != nil {
		return Assignment{}, err
	}
	a := Assignment{ID: id, Scope: id.Parent(), Principal: p.PrincipalID, Kind: kind}
	if err := checkScope(a.Scope, p.Scope); err != nil {
		return Assignment{}, err
	}
	if err := checkPrincipal(a.Principal, kind); err != nil {
		return Assignment{}, err
	}
	// A condition takes away from what the role allows: to leave it out of account would allow more than was meant.
	if p.Condition != "" {
		return Assignment{}, coffer.Errorf(coffer.CodeInvalidContent, "properties.condition: conditions of role assignments are not evaluated by this server").
			WithHint("leave the condition out, and assign a narrower role or scope")
	}
	definition, err := catalogue.ParseID(p.RoleDefinitionID)
	role, known := RoleOfDefinition(definition)
	if err != nil || !known {
		return Assignment{}, coffer.Errorf(coffer.CodeRoleDefinitionNotFound, "properties.roleDefinitionId: the specified role definition with ID '%s' does not exist", p.RoleDefinitionID).
			WithHint("list the role definitions, and take the id of one")
	}
	a.Role = role.ID
	return a, nil
}

func checkScope(scope catalogue.ID, said string) error {
	if scope != "" && scope.Subscription() == "" && !strings.HasPrefix(scope.Type(), "Coffer.Backup/") {
		return coffer.Errorf(coffer.CodeInvalidResourceID, "a role cannot be assigned at '%s'", scope).
			WithHint("assign it at /, at a subscription, a resource group or a resource")
	}
	if said == "" {
		return nil
	}
	t, err := catalogue.ParsePath(said)
	if err != nil || t.Rest != "" || !t.ID.Is(scope) {
		return coffer.Errorf(coffer.CodeInvalidContent, "properties.scope is '%s', but the role assignment lies at '%s'", said, spelled(scope)).
			WithHint("leave properties.scope out, or send the request to that scope")
	}
	return nil
}

// parseKind reads a principalType, in any case.
func parseKind(text string) (Kind, error) {
	for _, k := range []Kind{KindAny, KindUser, KindGroup, KindServicePrincipal, KindForeignGroup, KindDevice} {
		if strings.EqualFold(string(k), text) {
			return k, nil
		}
	}
	return "", coffer.Errorf(coffer.CodeInvalidContent, "properties.principalType is '%s'", text).WithHint("take User, Group or ServicePrincipal")
}

// Nameable says whether a text can be an object id: 1 to 255 bytes of printable characters, without a space at either end.
func Nameable(id string) bool {
	unprintable := strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError })
	return id != "" && len(id) <= maxPrincipal && !unprintable && strings.TrimSpace(id) == id
}

func checkPrincipal(id string, kind Kind) error {
	if !Nameable(id) {
		return coffer.Errorf(coffer.CodeInvalidContent, "properties.principalId is no object id").
			WithHint("take the object id of a user, a group or a service principal; of a service principal, that is not its client id")
	}
	// Names are chosen by people: one who calls themself like a group would have what is the group's.
	if kind == KindAny && !catalogue.GUID(id) {
		return coffer.Errorf(coffer.CodeInvalidContent, "properties.principalType is missing, and principalId '%s' is not a GUID", id).
			WithHint("say whether it is a User, a Group or a ServicePrincipal")
	}
	return nil
}

// CheckGrant says whether somebody may put or take away an assignment: they hold a role that allows it at the assignment's own scope
// or above, as Owner and User Access Administrator do. What they hold below or beside does not count, so nobody reaches further
// with what they grant than they reach themselves.
func CheckGrant(who catalogue.Principal, held []Assignment, action string, scope catalogue.ID) error {
	if d := Decide(who, held, action, scope); !d.Allowed {
		return Refusal(who, action, scope)
	}
	return nil
}

// CheckOwnersRemain says whether an assignment may go: somebody must stay Owner at the root, for nobody else could give that role
// again. atRoot are the assignments at the root, those that go included.
func CheckOwnersRemain(atRoot, going []Assignment) error {
	gone := map[string]bool{}
	for _, a := range going {
		gone[a.ID.Key()] = true
	}
	loses := false
	for _, a := range atRoot {
		if a.Role != OwnerID || a.Scope != "" {
			continue
		}
		if !gone[a.ID.Key()] {
			return nil
		}
		loses = true
	}
	if !loses {
		return nil
	}
	return coffer.Errorf(coffer.CodeLastOwner, "nobody else is Owner at /, and without one nobody could assign that role again").
		WithHint("assign Owner at / to somebody else first")
}
