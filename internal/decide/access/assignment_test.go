package access

import (
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	guid  = "44444444-4444-4444-8444-444444444444"
	below = "/providers/Microsoft.Authorization/roleAssignments/" + guid
)

func body(properties string) []byte { return []byte(`{"properties":{` + properties + `}}`) }

const toAnn = `"roleDefinitionId":"/subscriptions/s1/providers/Microsoft.Authorization/roleDefinitions/` + ReaderID + `","principalId":"` + ann + `"`

func TestTheBodyOfARoleAssignmentIsRead(t *testing.T) {
	for _, c := range []struct {
		name string
		id   catalogue.ID
		body string
		code coffer.Code
	}{
		{"as Terraform sends it", group + below, toAnn + `,"principalType":"ServicePrincipal","condition":null,"description":"x","unknown":[1]`, ""},
		{"at the root", below, toAnn, ""},
		{"with its scope", group + below, toAnn + `,"scope":"/SUBSCRIPTIONS/s1/resourceGroups/RG/"`, ""},
		{"at the root with its scope", below, toAnn + `,"scope":"/"`, ""},
		{"a definition at the root, in another spelling", vault + below, `"roleDefinitionId":"/providers/microsoft.authorization/ROLEDEFINITIONS/` + strings.ToUpper(OwnerID) + `","principalId":"` + ann + `"`, ""},
		{"to a group with a name", group + below, strings.Replace(toAnn, ann, "/ops team ü", 1) + `,"principalType":"Group"`, ""},
		{"a kind in another spelling", group + below, toAnn + `,"principalType":"serviceprincipal"`, ""},
		{"a name that is no GUID", group + "/providers/Microsoft.Authorization/roleAssignments/mine", toAnn, coffer.CodeInvalidResourceID},
		{"another type", vault, toAnn, coffer.CodeInvalidResourceID},
		{"at a management group", "/providers/Microsoft.Management/managementGroups/m" + below, toAnn, coffer.CodeInvalidResourceID},
		{"another scope", group + below, toAnn + `,"scope":"/subscriptions/s1"`, coffer.CodeInvalidContent},
		{"a scope that is none", group + below, toAnn + `,"scope":"rg"`, coffer.CodeInvalidContent},
		{"a name of somebody, and nobody said of whom", group + below, strings.Replace(toAnn, ann, "admins", 1), coffer.CodeInvalidContent},
		{"no principal", group + below, strings.Replace(toAnn, ann, "", 1), coffer.CodeInvalidContent},
		{"a principal of control characters", group + below, strings.Replace(toAnn, ann, `a\u0000`, 1) + `,"principalType":"User"`, coffer.CodeInvalidContent},
		{"a principal of 300 letters", group + below, strings.Replace(toAnn, ann, strings.Repeat("a", 300), 1) + `,"principalType":"User"`, coffer.CodeInvalidContent},
		{"a kind that nobody knows", group + below, toAnn + `,"principalType":"Robot"`, coffer.CodeInvalidContent},
		{"a condition", group + below, toAnn + `,"condition":"@Resource[x] StringEquals 'y'"`, coffer.CodeInvalidContent},
		{"a condition in another spelling", group + below, toAnn + `,"Condition":"@Resource[x] StringEquals 'y'"`, coffer.CodeInvalidContent},
		{"all in another spelling", group + below, strings.ToUpper(strings.Split(toAnn, ":")[0]) + toAnn[strings.Index(toAnn, ":"):] + `,"PrincipalType":"User"`, ""},
		{"an unknown role", group + below, strings.Replace(toAnn, ReaderID, guid, 1), coffer.CodeRoleDefinitionNotFound},
		{"a role's name", group + below, strings.Replace(toAnn, ReaderID, "Reader", 1), coffer.CodeRoleDefinitionNotFound},
		{"no role", group + below, `"principalId":"` + ann + `"`, coffer.CodeRoleDefinitionNotFound},
		{"the principal twice", group + below, toAnn + `,"principalId":"` + bob + `"`, coffer.CodeInvalidContent},
		{"no object", group + below, `"`, coffer.CodeInvalidContent},
	} {
		a, err := ReadAssignment(c.id, body(c.body))
		if coffer.CodeOf(err) != c.code || c.code == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil && (a.Scope != c.id.Parent() || a.Principal == "" || a.Role == "") {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
}

func TestNobodyGrantsFurtherThanTheyReach(t *testing.T) {
	who := catalogue.Principal{ObjectID: ann}
	for _, c := range []struct {
		name  string
		held  []Assignment
		scope catalogue.ID
		want  bool
	}{
		{"Owner above", []Assignment{given(ann, OwnerID, sub)}, group, true},
		{"User Access Administrator at the scope", []Assignment{given(ann, AccessAdminID, group)}, group, true},
		{"Owner below", []Assignment{given(ann, OwnerID, vault)}, group, false},
		{"Owner beside", []Assignment{given(ann, OwnerID, cluster)}, vault, false},
		{"Contributor at the root", []Assignment{given(ann, ContributorID, "")}, vault, false},
		{"Backup Contributor at the root", []Assignment{given(ann, BackupContribID, "")}, vault, false},
		{"Owner of one subscription, at the root", []Assignment{given(ann, OwnerID, sub)}, "", false},
		{"somebody else's Owner", []Assignment{given(bob, OwnerID, "")}, vault, false},
		{"nothing", nil, vault, false},
	} {
		for _, action := range []string{ActionAssignmentWrite, ActionAssignmentDelete} {
			err := CheckGrant(who, c.held, action, c.scope)
			if (err == nil) != c.want || err != nil && coffer.CodeOf(err) != coffer.CodeAuthorizationFailed {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

func TestSomebodyStaysOwner(t *testing.T) {
	anns, bobs, below := given(ann, OwnerID, ""), given(bob, OwnerID, ""), given(bob, OwnerID, sub)
	reader := given(bob, ReaderID, "")
	for _, c := range []struct {
		name          string
		atRoot, going []Assignment
		want          bool
	}{
		{"the last", []Assignment{anns, reader}, []Assignment{anns}, false},
		{"one of two", []Assignment{anns, bobs}, []Assignment{anns}, true},
		{"both", []Assignment{anns, bobs}, []Assignment{anns, bobs}, false},
		{"a reader", []Assignment{anns, reader}, []Assignment{reader}, true},
		{"an owner below the root does not count", []Assignment{anns, below}, []Assignment{anns}, false},
		{"an owner below the root", []Assignment{anns, below}, []Assignment{below}, true},
	} {
		if err := CheckOwnersRemain(c.atRoot, c.going); (err == nil) != c.want || err != nil && coffer.CodeOf(err) != coffer.CodeLastOwner {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestFiltersOfRoleDefinitions(t *testing.T) {
	for filter, want := range map[string]int{
		"": len(Roles()), " ": len(Roles()), "roleName eq 'Reader'": 1, "ROLENAME  eq 'backup operator'": 1, "roleName eq 'Nobody'": 0,
		"type eq 'BuiltInRole'": len(Roles()), "type eq 'CustomRole'": 0, "atScopeAndBelow()": len(Roles()),
		"atScopeAndBelow() and roleName eq 'Owner'": 1, "roleName eq 'Owner' and roleName eq 'Reader'": 0, "roleName eq 'O''Brien'": 0,
		"roleName eq 'Reader": -1, "roleName eq Reader": -1, "roleName eq 'Reader' and": -1, "and": -1, "roleName ne 'x'": -1,
		"roleName eq 'a'b'": -1, "roleName eq 'a' or roleName eq 'b'": -1, "name eq 'x'": -1, strings.Repeat("x", 2000): -1,
	} {
		roles, err := SelectRoles(filter)
		if (err != nil) != (want < 0) || err == nil && len(roles) != want || err != nil && coffer.CodeOf(err) != coffer.CodeInvalidFilter {
			t.Errorf("%.60q selects %d roles (%v)", filter, len(roles), err)
		}
	}
}

func TestFiltersOfRoleAssignments(t *testing.T) {
	all := []Assignment{given(ann, ReaderID, ""), given(ann, ReaderID, sub), given(bob, ReaderID, group), given(ann, ReaderID, vault), given(ann, ReaderID, "/subscriptions/s11")}
	for filter, want := range map[string]int{
		"": 4, "atScope()": 3, "principalId eq '" + bob + "'": 1, "assignedTo('" + strings.ToUpper(ann) + "')": 3,
		"atScope() and assignedTo('" + ann + "')": 2, "assignedTo()": -1, "scope eq 'x'": -1,
	} {
		f, err := ParseAssignmentFilter(filter)
		n := 0
		for _, a := range all {
			if f.Selects(a, group) {
				n++
			}
		}
		if (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("%s selects %d (%v)", filter, n, err)
		}
	}
}

// FuzzReadAssignment holds that what is understood names a known role and somebody.
func FuzzReadAssignment(f *testing.F) {
	f.Add(body(toAnn))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ReadAssignment(group+below, b)
		if err != nil {
			if coffer.CodeOf(err) == "" {
				t.Errorf("%v has no code", err)
			}
			return
		}
		if _, ok := RoleByID(a.Role); !ok || a.Principal == "" || a.Scope != group {
			t.Errorf("%s: %+v", b, a)
		}
	})
}
