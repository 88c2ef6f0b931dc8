package guard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

const (
	ann  = "11111111-1111-4111-8111-111111111111"
	bob  = "22222222-2222-4222-8222-222222222222"
	team = "33333333-3333-4333-8333-333333333333"

	security = catalogue.ID("/subscriptions/s2/resourceGroups/security")
	guardID  = security + "/providers/Microsoft.DataProtection/resourceGuards/g1"
	other    = security + "/providers/Microsoft.DataProtection/resourceGuards/g2"
	vaultID  = catalogue.ID("/subscriptions/s1/resourceGroups/rg/providers/Microsoft.DataProtection/backupVaults/v1")
	shop     = vaultID + "/backupInstances/shop"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// given is a role that somebody has been given by somebody.
func given(to, by, role string, scope catalogue.ID) access.Assignment {
	return access.Assignment{
		ID: scope + catalogue.ID(fmt.Sprintf("/providers/%s/%s-%s", access.AssignmentType, role, to)), Scope: scope, Role: role, Principal: to, GivenBy: by,
	}
}

func TestWhoMayGoPastAGuard(t *testing.T) {
	member := catalogue.Principal{ObjectID: ann, Name: "ann", Groups: []string{team}}
	request := string(RequestID(guardID, DeleteInstance))
	for _, c := range []struct {
		name  string
		held  []access.Assignment
		named []string
		op    Operation
		code  coffer.Code
		says  string
	}{
		{"who was given the role at the guard", []access.Assignment{given(ann, bob, access.MUAOperatorID, guardID)}, []string{request}, DeleteInstance, "", "Backup MUA Operator"},
		{"through a group of people", []access.Assignment{given(team, bob, access.MUAOperatorID, guardID)}, []string{request}, DeleteInstance, "", "Backup MUA Operator"},
		{"at the guard's group", []access.Assignment{given(ann, bob, access.MUAOperatorID, security)}, []string{request}, DeleteInstance, "", "Backup MUA Operator"},
		{"as Azure's Contributor", []access.Assignment{given(ann, bob, access.ContributorID, guardID)}, []string{request}, DeleteInstance, "", "Contributor"},
		{"as the first Owner, whom the server has made", []access.Assignment{given(ann, "", access.OwnerID, "")}, []string{request}, DeleteInstance, "", "Owner"},
		{"in another spelling", []access.Assignment{given(ann, bob, access.MUAOperatorID, guardID)}, []string{strings.ToUpper(request)}, DeleteInstance, "", "Backup MUA Operator"},
		{"with doubled slashes", []access.Assignment{given(ann, bob, access.MUAOperatorID, guardID)}, []string{"//" + strings.TrimPrefix(request, "/") + "/"}, DeleteInstance, "", "Backup MUA Operator"},
		{"among others", []access.Assignment{given(ann, bob, access.MUAOperatorID, guardID)}, []string{"x", string(RequestID(guardID, Restore)), request}, DeleteInstance, "", ""},

		{"who names nothing", []access.Assignment{given(ann, "", access.OwnerID, "")}, nil, DeleteInstance, coffer.CodeGuarded, "takes the operation request " + request},
		{"who names the request of another operation", []access.Assignment{given(ann, "", access.OwnerID, "")}, []string{string(RequestID(guardID, Restore))}, DeleteInstance, coffer.CodeGuarded, "names others"},
		{"who names another guard's", []access.Assignment{given(ann, bob, access.MUAOperatorID, other), given(ann, "", access.OwnerID, vaultID)}, []string{string(RequestID(other, DeleteInstance))}, DeleteInstance, coffer.CodeGuarded, "names others"},
		{"who names another than the default one", []access.Assignment{given(ann, "", access.OwnerID, "")}, []string{strings.Replace(request, "default", "mine", 1)}, DeleteInstance, coffer.CodeGuarded, ""},
		{"who names what is below it", []access.Assignment{given(ann, "", access.OwnerID, "")}, []string{request + "/x/y"}, DeleteInstance, coffer.CodeGuarded, ""},
		{"who names nonsense", []access.Assignment{given(ann, "", access.OwnerID, "")}, []string{"", "*", "/", "..", string(guardID)}, DeleteInstance, coffer.CodeGuarded, ""},

		{"the Owner of the vault", []access.Assignment{given(ann, "", access.OwnerID, vaultID)}, []string{request}, DeleteInstance, coffer.CodeLinkedAuthorizationFailed, "ask somebody who manages the guard g1"},
		{"the Owner of the vault's subscription", []access.Assignment{given(ann, "", access.OwnerID, "/subscriptions/s1")}, []string{request}, DeleteInstance, coffer.CodeLinkedAuthorizationFailed, ""},
		{"who may read the guard", []access.Assignment{given(ann, bob, access.ReaderID, guardID)}, []string{request}, DeleteInstance, coffer.CodeLinkedAuthorizationFailed, ""},
		{"who manages the guard", []access.Assignment{given(ann, bob, access.MUAAdminID, guardID)}, []string{request}, DeleteInstance, coffer.CodeLinkedAuthorizationFailed, ""},
		{"who has a role at another guard", []access.Assignment{given(ann, bob, access.MUAOperatorID, other)}, []string{request}, DeleteInstance, coffer.CodeLinkedAuthorizationFailed, ""},
		{"who has a role at a guard of a longer name", []access.Assignment{given(ann, bob, access.MUAOperatorID, guardID+"0")}, []string{request}, DeleteInstance, coffer.CodeLinkedAuthorizationFailed, ""},
		{"somebody else", []access.Assignment{given(bob, "", access.MUAOperatorID, guardID)}, []string{request}, DeleteInstance, coffer.CodeLinkedAuthorizationFailed, ""},
		{"who gave the role to themself", []access.Assignment{given(ann, ann, access.MUAOperatorID, guardID)}, []string{request}, DeleteInstance, coffer.CodeLinkedAuthorizationFailed, "given it to themselves"},
		{"who gave the role to a group of theirs", []access.Assignment{given(team, ann, access.MUAOperatorID, guardID)}, []string{request}, DeleteInstance, coffer.CodeLinkedAuthorizationFailed, "given it to themselves"},
		{"who gave it to themself, and was given it", []access.Assignment{given(ann, ann, access.MUAOperatorID, guardID), given(ann, bob, access.MUAOperatorID, security)}, []string{request}, DeleteInstance, "", "Backup MUA Operator"},
	} {
		consent, err := Decide(Case{
			Operation: c.op, Resource: shop, Vault: vaultID, Guard: guardID, Named: c.named, Who: member, Held: c.held, Now: noon,
		})
		if coffer.CodeOf(err) != c.code || (err == nil) != (c.code == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil && (!consent.Covered || consent.Request != RequestID(guardID, c.op) || consent.Used != -1 || !strings.Contains(consent.Role, c.says)) {
			t.Errorf("%s: %+v", c.name, consent)
		}
	}
}

func TestWhatAGuardLeavesOutTakesNobody(t *testing.T) {
	for _, o := range Operations() {
		_, err := Decide(Case{Operation: o, Resource: shop, Vault: vaultID, Guard: guardID, Excluded: []string{strings.ToUpper(o.Name)}, Who: catalogue.Principal{ObjectID: ann}, Now: noon})
		if (err != nil) != o.Mandatory {
			t.Errorf("%s excluded: %v", o.Name, err)
		}
		if _, err := Decide(Case{Operation: o, Resource: shop, Vault: vaultID, Guard: guardID, Excluded: []string{o.Name + "x", ""}, Who: catalogue.Principal{ObjectID: ann}, Now: noon}); coffer.CodeOf(err) != coffer.CodeGuarded {
			t.Errorf("%s: %v", o.Name, err)
		}
	}
}

func TestAnUnlockIsForOneResourceOnePersonAndAWhile(t *testing.T) {
	who := catalogue.Principal{ObjectID: ann, Name: "ann"}
	operator := []access.Assignment{given(ann, bob, access.MUAOperatorID, guardID)}
	good := Unlock{Request: DeleteInstance.Request, Resource: shop, By: ann, Until: noon.Add(time.Second)}
	change := func(by func(u *Unlock)) Unlock {
		u := good
		by(&u)
		return u
	}
	for _, c := range []struct {
		name       string
		unlock     Unlock
		held       []access.Assignment
		unlockable bool
		code       coffer.Code
	}{
		{"what it is for", good, operator, true, ""},
		{"in another spelling", change(func(u *Unlock) { u.Resource = catalogue.ID(strings.ToUpper(string(shop))) }), operator, true, ""},
		{"a request that can name it itself", good, operator, false, coffer.CodeGuarded},
		{"another resource", change(func(u *Unlock) { u.Resource = vaultID + "/backupInstances/shop2" }), operator, true, coffer.CodeGuarded},
		{"another operation", change(func(u *Unlock) { u.Request = Unguard.Request }), operator, true, coffer.CodeGuarded},
		{"somebody else", change(func(u *Unlock) { u.By = bob }), operator, true, coffer.CodeGuarded},
		{"its end", change(func(u *Unlock) { u.Until = noon }), operator, true, coffer.CodeGuarded},
		{"whose role was taken away meanwhile", good, nil, true, coffer.CodeLinkedAuthorizationFailed},
	} {
		consent, err := Decide(Case{
			Operation: DeleteInstance, Resource: shop, Vault: vaultID, Guard: guardID, Unlocks: []Unlock{{}, c.unlock}, Unlockable: c.unlockable, Who: who, Held: c.held, Now: noon,
		})
		if coffer.CodeOf(err) != c.code || (err == nil) != (c.code == "") {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil && consent.Used != 1 {
			t.Errorf("%s: %+v", c.name, consent)
		}
		if c.code == coffer.CodeGuarded && strings.Contains(err.Error(), "coffer resource-guard unlock") != c.unlockable {
			t.Errorf("%s is told: %v", c.name, err)
		}
	}
	if open := Open([]Unlock{good, change(func(u *Unlock) { u.Until = noon })}, noon); len(open) != 1 || open[0] != good {
		t.Errorf("open: %+v", open)
	}
}

func TestWhoNeedsNobodyElseIsTold(t *testing.T) {
	who := catalogue.Principal{ObjectID: ann}
	for _, c := range []struct {
		name string
		held []access.Assignment
		says string
	}{
		{"nothing", nil, ""},
		{"Owner of the vault", []access.Assignment{given(ann, "", access.OwnerID, vaultID)}, ""},
		{"Reader of the guard", []access.Assignment{given(ann, bob, access.ReaderID, guardID)}, ""},
		{"Owner of both by what is above them", []access.Assignment{given(ann, "", access.OwnerID, "")}, "Owner"},
		{"a role at the guard that they gave themselves", []access.Assignment{given(ann, ann, access.MUAOperatorID, guardID)}, ""},
	} {
		if got := Alone(who, c.held, guardID); (got != "") != (c.says != "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
