package vault_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

type ctx = context.Context

const (
	sub   catalogue.ID = "/subscriptions/s1"
	group catalogue.ID = sub + "/resourceGroups/rg"
	ann                = "11111111-1111-4111-8111-111111111111"
)

func mustHeld(t *testing.T, w *vaultworld.World, who catalogue.Principal) (held []access.Assignment) {
	t.Helper()
	err := w.Database.View(t.Context(), func(ctx ctx, v catalogue.View) (err error) {
		held, err = vault.Held(ctx, v, who)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return held
}

func assignmentID(scope catalogue.ID, guid string) catalogue.ID {
	return scope + catalogue.ID("/providers/Microsoft.Authorization/roleAssignments/"+guid)
}

func assignmentBody(role, principal, kind string) []byte {
	return []byte(`{"properties":{"roleDefinitionId":"/subscriptions/s1/providers/Microsoft.Authorization/roleDefinitions/` + role +
		`","principalId":"` + principal + `","principalType":"` + kind + `"}}`)
}

func mustAssign(t *testing.T, w *vaultworld.World, by vault.Caller, scope catalogue.ID, guid, role, principal string) {
	t.Helper()
	_, created, err := w.Access.PutAssignment(t.Context(), by, assignmentID(scope, guid), assignmentBody(role, principal, "ServicePrincipal"), catalogue.Condition{})
	if err != nil || !created {
		t.Fatalf("assigned: %v, %v", created, err)
	}
}

func mustResource(t *testing.T, w *vaultworld.World, id catalogue.ID) {
	t.Helper()
	err := w.Database.Update(t.Context(), func(ctx ctx, tx catalogue.Tx) error {
		_, err := tx.PutResource(ctx, catalogue.Resource{ID: id, Body: []byte(`{}`)}, catalogue.Condition{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestARoleIsAssignedAndTakenAway(t *testing.T) {
	w := vaultworld.New(t)
	_, admin := w.MustAdministrator(t)
	mustResource(t, w, sub)
	mustResource(t, w, group)
	mustAssign(t, w, admin, group, guid1, access.ReaderID, ann)
	who := catalogue.Principal{ObjectID: strings.ToUpper(ann)}
	if held := mustHeld(t, w, who); len(held) != 1 || !access.Decide(who, held, "Microsoft.DataProtection/backupVaults/read", group).Allowed {
		t.Errorf("%+v", held)
	}
	if members := (catalogue.Principal{ObjectID: "x", Groups: []string{ann}}); len(mustHeld(t, w, members)) != 1 {
		t.Error("a member of a group does not hold what is the group's")
	}
	last := mustAudit(t, w)[0]
	if last.Action != access.ActionAssignmentWrite || last.Status != 201 || last.Principal != admin.Principal.ObjectID || last.Request != admin.Request || len(last.Before) > 0 || !strings.Contains(string(last.After), ann) {
		t.Errorf("%+v", last)
	}
	// The same once more is the same.
	_, created, err := w.Access.PutAssignment(t.Context(), admin, assignmentID(group, guid1), assignmentBody(access.ReaderID, ann, "ServicePrincipal"), catalogue.Condition{})
	if err != nil || created {
		t.Errorf("put again: created %v, %v", created, err)
	}
	was, existed, err := w.Access.DeleteAssignment(t.Context(), admin, assignmentID(group, guid1), catalogue.Condition{})
	if err != nil || !existed || !was.ID.Is(assignmentID(group, guid1)) || len(mustHeld(t, w, who)) != 0 {
		t.Errorf("deleted: %v, %v", existed, err)
	}
	if _, existed, err := w.Access.DeleteAssignment(t.Context(), admin, assignmentID(group, guid1), catalogue.Condition{}); err != nil || existed {
		t.Errorf("deleted twice: %v, %v", existed, err)
	}
}

func TestAssignmentsThatAreRefused(t *testing.T) {
	w := vaultworld.New(t)
	_, admin := w.MustAdministrator(t)
	mustResource(t, w, sub)
	mustResource(t, w, group)
	mustAssign(t, w, admin, group, guid1, access.ReaderID, ann)
	contributor, owner := "aaaaaaaa-0000-4000-8000-000000000000", "bbbbbbbb-0000-4000-8000-000000000000"
	mustAssign(t, w, admin, "", guid2, access.ContributorID, contributor)
	mustAssign(t, w, admin, group, guid3, access.OwnerID, owner)
	as := func(id string) vault.Caller { return vault.Caller{Principal: catalogue.Principal{ObjectID: id}} }
	const fresh = "cccccccc-0000-4000-8000-000000000000"
	before := len(mustAudit(t, w))
	for _, c := range []struct {
		name string
		by   vault.Caller
		id   catalogue.ID
		body []byte
		code coffer.Code
	}{
		{"by a Contributor", as(contributor), assignmentID(group, fresh), assignmentBody(access.ReaderID, ann, "User"), coffer.CodeAuthorizationFailed},
		{"by nobody", vault.Caller{}, assignmentID(group, fresh), assignmentBody(access.ReaderID, ann, "User"), coffer.CodeAuthorizationFailed},
		{"above one's own scope", as(owner), assignmentID(sub, fresh), assignmentBody(access.ReaderID, ann, "User"), coffer.CodeAuthorizationFailed},
		{"one's own promotion", as(owner), assignmentID("", fresh), assignmentBody(access.OwnerID, owner, "User"), coffer.CodeAuthorizationFailed},
		{"in a group that is not there", admin, assignmentID(group+"2", fresh), assignmentBody(access.ReaderID, ann, "User"), coffer.CodeResourceNotFound},
		{"at a vault that is not there", admin, assignmentID(group+"/providers/Microsoft.DataProtection/backupVaults/v", fresh), assignmentBody(access.ReaderID, ann, "User"), coffer.CodeResourceNotFound},
		{"at an extension that is not there", admin, assignmentID(group+"/providers/Microsoft.ContainerService/managedClusters/c/providers/Microsoft.KubernetesConfiguration/extensions/e", fresh), assignmentBody(access.OwnerID, ann, "User"), coffer.CodeResourceNotFound},
		{"another role under the same name", admin, assignmentID(group, guid1), assignmentBody(access.OwnerID, ann, "ServicePrincipal"), coffer.CodeRoleAssignmentNotChanged},
		{"another principal under the same name", admin, assignmentID(group, guid1), assignmentBody(access.ReaderID, owner, "ServicePrincipal"), coffer.CodeRoleAssignmentNotChanged},
		{"a group in place of a principal", admin, assignmentID(group, guid1), assignmentBody(access.ReaderID, ann, "Group"), coffer.CodeRoleAssignmentNotChanged},
		{"the same under another name", admin, assignmentID(group, fresh), assignmentBody(access.ReaderID, ann, "ServicePrincipal"), coffer.CodeRoleAssignmentExists},
		{"a role that is not there", admin, assignmentID(group, fresh), assignmentBody(fresh, ann, "User"), coffer.CodeRoleDefinitionNotFound},
	} {
		if _, _, err := w.Access.PutAssignment(t.Context(), c.by, c.id, c.body, catalogue.Condition{}); coffer.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, _, err := w.Access.DeleteAssignment(t.Context(), as(contributor), assignmentID(group, guid1), catalogue.Condition{}); coffer.CodeOf(err) != coffer.CodeAuthorizationFailed {
		t.Errorf("taken away by a Contributor: %v", err)
	}
	if after := len(mustAudit(t, w)); after != before {
		t.Errorf("what was refused left %d entries", after-before)
	}
	// An Owner of the group may, within it.
	mustAssign(t, w, as(owner), group, fresh, access.BackupOperID, contributor)
}

func TestAssignmentsAreListedByScope(t *testing.T) {
	w := vaultworld.New(t)
	_, admin := w.MustAdministrator(t)
	mustResource(t, w, sub)
	vaultID := group + "/providers/Microsoft.DataProtection/backupVaults/v"
	for _, id := range []catalogue.ID{group, group + "2", vaultID} {
		mustResource(t, w, id)
	}
	mustAssign(t, w, admin, sub, guid1, access.ReaderID, ann)
	mustAssign(t, w, admin, vaultID, guid2, access.BackupOperID, ann)
	mustAssign(t, w, admin, group+"2", guid3, access.ReaderID, ann)
	for filter, want := range map[string]int{"": 3, "atScope()": 2, "principalId eq '" + ann + "'": 2, "atScope() and assignedTo('" + ann + "')": 1} {
		if found, err := w.Access.Assignments(t.Context(), group, filter); err != nil || len(found) != want {
			t.Errorf("%q: %d, %v", filter, len(found), err)
		}
	}
	if _, err := w.Access.Assignments(t.Context(), group, "x"); coffer.CodeOf(err) != coffer.CodeInvalidFilter {
		t.Error(err)
	}
}

func TestRoleDefinitionsAreAzures(t *testing.T) {
	w := vaultworld.New(t)
	found, err := w.Access.RoleDefinitions(group, "roleName eq 'Storage Blob Data Contributor'")
	if err != nil || len(found) != 1 || found[0].ID != sub+"/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe" || !strings.Contains(string(found[0].Body), `"actions":[]`) {
		t.Errorf("%+v, %v", found, err)
	}
	one, err := w.Access.RoleDefinition("/providers/Microsoft.Authorization/roleDefinitions/" + access.OwnerID)
	if err != nil || !strings.Contains(string(one.Body), `"roleName":"Owner","type":"BuiltInRole"`) {
		t.Errorf("%s, %v", one.Body, err)
	}
	if _, err := w.Access.RoleDefinition("/providers/Microsoft.Authorization/roleDefinitions/" + guid1); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		t.Error(err)
	}
}

// A failing database is one whose next writes fail after some statements.
type failing struct {
	catalogue.Database
	after int
}

type failingTx struct {
	catalogue.Tx
	left *int
}

var errDown = errors.New("the database went away")

func (f *failing) Update(ctx context.Context, do func(ctx context.Context, tx catalogue.Tx) error) error {
	return f.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error { return do(ctx, failingTx{tx, &f.after}) })
}

func (f failingTx) fail() error {
	if *f.left--; *f.left < 0 {
		return errDown
	}
	return nil
}

func (f failingTx) PutResource(ctx context.Context, r catalogue.Resource, c catalogue.Condition) (catalogue.Resource, error) {
	if err := f.fail(); err != nil {
		return r, err
	}
	return f.Tx.PutResource(ctx, r, c)
}

func (f failingTx) DeleteResource(ctx context.Context, id catalogue.ID, c catalogue.Condition) error {
	return errors.Join(f.fail(), f.Tx.DeleteResource(ctx, id, c))
}

func (f failingTx) PutSecret(ctx context.Context, s catalogue.Secret) error {
	return errors.Join(f.fail(), f.Tx.PutSecret(ctx, s))
}

func (f failingTx) AppendAudit(ctx context.Context, some ...catalogue.AuditEntry) error {
	return errors.Join(f.fail(), f.Tx.AppendAudit(ctx, some...))
}

// TestAFailureLeavesNothingHalf has each use case fail at each of its writes, and then succeed.
func TestAFailureLeavesNothingHalf(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, w *vaultworld.World, a *vault.Access, admin vault.Caller) error{
		"the first administrator": func(t *testing.T, _ *vaultworld.World, a *vault.Access, _ vault.Caller) error {
			c, err := vault.NewCredential(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.EnsureAdministrator(t.Context(), c)
			return err
		},
		"adding a secret": func(t *testing.T, _ *vaultworld.World, a *vault.Access, admin vault.Caller) error {
			_, err := a.AddSecret(t.Context(), admin, vault.PrincipalID(guid1), vault.NewSecret{Only: true})
			return err
		},
		"deleting a principal": func(t *testing.T, _ *vaultworld.World, a *vault.Access, admin vault.Caller) error {
			_, err := a.DeletePrincipal(t.Context(), admin, vault.PrincipalID(guid1), catalogue.Condition{})
			return err
		},
	} {
		w := vaultworld.New(t)
		admin := vault.Caller{}
		if name != "the first administrator" {
			_, admin = w.MustAdministrator(t)
			id := mustPrincipal(t, w, admin, guid1)
			mustSecret(t, w, admin, id, vault.NewSecret{})
			mustAssign(t, w, admin, "", guid1, access.ReaderID, mustFacts(t, w, id).ObjectID)
		}
		for after := 0; ; after++ {
			before := mustState(t, w)
			f := &failing{Database: w.Database, after: after}
			a, err := vault.NewAccess(vault.AccessConfig{Database: f, Sealer: w.Sealer, NowFunc: w.Clock.Now, Random: strings.NewReader(strings.Repeat("random bytes that go on ", 20))})
			if err != nil {
				t.Fatal(err)
			}
			if err := use(t, w, a, admin); err == nil {
				if after < 2 {
					t.Errorf("%s took only %d writes", name, after)
				}
				break
			} else if !errors.Is(err, errDown) {
				t.Fatalf("%s: %v", name, err)
			}
			if got := mustState(t, w); got != before {
				t.Errorf("%s failed after %d writes, and left\n%s\nwhere there was\n%s", name, after, got, before)
			}
		}
	}
}

// mustState is all that there is, in words.
func mustState(t *testing.T, w *vaultworld.World) string {
	t.Helper()
	var text strings.Builder
	err := w.Database.View(t.Context(), func(ctx ctx, v catalogue.View) error {
		text.Reset()
		resources, err := v.Resources(ctx, catalogue.ResourceQuery{Limit: 1000})
		for _, r := range resources {
			secrets, err := v.Secrets(ctx, r.ID)
			if err != nil {
				return err
			}
			text.WriteString(string(r.ID) + string(r.Facts) + "\n")
			for _, s := range secrets {
				text.WriteString(" " + s.Name + "\n")
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String() + strings.Repeat("audited ", len(mustAudit(t, w)))
}

func TestADamagedAssignmentIsNobodysMistake(t *testing.T) {
	w := vaultworld.New(t)
	_, admin := w.MustAdministrator(t)
	mustResource(t, w, sub)
	err := w.Database.Update(t.Context(), func(ctx ctx, tx catalogue.Tx) error {
		_, err := tx.PutResource(ctx, catalogue.Resource{
			ID: assignmentID(sub, guid1), Body: []byte(`{"properties":{}}`), Links: []catalogue.Link{{Relation: catalogue.LinkPrincipal, Target: admin.Principal.ObjectID}},
		}, catalogue.Condition{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = w.Database.View(t.Context(), func(ctx ctx, v catalogue.View) error {
		_, err := vault.Held(ctx, v, admin.Principal)
		return err
	})
	if err == nil || coffer.CodeOf(err) != "" || !strings.Contains(err.Error(), string(assignmentID(sub, guid1))) {
		t.Errorf("%s: %v", coffer.CodeOf(err), err)
	}
}
