package arm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

const (
	security = subscription + "/resourceGroups/security"
	guardID  = security + "/providers/Microsoft.DataProtection/resourceGuards/g1"
	laxID    = security + "/providers/Microsoft.DataProtection/resourceGuards/lax"
	proxyID  = vaultID + "/backupResourceGuardProxies/DppResourceGuardProxy"
	// tom administers the vault, and has nothing to do with the guard, but that he may read it; sue is who lets him past it.
	tom = "tom"
	sue = "sue"
)

func named(o guard.Operation) string {
	return fmt.Sprintf(`{"resourceGuardOperationRequests":[%q]}`, string(guard.RequestID(guardID, o)))
}

// grant gives a role to somebody by somebody, and answers what takes it away.
func (w *world) grant(by, to, role, scope string) func() {
	w.t.Helper()
	id := fmt.Sprintf("%s/providers/Microsoft.Authorization/roleAssignments/99999999-9999-4999-8999-%s", scope, w.objectID(to + role + scope + by)[24:])
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/%s","principalId":%q}}`, role, w.objectID(to))
	if got := w.do(by, http.MethodPut, id+version, body); got.status != 201 {
		w.t.Fatalf("%s gives %s a role at %s: %d %s", by, to, scope, got.status, got.text)
	}
	return func() {
		w.t.Helper()
		if got := w.do(by, http.MethodDelete, id+version, ""); got.status != 200 {
			w.t.Fatalf("%s takes a role from %s: %d %s", by, to, got.status, got.text)
		}
	}
}

// as makes a request as somebody, and checks the status and, of a refusal, its code.
func (w *world) as(who string, status int, code coffer.Code, method, path, body string) reply {
	w.t.Helper()
	got := w.do(who, method, path+version, body)
	if got.status != status || code != "" && got.at("error", "code") != string(code) {
		w.t.Errorf("%s %s %s %s: %d %s, want %d %s", who, method, path, body, got.status, got.text, status, code)
	}
	return got
}

// newGuarded is a vault with an instance that tom administers, under a guard that sue administers.
func newGuarded(t *testing.T, excluded string) *world {
	t.Helper()
	w := newInstance(t)
	w.must(201, http.MethodPut, security+version, `{"location":"westeurope"}`)
	w.grant("owner", tom, access.OwnerID, group)
	w.grant("owner", sue, access.OwnerID, security)
	w.as(sue, 201, "", http.MethodPut, guardID, `{"location":"westeurope","properties":{"vaultCriticalOperationExclusionList":[`+excluded+`]}}`)
	w.grant(sue, tom, access.ReaderID, security)
	w.as(tom, 200, "", http.MethodPut, proxyID, `{"properties":{"resourceGuardResourceId":"`+guardID+`"}}`)
	return w
}

func TestAGuardIsAsClientsKnowIt(t *testing.T) {
	w := newGuarded(t, `"Microsoft.DataProtection/backupVaults/backupInstances/restore/action"`)
	got := w.as(sue, 200, "", http.MethodGet, guardID, "")
	if got.at("type") != "Microsoft.DataProtection/resourceGuards" || got.at("properties", "provisioningState") != "Succeeded" || got.at("properties", "allowAutoApprovals") != any(false) ||
		!strings.Contains(got.text, `"requestResourceType":"Microsoft.DataProtection/resourceGuards/deleteBackupInstanceRequests"`) || strings.Contains(got.text, "dppTriggerRestoreRequests") {
		t.Errorf("shown: %s", got.text)
	}
	w.as(sue, 200, "", http.MethodPatch, guardID, `{"tags":{"a":"b"}}`)
	if got := w.as(sue, 200, "", http.MethodGet, guardID, ""); got.at("tags", "a") != "b" || len(got.at("properties", "vaultCriticalOperationExclusionList").([]any)) != 1 {
		t.Errorf("patched: %s", got.text)
	}
	for _, list := range []string{security + "/providers/Microsoft.DataProtection/resourceGuards", subscription + "/providers/Microsoft.DataProtection/resourceGuards"} {
		if got := w.as(sue, 200, "", http.MethodGet, list, ""); strings.Join(got.names(t), " ") != "g1" {
			t.Errorf("%s: %s", list, got.text)
		}
	}
	for _, body := range []string{
		`{"properties":{}}`, `{"location":"westeurope","properties":{"vaultCriticalOperationExclusionList":"all"}}`,
		`{"location":"westeurope","properties":{"vaultCriticalOperationExclusionList":["Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/delete"]}}`,
		`{"location":"westeurope","properties":{"VaultCriticalOperationExclusionList":["MICROSOFT.DATAPROTECTION/backupVaults/write#reduceSoftDeleteSecurity"]}}`,
		`{"location":"westeurope","properties":{"vaultCriticalOperationExclusionList":["everything"]}}`,
	} {
		w.as(sue, 400, "", http.MethodPut, guardID, body)
	}
	w.as(sue, 400, coffer.CodeInvalidInput, http.MethodPut, security+"/providers/Microsoft.DataProtection/resourceGuards/g_1", `{"location":"westeurope"}`)
	w.as(sue, 200, "", http.MethodPut, guardID, `{"location":"westeurope","identity":{"type":"None"},"properties":null}`)
	for _, request := range guard.Requests() {
		if got := w.as(sue, 200, "", http.MethodGet, guardID+"/"+strings.ToLower(request)+"/default", ""); got.at("id") != guardID+"/"+request+"/default" || got.at("name") != "default" {
			t.Errorf("%s: %s", request, got.text)
		}
		if got := w.as(sue, 200, "", http.MethodGet, guardID+"/"+request, ""); strings.Join(got.names(t), " ") != "default" {
			t.Errorf("%s: %s", request, got.text)
		}
	}
	w.as(sue, 404, "", http.MethodGet, guardID+"/deleteBackupInstanceRequests/mine", "")
	w.as(sue, 404, "", http.MethodGet, guardID+"2/deleteBackupInstanceRequests/default", "")
	w.as(sue, 404, "", http.MethodGet, guardID+"2/deleteBackupInstanceRequests", "")
	w.as(sue, 404, "", http.MethodGet, guardID+"/otherRequests/default", "")

	if got := w.as(tom, 200, "", http.MethodGet, vaultID, ""); got.at("properties", "isVaultProtectedByResourceGuard") != any(true) || got.at("properties", "secureScore") != "Adequate" {
		t.Errorf("the vault: %s", got.text)
	}
	proxy := w.as(tom, 200, "", http.MethodGet, vaultID+"/backupresourceguardproxies/dppresourceguardproxy", "")
	if proxy.at("name") != "DppResourceGuardProxy" || proxy.at("properties", "resourceGuardResourceId") != guardID ||
		!strings.Contains(proxy.text, `"defaultResourceRequest":"`+guardID+`/deleteResourceGuardProxyRequests/default"`) {
		t.Errorf("the proxy: %s", proxy.text)
	}
	if got := w.as(tom, 200, "", http.MethodGet, vaultID+"/backupResourceGuardProxies", ""); strings.Join(got.names(t), " ") != "DppResourceGuardProxy" {
		t.Errorf("proxies: %s", got.text)
	}
}

// TestNobodyGoesPastAGuardAlone holds that each critical operation is refused to the vault's Owner, whatever he names, until somebody else
// has given him the role, and no longer than he has it.
func TestNobodyGoesPastAGuardAlone(t *testing.T) {
	const deleted = vaultID + "/deletedBackupInstances/aks1-one"
	restore := strings.Replace(bareRestore, "{", `{"resourceGuardOperationRequests":REQUESTS,`, 1)
	other := strings.Replace(policyBody, "P7D", "P3D", 1)
	longer := strings.Replace(policyBody, "P7D", "P9D", 1)
	weaker := strings.Replace(strings.Replace(policyBody, "P7D", "P3D", 1), `"properties":{`, `"properties":{"resourceGuardOperationRequests":REQUESTS,`, 1)
	inProperties := func(body string) string {
		return `{"properties":{"resourceGuardOperationRequests":REQUESTS,` + body + `}}`
	}
	settings, deletions := newGuarded(t, ""), newGuarded(t, "")
	settings.putPoint("p1", time.Now())
	deletions.putPoint("p1", time.Now())
	soft := func(w *world, days int) {
		w.as(tom, 200, "", http.MethodPatch, vaultID, fmt.Sprintf(`{"properties":{"securitySettings":{"softDeleteSettings":{"state":"On","retentionDurationInDays":%d}}}}`, days))
	}
	resume := func(w *world) { w.as(tom, 202, "", http.MethodPost, instanceID+"/resumeProtection", "") }
	const requests = `{"resourceGuardOperationRequests":REQUESTS}`
	for _, c := range []struct {
		name         string
		w            *world
		operation    guard.Operation
		before       func(w *world)
		method, path string
		body         string
		status       int
	}{
		{"a deletion by a request that has a body", deletions, guard.DeleteInstance, nil, http.MethodDelete, instanceID, requests, 200},
		{"a purge", deletions, guard.DeleteInstance, nil, http.MethodPost, deleted + "/providers/Coffer.Backup/purge", requests, 202},
		{"to stop protection", settings, guard.StopProtection, nil, http.MethodPost, instanceID + "/stopProtection", `{"ResourceGuardOperationRequests":REQUESTS}`, 202},
		{"to suspend what is stopped, so that it expires", settings, guard.SuspendBackups, nil, http.MethodPost, instanceID + "/suspendBackups", requests, 202},
		{"to suspend backups", settings, guard.SuspendBackups, resume, http.MethodPost, instanceID + "/suspendBackups", requests, 202},
		{"to stop what is suspended", settings, guard.StopProtection, nil, http.MethodPost, instanceID + "/stopProtection", requests, 202},
		{"soft delete off", settings, guard.ReduceSoftDelete, nil, http.MethodPatch, vaultID, inProperties(`"securitySettings":{"softDeleteSettings":{"state":"Off"}}`), 200},
		{"soft delete off, by a whole vault", settings, guard.ReduceSoftDelete, func(w *world) { soft(w, 14) }, http.MethodPut, vaultID, strings.NewReplacer(`"state":"On"`, `"state":"Off"`, `"properties":{`, `"properties":{"resourceGuardOperationRequests":REQUESTS,`).Replace(vaultBody), 200},
		{"shorter soft delete", settings, guard.ReduceSoftDelete, func(w *world) { soft(w, 30) }, http.MethodPatch, vaultID, inProperties(`"securitySettings":{"softDeleteSettings":{"retentionDurationInDays":20}}`), 200},
		{"immutability off", settings, guard.ReduceImmutability, func(w *world) {
			w.as(tom, 200, "", http.MethodPatch, vaultID, `{"properties":{"securitySettings":{"immutabilitySettings":{"state":"Unlocked"}}}}`)
		}, http.MethodPatch, vaultID, inProperties(`"securitySettings":{"immutabilitySettings":{"state":"Disabled"}}`), 200},
		{"another policy, that keeps for less long", settings, guard.MovePolicy, func(w *world) { w.as(tom, 200, "", http.MethodPut, policyID+"0", other) }, http.MethodPatch, instanceID, inProperties(`"policyInfo":{"policyId":"` + policyID + `0"}`), 200},
		{"a policy that keeps for less long", settings, guard.ChangePolicy, nil, http.MethodPut, policyID, weaker, 200},
		{"to release a hold", settings, guard.ReleaseHold, func(w *world) {
			w.as(tom, 200, "", http.MethodPost, instanceID+"/recoveryPoints/p1/providers/Coffer.Backup/hold", `{"reason":"Case 42"}`)
		}, http.MethodPost, instanceID + "/recoveryPoints/p1/providers/Coffer.Backup/releaseHold", requests, 200},
		{"to restore", settings, guard.Restore, nil, http.MethodPost, instanceID + "/restore", restore, 202},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := c.w
			if c.before != nil {
				c.before(w)
			}
			naming := func(requests ...string) string {
				text, err := json.Marshal(requests)
				if err != nil {
					t.Fatal(err)
				}
				return strings.Replace(c.body, "REQUESTS", string(text), 1)
			}
			request := string(guard.RequestID(guardID, c.operation))
			refused := func(code coffer.Code, requests ...string) {
				t.Helper()
				before := len(w.audit())
				if got := w.as(tom, 403, code, c.method, c.path, naming(requests...)); !strings.Contains(got.text, request) {
					t.Errorf("it is not said what it takes: %s", got.text)
				}
				entries := w.audit()[before:]
				if len(entries) != 1 || entries[0].Status != 403 || entries[0].Code != string(code) || entries[0].Principal != w.objectID(tom) {
					t.Errorf("the audit log has %+v of it", entries)
				}
			}
			refused(coffer.CodeGuarded)
			refused(coffer.CodeGuarded, request+"2", string(guardID), laxID+"/"+c.operation.Request+"/default")
			refused(coffer.CodeLinkedAuthorizationFailed, request)
			take := w.grant(sue, tom, access.MUAOperatorID, guardID)
			refused(coffer.CodeGuarded)
			take()
			refused(coffer.CodeLinkedAuthorizationFailed, request)
			take = w.grant(sue, tom, access.MUAOperatorID, guardID)
			got := w.as(tom, c.status, "", c.method, c.path, naming("/nothing", strings.ToUpper(request)))
			if strings.Contains(got.text, "OperationRequests") {
				t.Errorf("what was named is kept: %s", got.text)
			}
			take()
			used := 0
			for _, e := range w.audit() {
				if string(e.Target) == request && e.Action == c.operation.Action() && strings.Contains(string(e.After), "Backup MUA Operator") && strings.Contains(string(e.After), w.objectID(sue)) {
					used++
				}
			}
			if used < 1 {
				t.Error("the guard's audit log does not say that it was gone past, and who has let them")
			}
		})
	}
	t.Run("what takes nothing away", func(t *testing.T) {
		w := newGuarded(t, "")
		w.putPoint("p1", time.Now())
		w.as(tom, 200, "", http.MethodPut, vaultID, vaultBody)
		w.as(tom, 200, "", http.MethodPatch, vaultID, `{"tags":{"a":"b"},"properties":{"securitySettings":{"softDeleteSettings":{"state":"AlwaysOn"}}}}`)
		if got := w.as(tom, 200, "", http.MethodGet, vaultID, ""); got.at("properties", "isVaultProtectedByResourceGuard") != any(true) {
			t.Errorf("a vault that was written: %s", got.text)
		}
		w.as(tom, 200, "", http.MethodPut, policyID, longer)
		w.as(tom, 200, "", http.MethodPut, instanceID, `{"properties":`+instanceProperties+`,"tags":{"a":"b"}}`)
		w.as(tom, 202, "", http.MethodPost, instanceID+"/resumeProtection", "")
		w.as(tom, 202, "", http.MethodPost, instanceID+"/sync", `{"syncType":"ForceResync"}`)
		w.as(tom, 202, "", http.MethodPost, instanceID+"/providers/Coffer.Backup/plan", bareRestore)
		w.as(tom, 200, "", http.MethodPost, instanceID+"/recoveryPoints/p1/providers/Coffer.Backup/releaseHold", "")
		w.as(tom, 202, "", http.MethodPost, instanceID+"/backup", `{"backupRuleOptions":{"ruleName":"BackupIntervals"}}`)
	})
}

// TestWhatWasNamedOnceIsNotNamedLater holds that a request that was named for one change is not in the next one, which is merged into what
// the first has left.
func TestWhatWasNamedOnceIsNotNamedLater(t *testing.T) {
	w := newGuarded(t, "")
	w.grant(sue, tom, access.MUAOperatorID, guardID)
	request := string(guard.RequestID(guardID, guard.ReduceSoftDelete))
	days := func(n int, names string) string {
		return fmt.Sprintf(`{"properties":{%s"securitySettings":{"softDeleteSettings":{"retentionDurationInDays":%d}}}}`, names, n)
	}
	w.as(tom, 200, "", http.MethodPatch, vaultID, days(30, fmt.Sprintf(`"resourceGuardOperationRequests":[%q],`, request)))
	w.as(tom, 200, "", http.MethodPatch, vaultID, days(29, fmt.Sprintf(`"RESOURCEGUARDOPERATIONREQUESTS":[%q],`, request)))
	w.as(tom, 403, coffer.CodeGuarded, http.MethodPatch, vaultID, days(28, ""))
	w.as(tom, 403, coffer.CodeGuarded, http.MethodPatch, vaultID, days(28, `"resourceGuardOperationRequests":null,`))
	w.as(tom, 400, "", http.MethodPatch, vaultID, days(28, `"resourceGuardOperationRequests":"`+request+`",`))
}

// TestAnUnlockIsForADeletionWithoutABody is how Azure's clients delete what a guard covers.
func TestAnUnlockIsForADeletionWithoutABody(t *testing.T) {
	w := newGuarded(t, "")
	w.putPoint("p1", time.Now())
	unlock := func(who string, status int, code coffer.Code, o guard.Operation, resource string) reply {
		t.Helper()
		return w.as(who, status, code, http.MethodPost, proxyID+"/unlockDelete", fmt.Sprintf(`{"resourceGuardOperationRequests":[%q],"resourceToBeDeleted":%q}`, string(guard.RequestID(guardID, o)), resource))
	}
	w.as(tom, 403, coffer.CodeGuarded, http.MethodDelete, instanceID, "")
	unlock(tom, 403, coffer.CodeLinkedAuthorizationFailed, guard.DeleteInstance, instanceID)
	take := w.grant(sue, tom, access.MUAOperatorID, guardID)
	unlock(tom, 404, "", guard.DeleteInstance, instanceID+"2")
	unlock(tom, 400, coffer.CodeInvalidInput, guard.DeleteInstance, policyID)
	unlock(tom, 400, coffer.CodeInvalidInput, guard.DeleteInstance, strings.Replace(instanceID, "/v1/", "/v2/", 1))
	unlock(tom, 403, coffer.CodeGuarded, guard.Unguard, instanceID)
	unlock(tom, 403, coffer.CodeGuarded, guard.DeleteInstance, "")
	got := unlock(tom, 200, "", guard.DeleteInstance, strings.ToUpper(instanceID))
	until, err := time.Parse(time.RFC3339, fmt.Sprint(got.at("unlockDeleteExpiryTime")))
	if left := time.Until(until); err != nil || left < guard.UnlockTime-time.Minute || left > guard.UnlockTime {
		t.Errorf("unlocked: %s (%v)", got.text, err)
	}
	if got := w.as(tom, 200, "", http.MethodGet, proxyID, ""); !strings.Contains(got.text, `"unlocks":[{`) || !strings.Contains(got.text, w.objectID(tom)) {
		t.Errorf("the proxy: %s", got.text)
	}
	// It is his, for this; and it is nothing without the role.
	w.grant("owner", "tim", access.OwnerID, group)
	w.as("tim", 403, coffer.CodeGuarded, http.MethodDelete, instanceID, "")
	w.as(tom, 403, coffer.CodeGuarded, http.MethodDelete, proxyID, "")
	take()
	w.as(tom, 403, coffer.CodeLinkedAuthorizationFailed, http.MethodDelete, instanceID, "")
	if got := w.do(tom, http.MethodDelete, instanceID+version+"&retainData=true", ""); got.at("error", "code") != string(coffer.CodeLinkedAuthorizationFailed) {
		t.Errorf("without its recovery points: %s", got.text)
	}
	w.grant(sue, tom, access.MUAOperatorID, guardID)
	w.as(tom, 200, "", http.MethodDelete, instanceID, "")
	if got := w.as(tom, 200, "", http.MethodGet, proxyID, ""); strings.Contains(got.text, "unlocks") {
		t.Errorf("it is used up, and still there: %s", got.text)
	}
	// Once.
	w.as(tom, 202, "", http.MethodPost, vaultID+"/deletedBackupInstances/aks1-one/undelete", "")
	w.as(tom, 403, coffer.CodeGuarded, http.MethodDelete, instanceID, "")
	// A client cannot write itself one.
	w.as(tom, 200, "", http.MethodPut, proxyID, fmt.Sprintf(`{"properties":{"resourceGuardResourceId":%q,"coffer":{"unlocks":[{"request":"deleteBackupInstanceRequests","resource":%q,"principalId":%q,"expiryTime":"2099-01-01T00:00:00Z"}]}}}`,
		guardID, instanceID, w.objectID(tom)))
	w.as(tom, 403, coffer.CodeGuarded, http.MethodDelete, instanceID, "")
	// The vault is not deleted with its guard, and is taken from under it.
	unlock(tom, 200, "", guard.DeleteInstance, instanceID)
	w.as(tom, 200, "", http.MethodDelete, instanceID, "")
	w.as(tom, 409, coffer.CodeConflict, http.MethodDelete, vaultID, "")
	unlock(tom, 200, "", guard.Unguard, "")
	tag := w.as(tom, 200, "", http.MethodGet, proxyID, "").header.Get("Etag")
	if got := w.do(tom, http.MethodDelete, proxyID+version, "", "If-Match", tag); got.status != 200 {
		t.Errorf("a deletion of what was read: %d %s", got.status, got.text)
	}
	if got := w.as(tom, 200, "", http.MethodGet, vaultID, ""); got.at("properties", "isVaultProtectedByResourceGuard") != any(false) || got.at("properties", "secureScore") != "Minimum" {
		t.Errorf("the vault: %s", got.text)
	}
	w.as(tom, 404, "", http.MethodPost, proxyID+"/unlockDelete", "")
}

func TestAGuardStaysWhereItIs(t *testing.T) {
	w := newGuarded(t, "")
	w.as(sue, 201, "", http.MethodPut, laxID, `{"location":"westeurope","properties":{"vaultCriticalOperationExclusionList":["Microsoft.DataProtection/backupVaults/backupInstances/delete"]}}`)
	toLax := `{"properties":{"resourceGuardResourceId":"` + laxID + `"}}`
	w.as(sue, 409, coffer.CodeConflict, http.MethodDelete, guardID, "")
	w.as(sue, 409, coffer.CodeConflict, http.MethodDelete, security, "")
	w.as(tom, 403, coffer.CodeGuarded, http.MethodPut, proxyID, toLax)
	w.as(tom, 403, coffer.CodeGuarded, http.MethodPatch, proxyID, toLax)
	w.as(tom, 403, coffer.CodeGuarded, http.MethodDelete, proxyID, "")
	w.as(tom, 403, coffer.CodeLinkedAuthorizationFailed, http.MethodPut, proxyID, strings.Replace(toLax, `{"resourceGuardResourceId"`, `{"resourceGuardOperationRequests":["`+string(guard.RequestID(guardID, guard.Unguard))+`"],"resourceGuardResourceId"`, 1))
	// A role at the other one is none at this.
	w.grant(sue, tom, access.MUAOperatorID, laxID)
	w.as(tom, 403, coffer.CodeGuarded, http.MethodPut, proxyID, strings.Replace(toLax, `{"resourceGuardResourceId"`, `{"resourceGuardOperationRequests":["`+string(guard.RequestID(laxID, guard.Unguard))+`"],"resourceGuardResourceId"`, 1))
	w.as(tom, 400, coffer.CodeInvalidInput, http.MethodPut, vaultID+"/backupResourceGuardProxies/mine", toLax)
	for _, id := range []string{"", vaultID, "/nothing", security + "/providers/Microsoft.DataProtection/resourceGuards/none"} {
		w.as(tom, 400, coffer.CodeInvalidInput, http.MethodPut, proxyID, `{"properties":{"resourceGuardResourceId":"`+id+`"}}`)
	}
	// Who has no role there does not find out by it which guards there are.
	w.grant("owner", "tim", access.OwnerID, group)
	w.as("tim", 403, coffer.CodeLinkedAuthorizationFailed, http.MethodPut, proxyID, toLax)
	w.as("tim", 403, coffer.CodeLinkedAuthorizationFailed, http.MethodPut, proxyID, strings.Replace(toLax, "/lax", "/none", 1))
	// The same again is no move, in whatever spelling.
	w.as(tom, 200, "", http.MethodPut, proxyID, `{"properties":{"resourceGuardResourceId":"`+strings.ToUpper(guardID)+`"}}`)

	// What the guard covers is for those to say who manages it; it counts at once, and the vault's audit log has it.
	w.as(tom, 403, coffer.CodeAuthorizationFailed, http.MethodPatch, guardID, `{"properties":{"vaultCriticalOperationExclusionList":["Microsoft.DataProtection/backupVaults/backupInstances/delete"]}}`)
	w.as(sue, 200, "", http.MethodPatch, guardID, `{"properties":{"vaultCriticalOperationExclusionList":["microsoft.dataprotection/backupVaults/backupInstances/DELETE"]}}`)
	told := false
	for _, e := range w.audit() {
		told = told || string(e.Target) == proxyID && e.Action == "Microsoft.DataProtection/resourceGuards/write" && e.Principal == w.objectID(sue) &&
			strings.Contains(string(e.Before), "deleteBackupInstanceRequests") && !strings.Contains(string(e.After), "deleteBackupInstanceRequests")
	}
	if !told {
		t.Error("the audit log of the vault does not say what its guard no longer covers")
	}
	w.as(tom, 200, "", http.MethodDelete, instanceID, "")
	w.as(tom, 403, coffer.CodeGuarded, http.MethodDelete, proxyID, "")

	w.grant(sue, tom, access.MUAOperatorID, guardID)
	w.as(tom, 200, "", http.MethodPut, proxyID, strings.Replace(toLax, `{"resourceGuardResourceId"`, `{"resourceGuardOperationRequests":["`+string(guard.RequestID(guardID, guard.Unguard))+`"],"resourceGuardResourceId"`, 1))
	w.as(sue, 200, "", http.MethodDelete, guardID, "")
	w.as(sue, 409, coffer.CodeConflict, http.MethodDelete, laxID, "")
}

func TestWhoNeedsNobodyElseIsWarned(t *testing.T) {
	w := newGuarded(t, "")
	if got := w.as(tom, 200, "", http.MethodPut, proxyID, `{"properties":{"resourceGuardResourceId":"`+guardID+`"}}`); got.header.Get("Warning") != "" || strings.Contains(got.text, "warning") {
		t.Errorf("tom is warned: %s", got.text)
	}
	got := w.as("owner", 200, "", http.MethodPut, proxyID, `{"properties":{"resourceGuardResourceId":"`+guardID+`"}}`)
	if !strings.Contains(got.header.Get("Warning"), "you need nobody else") || !strings.Contains(fmt.Sprint(got.at("properties", "coffer", "warning")), "the role Owner, assigned at /") {
		t.Errorf("the Owner of everything is not warned: %v %s", got.header, got.text)
	}
	if got := w.as("owner", 200, "", http.MethodGet, proxyID, ""); strings.Contains(got.text, "warning") {
		t.Errorf("the warning is kept: %s", got.text)
	}
	// Who may give roles at the guard is not let past it by one that they give themselves.
	w.grant(sue, "tim", access.AccessAdminID, guardID)
	w.grant("owner", "tim", access.ContributorID, group)
	w.grant("tim", "tim", access.MUAOperatorID, guardID)
	if got := w.as("tim", 403, coffer.CodeLinkedAuthorizationFailed, http.MethodPost, instanceID+"/stopProtection", named(guard.StopProtection)); !strings.Contains(got.text, "given it to themselves") {
		t.Errorf("refused: %s", got.text)
	}
	w.grant("owner", "tim", access.MUAOperatorID, security)
	w.as("tim", 202, "", http.MethodPost, instanceID+"/stopProtection", named(guard.StopProtection))
}
