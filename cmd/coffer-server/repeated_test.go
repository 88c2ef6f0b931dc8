package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	"github.com/coffer-backup/coffer/internal/outbound/metadb"
)

// post is p.do of a request with an id of the client's, and answers where it is followed.
func (p *process) post(path, body, id string) (status int, operation string) {
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "https://"+p.listen+path+"?api-version=2025-07-01", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Ms-Client-Request-Id", id)
	answer, err := p.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusAccepted {
		return answer.StatusCode, string(text)
	}
	operation = answer.Header.Get("Azure-AsyncOperation")
	return answer.StatusCode, operation[strings.LastIndex(operation, "/")+1:]
}

// TestARequestIsRepeatedAfterItsServerWasKilled kills the server at any moment of a request, which the client repeats.
func TestARequestIsRepeatedAfterItsServerWasKilled(t *testing.T) {
	const rounds = 8
	folder, at := t.TempDir(), freeAddress(t)
	start := func() *process {
		p := launch(t, folder, "--link-listen", at, "--link-address", at)
		p.login()
		return p
	}
	p := start()
	c, err := p.credential()
	if err != nil {
		t.Fatal(err)
	}
	group := "/subscriptions/" + c.SubscriptionID + "/resourceGroups/g"
	cluster, vault := group+"/providers/Microsoft.ContainerService/managedClusters/c1", group+"/providers/Microsoft.DataProtection/backupVaults/v1"
	instance := catalogue.ID(vault + "/backupInstances/one")
	policy, err := json.Marshal(map[string]any{"properties": retention.Template()})
	if err != nil {
		t.Fatal(err)
	}
	p.must(http.MethodPut, group, clusterBody)
	p.must(http.MethodPut, cluster, clusterBody)
	p.must(http.MethodPut, vault, vaultBody)
	p.must(http.MethodPut, vault+"/backupPolicies/pol", string(policy))
	p.must(http.MethodPut, cluster+"/providers/Microsoft.KubernetesConfiguration/extensions/backup", `{"properties":{"extensionType":"microsoft.dataprotection.kubernetes"}}`)
	stop := newCluster(t, "uid-1").connect(p.must(http.MethodPost, cluster+"/providers/Coffer.Backup/joinToken", "", "token"))
	eventually(t, "the cluster is connected", func() bool { return p.stateOf(cluster) == "Connected" })
	p.must(http.MethodPut, cluster+"/trustedAccessRoleBindings/b1", bindingOf(vault))
	source := func(kind string) string {
		return `{"objectType":"` + kind + `","datasourceType":"Microsoft.ContainerService/managedClusters","resourceID":"` + cluster + `","resourceUri":"` + cluster +
			`","resourceName":"c1","resourceType":"Microsoft.ContainerService/managedClusters","resourceLocation":"here"}`
	}
	p.must(http.MethodPut, string(instance), `{"properties":{"objectType":"BackupInstance","friendlyName":"c1/app","dataSourceInfo":`+source("Datasource")+`,"dataSourceSetInfo":`+source("DatasourceSet")+
		`,"policyInfo":{"policyId":"`+vault+`/backupPolicies/pol","policyParameters":{"dataStoreParametersList":[{"objectType":"AzureOperationalStoreParameters","dataStoreType":"OperationalStore","resourceGroupId":"`+group+`"}],
		"backupDatasourceParametersList":[{"objectType":"KubernetesClusterBackupDatasourceParameters","snapshotVolumes":true,"includeClusterScopeResources":true}]}}}}`)
	// What is begun from now on waits for its cluster.
	stop()
	p.kill()
	withCatalogue(t, folder, func(db *metadb.Database) error {
		return db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
			return tx.PutPoint(ctx, catalogue.Point{
				Instance: instance, Name: "p1", Time: time.Now(), Good: true, Operational: true,
				Body: json.RawMessage(`{"objectType":"AzureBackupDiscreteRecoveryPoint","recoveryPointDataStoresDetails":[{"id":"1","type":"OperationalStore","visible":true}]}`),
			})
		})
	})
	body := `{"objectType":"AzureBackupRecoveryPointBasedRestoreRequest","recoveryPointId":"p1","sourceDataStoreType":"OperationalStore","restoreTargetInfo":{"objectType":"ItemLevelRestoreTargetInfo",
		"recoveryOption":"FailIfExists","restoreLocation":"here","datasourceInfo":` + source("Datasource") + `,"restoreCriteria":[{"objectType":"KubernetesClusterRestoreCriteria","includeClusterScopeResources":true}]}}`
	operations, lost, begun := map[string]bool{}, 0, 0
	p = start()
	for round := range rounds {
		id := fmt.Sprintf("77777777-7777-4777-8777-%012d", round)
		after := time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { _ = p.cmd.Process.Kill() }) //nolint:gosec // Any moment will do.
		status, first := p.post(string(instance)+"/restore", body, id)
		after.Stop()
		p.kill()
		if status != http.StatusAccepted {
			lost++
			withCatalogue(t, folder, func(db *metadb.Database) error {
				return db.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
					n, err := v.CountJobs(ctx, catalogue.JobQuery{Vault: catalogue.ID(vault)})
					begun += n - round
					return err
				})
			})
		}
		p = start()
		again, operation := p.post(string(instance)+"/restore", body, id)
		if again != http.StatusAccepted || status == http.StatusAccepted && operation != first {
			t.Fatalf("round %d: %d %s, and then %d %s", round, status, first, again, operation)
		}
		operations[operation] = true
	}
	_, text := p.do(http.MethodGet, vault+"/backupJobs", "")
	if n := strings.Count(text, `"operation":"Restore"`); n != rounds || len(operations) != rounds {
		t.Errorf("%d requests, of which %d answers were lost, have begun %d restores by %d operations: %s", rounds, lost, n, len(operations), text)
	}
	t.Logf("of %d answers, %d were lost, of which %d were of a restore that had begun", rounds, lost, begun)
}
