package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/decide/retention"
)

func TestPoliciesByTheMinuteAreForTests(t *testing.T) {
	template := retention.Template()
	template.PolicyRules[0].Trigger.Schedule.RepeatingTimeIntervals = []string{"R/2026-01-01T00:00:00Z/PT1M"}
	template.PolicyRules[1].Lifecycles[0].DeleteAfter.Duration = "PT2M"
	body, err := json.Marshal(map[string]any{"properties": template})
	if err != nil {
		t.Fatal(err)
	}
	const (
		group = "/subscriptions/22222222-2222-8222-8222-222222222222/resourceGroups/rg"
		vault = group + "/providers/Microsoft.DataProtection/backupVaults/v1"
	)
	folder := t.TempDir()
	p := launch(t, folder, "--short-policies")
	p.login()
	for _, r := range []struct{ path, body string }{
		{"/subscriptions/22222222-2222-8222-8222-222222222222", `{"displayName":"tests"}`},
		{group, `{"location":"westeurope"}`},
		{vault, `{"location":"westeurope","identity":{"type":"SystemAssigned"},"properties":{"storageSettings":[{"datastoreType":"VaultStore","type":"LocallyRedundant"}]}}`},
		{vault + "/backupPolicies/by-the-minute", string(body)},
	} {
		if status, text := p.do(http.MethodPut, r.path, r.body); status/100 != 2 {
			t.Fatalf("PUT %s: %d %s", r.path, status, text)
		}
	}
	if !strings.Contains(p.errors.String(), "this server is for tests") {
		t.Errorf("the log does not say that the server is for tests:\n%s", p.errors.String())
	}
	p.kill()

	p = launch(t, folder)
	p.login()
	if status, text := p.do(http.MethodGet, vault+"/backupPolicies/by-the-minute", ""); status != http.StatusOK {
		t.Errorf("what was let in is not shown: %d %s", status, text)
	}
	status, text := p.do(http.MethodPut, vault+"/backupPolicies/another", string(body))
	if status != http.StatusBadRequest || !strings.Contains(text, "PT5M is the shortest") || !strings.Contains(text, "P1D to P360D") {
		t.Errorf("a vault takes policies by the minute: %d %s", status, text)
	}
	if usage := newCommand().UsageString(); strings.Contains(usage, "short-policies") {
		t.Errorf("people are shown what is for tests:\n%s", usage)
	}
}
