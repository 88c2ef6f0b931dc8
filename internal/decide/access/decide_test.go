package access

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	sub     = catalogue.ID("/subscriptions/s1")
	group   = sub + "/resourceGroups/rg"
	vault   = group + "/providers/Microsoft.DataProtection/backupVaults/v1"
	cluster = group + "/providers/Microsoft.ContainerService/managedClusters/c1"
	ann     = "11111111-1111-4111-8111-111111111111"
	bob     = "22222222-2222-4222-8222-222222222222"
	team    = "33333333-3333-4333-8333-333333333333"
)

func given(principal, role string, scope catalogue.ID) Assignment {
	return Assignment{ID: scope + catalogue.ID(fmt.Sprintf("/providers/Microsoft.Authorization/roleAssignments/%s-%s", role, principal)), Scope: scope, Role: role, Principal: principal}
}

func TestPatternsOfActions(t *testing.T) {
	for _, c := range []struct {
		pattern, action string
		want            bool
	}{
		{"*", "Microsoft.DataProtection/backupVaults/read", true},
		{"*/read", "Microsoft.DataProtection/backupVaults/read", true},
		{"*/read", "microsoft.dataprotection/backupvaults/READ", true},
		{"*/read", "Microsoft.DataProtection/backupVaults/readme", false},
		{"*/read", "read", false},
		{"Microsoft.Authorization/*/read", "Microsoft.Authorization/roleAssignments/read", true},
		{"Microsoft.Authorization/*/read", "Microsoft.Authorization/read", false},
		{"Microsoft.Authorization/*", "Microsoft.AuthorizationX/roleAssignments/write", false},
		{"a/*/b/*/c", "a/1/b/2/b/3/c", true},
		{"a/*/b/*/c", "a/1/b/c", false},
		{"a*a", "a", false},
		{"a**b", "ab", true},
		{"a/b", "a/b/c", false},
		{"a/b/c", "a/b", false},
		{"", "", true},
		{"", "a", false},
	} {
		if Matches(c.pattern, c.action) != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.action, !c.want)
		}
	}
}

// FuzzMatches compares with a matcher that tries everything.
func FuzzMatches(f *testing.F) {
	f.Add("a/*/read", "a/b/read")
	f.Fuzz(func(t *testing.T, pattern, action string) {
		if len(pattern) > 12 || len(action) > 12 {
			return
		}
		if got, want := Matches(pattern, action), slowly(strings.ToLower(pattern), strings.ToLower(action)); got != want {
			t.Errorf("%q matches %q: %v", pattern, action, got)
		}
	})
}

func slowly(pattern, action string) bool {
	switch {
	case pattern == "":
		return action == ""
	case pattern[0] == '*':
		return slowly(pattern[1:], action) || action != "" && slowly(pattern, action[1:])
	}
	return action != "" && action[0] == pattern[0] && slowly(pattern[1:], action[1:])
}

func TestRolesAllowWhatAzuresDo(t *testing.T) {
	const dp = "Microsoft.DataProtection/backupVaults/"
	everybody := []string{"Backup Reader", "Backup Operator", "Backup Contributor", "Reader", "Contributor", "User Access Administrator", "Owner"}
	andGuards := []string{"Backup Reader", "Backup Operator", "Backup Contributor", "Backup MUA Operator", "Backup MUA Admin", "Reader", "Contributor", "User Access Administrator", "Owner"}
	const guards = "Microsoft.DataProtection/resourceGuards/"
	for action, want := range map[string][]string{
		dp + "read":            everybody,
		dp + "backupJobs/read": everybody,
		dp + "backupInstances/recoveryPoints/read": everybody,
		ActionCoverage:       everybody,
		ActionAssignmentRead: andGuards,
		"Microsoft.Resources/subscriptions/resourceGroups/read": andGuards,
		// Who may read a guard does not go past it by that, and who manages guards does not either.
		guards + "read": {"Backup MUA Operator", "Backup MUA Admin", "Reader", "Contributor", "User Access Administrator", "Owner"},
		guards + "deleteBackupInstanceRequests/read":   {"Backup MUA Operator", "Backup MUA Admin", "Reader", "Contributor", "User Access Administrator", "Owner"},
		guards + "deleteBackupInstanceRequests/action": {"Backup MUA Operator", "Contributor", "Owner"},
		guards + "write":                                      {"Backup MUA Admin", "Contributor", "Owner"},
		guards + "delete":                                     {"Backup MUA Admin", "Contributor", "Owner"},
		dp + "backupResourceGuardProxies/write":               {"Backup Operator", "Backup Contributor", "Backup MUA Admin", "Contributor", "Owner"},
		dp + "backupResourceGuardProxies/delete":              {"Backup Operator", "Backup Contributor", "Backup MUA Admin", "Contributor", "Owner"},
		dp + "backupResourceGuardProxies/unlockDelete/action": {"Backup Operator", "Backup Contributor", "Backup MUA Admin", "Contributor", "Owner"},
		dp + "write":                                          {"Backup Contributor", "Contributor", "Owner"},
		dp + "delete":                                         {"Contributor", "Owner"},
		dp + "backupPolicies/write":                           {"Backup Contributor", "Contributor", "Owner"},
		dp + "backupInstances/write":                          {"Backup Operator", "Backup Contributor", "Contributor", "Owner"},
		dp + "backupInstances/delete":                         {"Backup Contributor", "Contributor", "Owner"},
		dp + "backupInstances/stopProtection/action":          {"Backup Contributor", "Contributor", "Owner"},
		dp + "backupInstances/restore/action":                 {"Backup Operator", "Backup Contributor", "Contributor", "Owner"},
		dp + "backupInstances/backup/action":                  {"Backup Operator", "Backup Contributor", "Contributor", "Owner"},
		ActionContents:                                        {"Backup Operator", "Backup Contributor", "Contributor", "Owner"},
		ActionAssignmentWrite:                                 {"User Access Administrator", "Owner"},
		ActionAssignmentDelete:                                {"User Access Administrator", "Owner"},
		ActionReveal:                                          {"Owner"},
		ActionPrincipalRead:                                   {"Reader", "Contributor", "User Access Administrator", "Owner"},
		ActionPrincipalWrite:                                  {"Owner"},
		ActionPrincipalDelete:                                 {"Owner"},
		ActionSecretWrite:                                     {"Owner"},
		ActionSecretDelete:                                    {"Owner"},
		"Microsoft.ContainerService/managedClusters/trustedAccessRoleBindings/write": {"Contributor", "Owner"},
		"":  nil,
		"*": nil,
	} {
		var got []string
		for _, r := range RolesFor(action) {
			got = append(got, r.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is allowed by %v, not by %v", action, got, want)
		}
	}
}

func TestRolesElsewhereAllowNothing(t *testing.T) {
	for _, r := range Roles() {
		if r.Elsewhere && len(r.Actions) > 0 {
			t.Errorf("%s allows %v", r.Name, r.Actions)
		}
		if !catalogue.GUID(r.ID) || r.ID != strings.ToLower(r.ID) {
			t.Errorf("%s has the id %s", r.Name, r.ID)
		}
		if found, ok := RoleByID(strings.ToUpper(r.ID)); !ok || found.Name != r.Name {
			t.Errorf("%s is not found by its id", r.Name)
		}
	}
}

func TestWhoMayDoWhatWhere(t *testing.T) {
	const write = "Microsoft.DataProtection/backupVaults/write"
	member := catalogue.Principal{ObjectID: ann, Groups: []string{team}}
	for _, c := range []struct {
		name    string
		who     catalogue.Principal
		held    Assignment
		scope   catalogue.ID
		allowed bool
	}{
		{"at the scope itself", member, given(ann, ContributorID, vault), vault, true},
		{"at the group", member, given(ann, ContributorID, group), vault, true},
		{"at the subscription", member, given(ann, ContributorID, sub), vault, true},
		{"at the root", member, given(ann, ContributorID, ""), vault, true},
		{"through a group of people", member, given(team, ContributorID, group), vault, true},
		{"in another spelling", member, given(ann, ContributorID, "/SUBSCRIPTIONS/S1/resourcegroups/RG"), vault, true},
		{"below an instance of the vault", member, given(ann, ContributorID, vault), vault + "/backupInstances/i", true},
		{"below the scope only", member, given(ann, ContributorID, vault), group, false},
		{"at a sibling", member, given(ann, ContributorID, cluster), vault, false},
		{"at a group whose name is a beginning of this one's", member, given(ann, ContributorID, sub+"/resourceGroups/r"), vault, false},
		{"at a group whose name this one's is a beginning of", member, given(ann, ContributorID, group+"2"), vault, false},
		{"at a vault whose name is a beginning", member, given(ann, ContributorID, vault), vault + "2", false},
		{"at another subscription", member, given(ann, ContributorID, "/subscriptions/s11"), vault, false},
		{"to somebody else", member, given(bob, OwnerID, ""), vault, false},
		{"to nobody", catalogue.Principal{}, Assignment{Role: OwnerID}, vault, false},
		{"a role that does not allow it", member, given(ann, ReaderID, ""), vault, false},
		{"a role that nobody knows", member, given(ann, "99999999-9999-4999-8999-999999999999", ""), vault, false},
		{"as a group where it is a user", member, Assignment{Role: OwnerID, Principal: ann, Kind: KindGroup}, vault, false},
		{"as a user where it is a group", member, Assignment{Role: OwnerID, Principal: team, Kind: KindUser}, vault, false},
		{"a GUID in upper case", catalogue.Principal{ObjectID: "AAAAAAAA-1111-4111-8111-111111111111"}, given("aaaaaaaa-1111-4111-8111-111111111111", OwnerID, ""), vault, true},
		{"a subject that differs by case", catalogue.Principal{ObjectID: "Abc"}, Assignment{Role: OwnerID, Principal: "abc", Kind: KindUser}, vault, false},
	} {
		d := Decide(c.who, []Assignment{c.held}, write, c.scope)
		if d.Allowed != c.allowed || d.Reason == "" {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

func TestARefusalIsARMsSentenceAndSaysWhichRoleWouldDo(t *testing.T) {
	who := catalogue.Principal{ObjectID: catalogue.MintObjectID([16]byte{1}), AppID: "app-1", Name: "terraform"}
	err := Refusal(who, "Microsoft.DataProtection/backupVaults/backupInstances/restore/action", vault)
	want := "The client 'app-1' with object id '01000000-0000-8000-8000-000000000000' does not have authorization to perform action " +
		"'Microsoft.DataProtection/backupVaults/backupInstances/restore/action' over scope '" + string(vault) +
		"' or the scope is invalid. If access was recently granted, please refresh your credentials."
	if err.Code != coffer.CodeAuthorizationFailed || err.Message != want || !strings.Contains(err.Hint, "the role Backup Operator") {
		t.Errorf("%s: %s; %s", err.Code, err.Message, err.Hint)
	}
	person := catalogue.Principal{ObjectID: ann, AppID: "browser", Name: "ann@example.org"}
	if err := Refusal(person, ActionReveal, ""); !strings.HasPrefix(err.Message, "The client 'ann@example.org' with") || !strings.Contains(err.Message, "over scope '/'") {
		t.Error(err.Message)
	}
}

func TestWhoHasARoleBelowSeesTheSubscription(t *testing.T) {
	who := catalogue.Principal{ObjectID: ann}
	held := []Assignment{given(ann, BackupReaderID, vault), given(bob, OwnerID, "/subscriptions/s2")}
	for scope, want := range map[catalogue.ID]bool{sub: true, group: true, vault: true, vault + "/backupInstances/i": true, cluster: false, "/subscriptions/s2": false, "/subscriptions/s": false} {
		if Sees(who, held, scope) != want {
			t.Errorf("sees %s: %v", scope, !want)
		}
	}
}

// A world is a random set of assignments, and what may be asked about it. Its names are beginnings of each other.
type world struct {
	scopes  []catalogue.ID
	actions []string
	held    []Assignment
	who     catalogue.Principal
}

func randomWorld(r *rand.Rand) world {
	w := world{scopes: []catalogue.ID{""}, who: catalogue.Principal{ObjectID: ann, Groups: []string{team}}}
	for _, s := range []string{"a", "ab"} {
		for _, g := range []string{"x", "xy", "X-y"} {
			id := catalogue.ID("/subscriptions/" + s + "/resourceGroups/" + g)
			w.scopes = append(w.scopes, catalogue.ID("/subscriptions/"+s), id)
			for _, v := range []string{"v", "v1", "providers"} {
				vault := id + catalogue.ID("/providers/Microsoft.DataProtection/backupVaults/"+v)
				w.scopes = append(w.scopes, vault, vault+"/backupInstances/i")
			}
		}
	}
	for _, role := range Roles() {
		w.actions = append(w.actions, role.Actions...)
	}
	w.actions = append(w.actions, ActionReveal, ActionAssignmentWrite, ActionPrincipalWrite, "Microsoft.DataProtection/backupVaults/delete")
	w.actions = slices.DeleteFunc(w.actions, func(a string) bool { return strings.Contains(a, "*") })
	for range r.IntN(6) {
		w.held = append(w.held, w.assignment(r))
	}
	return w
}

func (w world) assignment(r *rand.Rand) Assignment {
	roles := Roles()
	return given([]string{ann, bob, team}[r.IntN(3)], roles[r.IntN(len(roles))].ID, w.scopes[r.IntN(len(w.scopes))])
}

func TestAnotherAssignmentTakesNothingAway(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same worlds every time
	for range 3000 {
		w := randomWorld(r)
		action, scope := w.actions[r.IntN(len(w.actions))], w.scopes[r.IntN(len(w.scopes))]
		before := Decide(w.who, w.held, action, scope)
		more := append(slices.Clone(w.held), w.assignment(r))
		r.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
		if after := Decide(w.who, more, action, scope); before.Allowed && !after.Allowed {
			t.Fatalf("%s at %s: %s; with one more of %+v: %s", action, scope, before.Reason, more, after.Reason)
		}
	}
}

// TestAScopeDoesNotLeak holds that what is allowed is allowed by an assignment to the principal at an ancestor, in the sense of the
// path's elements, and that what is allowed at a scope is allowed everywhere below it.
func TestAScopeDoesNotLeak(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same worlds every time
	allowed := 0
	for range 5000 {
		w := randomWorld(r)
		action, scope := w.actions[r.IntN(len(w.actions))], w.scopes[r.IntN(len(w.scopes))]
		d := Decide(w.who, w.held, action, scope)
		if !d.Allowed {
			continue
		}
		allowed++
		if d.By.Principal == bob || !ancestor(d.By.Scope, scope) {
			t.Fatalf("%s at %q is allowed by %+v", action, scope, d.By)
		}
		for _, below := range w.scopes {
			if ancestor(scope, below) && !Decide(w.who, w.held, action, below).Allowed {
				t.Fatalf("%s is allowed at %s, but not at %s", action, scope, below)
			}
		}
	}
	if allowed < 100 {
		t.Errorf("only %d of the questions were allowed: this test holds nothing", allowed)
	}
}

func ancestor(above, below catalogue.ID) bool {
	a, b := strings.Split(above.Key(), "/"), strings.Split(below.Key(), "/")
	return above == "" || len(a) <= len(b) && slices.Equal(a, b[:len(a)])
}
