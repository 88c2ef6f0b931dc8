package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/decide/retention"
)

func TestQuotasAreThoseOfTheConfigurationFile(t *testing.T) {
	body, err := json.Marshal(map[string]any{"properties": retention.Template()})
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "server.yaml")
	if err := os.WriteFile(file, []byte("quotas: [aks, policies=1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, c := launched(t, folder, "--config", file)
	group := "/subscriptions/" + c.SubscriptionID + "/resourceGroups/g"
	vault := group + "/providers/Microsoft.DataProtection/backupVaults/v1"
	p.must(http.MethodPut, group, clusterBody)
	p.must(http.MethodPut, vault, `{"location":"westeurope","properties":{"storageSettings":[{"datastoreType":"VaultStore","type":"LocallyRedundant"}]}}`)
	p.must(http.MethodPut, vault+"/backupPolicies/first", string(body))
	status, text := p.do(http.MethodPut, vault+"/backupPolicies/second", string(body))
	if status != http.StatusConflict || !strings.Contains(text, "UserErrorQuotaReached") || !strings.Contains(text, "coffer-server --quotas policies=NUMBER") {
		t.Errorf("one more than there may be: %d %s", status, text)
	}
}
