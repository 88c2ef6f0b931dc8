package arm

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

const (
	instanceID = vaultID + "/backupInstances/aks1-one"
	binding    = cluster + "/trustedAccessRoleBindings/b1"
	extension  = cluster + "/providers/Microsoft.KubernetesConfiguration/extensions/azure-aks-backup"
)

// datasource is the cluster as clients send it, twice.
const datasource = `{"objectType":"Datasource","datasourceType":"Microsoft.ContainerService/managedclusters","resourceID":"` + cluster + `","resourceUri":"` + cluster +
	`","resourceName":"aks1","resourceType":"Microsoft.ContainerService/managedClusters","resourceLocation":"westeurope"}`

// instanceProperties are what Terraform sends, nulls included.
var instanceProperties = `{"objectType":"BackupInstance","friendlyName":"aks1/app","dataSourceInfo":` + datasource + `,"dataSourceSetInfo":` +
	strings.Replace(datasource, `"Datasource"`, `"DatasourceSet"`, 1) + `,"policyInfo":{"policyId":"` + policyID + `","policyParameters":{
	"dataStoreParametersList":[{"objectType":"AzureOperationalStoreParameters","dataStoreType":"OperationalStore","resourceGroupId":"` + group + `"}],
	"backupDatasourceParametersList":[{"objectType":"KubernetesClusterBackupDatasourceParameters","snapshotVolumes":true,"includeClusterScopeResources":true,
	"includedNamespaces":["app"],"excludedNamespaces":[],"includedResourceTypes":[],"excludedResourceTypes":["v1/Secret"],"labelSelectors":[]}]}},
	"datasourceAuthCredentials":null,"validationType":"ShallowValidation"}`

const (
	bindingBody   = `{"properties":{"sourceResourceId":"` + vaultID + `","roles":["Microsoft.DataProtection/backupVaults/backup-operator"]}}`
	extensionBody = `{"properties":{"extensionType":"microsoft.dataprotection.kubernetes"}}`
)

// join joins the cluster as a connector does, and links it. byOwner is whether it lets the vault's server give trusted access.
func (w *world) join(byOwner bool) {
	w.t.Helper()
	token, err := link.ParseToken(w.must(200, http.MethodPost, cluster+"/providers/Coffer.Backup/joinToken"+version, "").at("token").(string))
	if err != nil {
		w.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		w.t.Fatal(err)
	}
	info := catalogue.ClusterInfo{UID: "uid-1", Namespace: "coffer", VaultsNamespace: "coffer-vaults", Version: "v1", KubernetesVersion: "v1.34.1", BindingsByOwner: byOwner}
	_, err = w.joining.Join(w.t.Context(), token.Secret, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		link.Hello{Protocol: link.Protocol, ClusterUID: info.UID, Namespace: info.Namespace, VaultsNamespace: info.VaultsNamespace}, "192.0.2.7")
	if err == nil {
		err = w.joining.Linked(w.t.Context(), cluster, info)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.aks = vaultworld.NewCluster(w.t, time.Now, info)
	w.aks.OnMade(func(resource, _ string) string {
		if strings.HasPrefix(resource, "validate") {
			return passed
		}
		return ""
	})
	w.links.Set(cluster, w.aks)
}

// approve is what the cluster's owner does in the cluster, and that it is asked again.
func (w *world) approve() {
	w.t.Helper()
	w.aks.Bind(w.must(200, http.MethodGet, binding+version, "").at("properties", "coffer", "identity").(string), true)
	if got := w.must(200, http.MethodPost, binding+"/providers/Coffer.Backup/check"+version, ""); got.at("properties", "coffer", "state") != "Approved" {
		w.t.Errorf("approved: %s", got.text)
	}
}

func TestAnInstanceIsCreatedOnlyWhereItCanBeProtected(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	put, validate := `{"properties":`+instanceProperties+`}`, `{"backupInstance":`+instanceProperties+`}`
	for _, step := range []struct {
		missing, code string
		mend          func()
	}{
		{"the policy", "BMSUserErrorInvalidInput", func() { w.must(200, http.MethodPut, policyID+version, policyBody) }},
		{"the extension", "UserErrorKubernetesBackupExtensionNotFoundError", func() { w.must(201, http.MethodPut, extension+version, extensionBody) }},
		{"trusted access", "UserErrorTrustedAccessNotFound", func() { w.must(201, http.MethodPut, binding+version, bindingBody) }},
		{"the cluster itself", "UserErrorKubernetesClusterNotJoined", func() { w.join(false) }},
		{"its approval", "UserErrorTrustedAccessNotFound", func() {
			if got := w.must(400, http.MethodPut, instanceID+version, put); !strings.Contains(got.text, "kubectl -n coffer create rolebinding coffer-vault-") {
				t.Errorf("what is missing is not named: %s", got.text)
			}
			// Nobody has to have it checked: whoever needs it has.
			w.aks.Bind(w.must(200, http.MethodGet, binding+version, "").at("properties", "coffer", "identity").(string), true)
			w.must(200, http.MethodPost, vaultID+"/validateForBackup"+version, validate)
		}},
	} {
		for _, got := range []reply{
			w.must(400, http.MethodPut, instanceID+version, put), w.must(400, http.MethodPost, vaultID+"/validateForBackup"+version, validate),
		} {
			if got.at("error", "code") != step.code || !strings.Contains(got.text, "recommendedAction") {
				t.Errorf("without %s: %s", step.missing, got.text)
			}
		}
		w.must(404, http.MethodGet, instanceID+version, "")
		step.mend()
	}
	w.must(200, http.MethodPatch, cluster+version, `{"tags":{"a":"changes nothing of that"}}`)
	if got := w.must(200, http.MethodPost, vaultID+"/validateForBackup"+version, validate); !strings.Contains(got.text, `"checks":[{"name":"StorageLocation"`) {
		t.Errorf("valid: %s", got.text)
	}
	if left := w.aks.Names("validateforbackups"); len(left) != 0 {
		t.Errorf("what was asked is left in the cluster: %v", left)
	}
	elsewhere := strings.Replace(cluster, "aks1", "east", 1)
	w.must(201, http.MethodPut, elsewhere+version, `{"location":"eastus"}`)
	inEast := strings.NewReplacer(cluster, elsewhere, `"resourceName":"aks1"`, `"resourceName":"east"`).Replace(put)
	if got := w.must(400, http.MethodPut, instanceID+version, inEast); !strings.Contains(got.text, "eastus") {
		t.Errorf("a cluster of another region that is said to be of this one: %s", got.text)
	}

	secret := strings.Replace(put, `"datasourceAuthCredentials":null`, `"datasourceAuthCredentials":{"objectType":"SecretStoreBasedAuthCredentials","secretStoreResource":{"value":"hush"}}`, 1)
	if got := w.must(400, http.MethodPut, instanceID+version, secret); strings.Contains(got.text, "hush") || got.at("error", "target") != "properties.datasourceAuthCredentials" {
		t.Errorf("with a secret: %s", got.text)
	}
	made := w.must(201, http.MethodPut, instanceID+version, put)
	if made.at("properties", "currentProtectionState") != "ProtectionConfigured" || made.at("properties", "policyInfo", "policyVersion") == nil ||
		!strings.Contains(made.text, `"excludedNamespaces":[]`) || !strings.Contains(made.text, `"datasourceAuthCredentials":null`) {
		t.Errorf("made: %s", made.text)
	}
	w.must(200, http.MethodPut, instanceID+version, put)
	// Typed clients take 202 and nothing else, and follow it to its end.
	accepted := w.must(202, http.MethodPost, instanceID+"/validateForModifyBackup"+version, validate)
	for _, header := range []string{"Azure-AsyncOperation", "Location"} {
		ended := w.must(200, http.MethodGet, strings.TrimPrefix(accepted.header.Get(header), w.URL), "")
		if header == "Location" && ended.at("objectType") != "OperationJobExtendedInfo" || header != "Location" && ended.at("status") != "Succeeded" {
			t.Errorf("%s: %s", header, ended.text)
		}
	}
	w.must(404, http.MethodPost, vaultID+"/backupInstances/none/validateForModifyBackup"+version, validate)
	if got := w.must(200, http.MethodGet, cluster+"/providers/Microsoft.DataProtection/backupInstances"+version, ""); len(got.names(t)) != 1 {
		t.Errorf("what protects the cluster: %s", got.text)
	}
	for path, what := range map[string]string{policyID: "a policy that is followed", vaultID: "a vault that is not empty", cluster: "a cluster that is protected", extension: "its extension"} {
		if got := w.do("owner", http.MethodDelete, path+version, ""); got.status != 409 && got.status != 400 {
			t.Errorf("%s is deleted: %d %s", what, got.status, got.text)
		}
	}
	if got := w.must(409, http.MethodPost, vaultID+"/validateForBackup"+version, validate); !strings.Contains(got.text, "aks1-one") {
		t.Errorf("a second instance is valid: %s", got.text)
	}
	second := w.must(409, http.MethodPut, vaultID+"/backupInstances/aks1-two"+version, put)
	if !strings.Contains(second.text, "aks1-one") {
		t.Errorf("a second instance: %s", second.text)
	}
	w.must(200, http.MethodDelete, instanceID+version, "")
	w.must(404, http.MethodGet, instanceID+version, "")
	w.must(200, http.MethodDelete, policyID+version, "")
	// What a vault was trusted with, another one of its name is not.
	w.must(200, http.MethodDelete, vaultID+version, "")
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	w.must(200, http.MethodPut, policyID+version, policyBody)
	if got := w.must(400, http.MethodPut, instanceID+version, put); got.at("error", "code") != "UserErrorTrustedAccessNotFound" {
		t.Errorf("a vault that was made anew: %s", got.text)
	}
	w.must(200, http.MethodPut, binding+version, bindingBody)
	if got := w.must(400, http.MethodPut, instanceID+version, put); got.at("error", "code") != "UserErrorTrustedAccessNotFound" {
		t.Errorf("a vault that was made anew, with the approval of the one before: %s", got.text)
	}
	w.approve()
	w.must(201, http.MethodPut, instanceID+version, put)
	// Whose trusted access is taken away protects nothing more.
	deleted := w.must(204, http.MethodDelete, binding+version, "")
	if !strings.Contains(deleted.header.Get("Warning"), "RoleBinding") {
		t.Errorf("taken away: %v", deleted.header)
	}
	if got := w.must(400, http.MethodPut, instanceID+version, put); got.at("error", "code") != "UserErrorTrustedAccessNotFound" {
		t.Errorf("without its binding: %s", got.text)
	}
}

func TestAnImmutableVaultKeepsItsRecoveryPoints(t *testing.T) {
	w := newTrusted(t, vaultBody)
	immutable := func(state string) {
		w.must(200, http.MethodPatch, vaultID+version, `{"properties":{"securitySettings":{"immutabilitySettings":{"state":"`+state+`"}}}}`)
	}
	for expiry, status := range map[time.Duration]int{time.Hour: 409, -time.Hour: 200} {
		w.must(201, http.MethodPut, instanceID+version, `{"properties":`+instanceProperties+`}`)
		immutable("Unlocked")
		err := w.db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
			return tx.PutPoint(ctx, catalogue.Point{
				Instance: instanceID, Name: "p1", Time: time.Now(), Expiry: time.Now().Add(expiry), Good: true, Operational: true,
				Body: json.RawMessage(`{"recoveryPointDataStoresDetails":[{"type":"OperationalStore"}]}`),
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		// Whoever is Owner may no more, and leaving the data where it is would be a way around.
		for _, retain := range []string{"", "&retainData=true"} {
			if status == 200 && retain == "" {
				continue
			}
			if got := w.do("owner", http.MethodDelete, instanceID+version+retain, ""); got.status != status {
				t.Errorf("with a recovery point that expires in %s: %d %s", expiry, got.status, got.text)
			}
		}
		immutable("Disabled")
		w.do("owner", http.MethodDelete, instanceID+version+"&retainData=true", "")
	}
}

func TestARestoreIsJudgedByWhereItsTargetIs(t *testing.T) {
	w := newTrusted(t, strings.NewReplacer("LocallyRedundant", "GeoRedundant").Replace(vaultBody))
	w.must(201, http.MethodPut, instanceID+version, `{"properties":`+instanceProperties+`}`)
	err := w.db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		return tx.PutPoint(ctx, catalogue.Point{Instance: instanceID, Name: "p1", Time: time.Now(), Good: true, Vaulted: true, Body: json.RawMessage(`{"recoveryPointDataStoresDetails":[{"type":"VaultStore"}]}`)})
	})
	if err != nil {
		t.Fatal(err)
	}
	// They say nothing of where they are: the server knows.
	body := func(region string) string {
		target := strings.Replace(cluster, "aks1", region, 1)
		w.do("owner", http.MethodPut, target+version, `{"location":"`+region+`"}`)
		return `{"restoreRequestObject":{"objectType":"AzureBackupRecoveryPointBasedRestoreRequest","recoveryPointId":"p1","sourceDataStoreType":"VaultStore",
			"restoreTargetInfo":{"objectType":"ItemLevelRestoreTargetInfo","recoveryOption":"FailIfExists","datasourceInfo":{"objectType":"Datasource",
			"datasourceType":"Microsoft.ContainerService/managedClusters","resourceID":"` + target + `"},
			"restoreCriteria":[{"objectType":"KubernetesClusterVaultTierRestoreCriteria","includeClusterScopeResources":true,"stagingResourceGroupId":"` + string(catalogue.ID(cluster).Group()) + `",
			"stagingStorageAccountId":"` + string(catalogue.ID(cluster).Group()) + `/providers/Microsoft.Storage/storageAccounts/stage"}]}}}`
	}
	for _, step := range []struct{ crossing, region, words string }{
		{"Disabled", "northeurope", "is in northeurope, and the vault is in westeurope, and its cross-region restore is Disabled"},
		{"Enabled", "northeurope", "has no Backup extension"},
		{"Enabled", "eastus", "is in eastus, and the vault is in westeurope, which is paired with northeurope"},
	} {
		w.must(200, http.MethodPatch, vaultID+version, `{"properties":{"featureSettings":{"crossRegionRestoreSettings":{"state":"`+step.crossing+`"}}}}`)
		if got := w.must(400, http.MethodPost, instanceID+"/validateRestore"+version, body(step.region)); !strings.Contains(got.text, step.words) || !strings.Contains(got.text, "recommendedAction") {
			t.Errorf("%s, %s: %s", step.region, step.crossing, got.text)
		}
	}
}

func TestARestoreRequestIsValidated(t *testing.T) {
	w := newInstance(t)
	err := w.db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		for i, name := range []string{"p1", "p2", "p3"} {
			err := tx.PutPoint(ctx, catalogue.Point{
				Instance: instanceID, Name: name, Time: time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC), Good: true, Operational: true,
				Body: json.RawMessage(`{"objectType":"AzureBackupDiscreteRecoveryPoint","recoveryPointDataStoresDetails":[{"id":"1","type":"OperationalStore","visible":true}]}`),
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	body := `{"restoreRequestObject":{"objectType":"AzureBackupRecoveryPointBasedRestoreRequest","recoveryPointId":"p1","sourceDataStoreType":"OperationalStore","sourceResourceId":"` + cluster + `",
		"restoreTargetInfo":{"objectType":"ItemLevelRestoreTargetInfo","recoveryOption":"FailIfExists","restoreLocation":"westeurope","datasourceInfo":` + datasource + `,
		"restoreCriteria":[{"objectType":"KubernetesClusterRestoreCriteria","includeClusterScopeResources":true,"conflictPolicy":"Skip","persistentVolumeRestoreMode":"RestoreWithVolumeData",
		"namespaceMappings":{"app":"app2"},"includedNamespaces":["app"]}]}}}`
	w.must(200, http.MethodPost, instanceID+"/validateRestore"+version, body)
	none := w.must(400, http.MethodPost, instanceID+"/validateRestore"+version, strings.Replace(body, `"p1"`, `"p9"`, 1))
	if !strings.Contains(none.text, "p9") {
		t.Errorf("a recovery point that is not there: %s", none.text)
	}
	w.must(400, http.MethodPost, instanceID+"/validateRestore"+version, strings.Replace(body, `"Skip"`, `"Destroy"`, 1))
	if got := w.do("guest", http.MethodPost, instanceID+"/validateRestore"+version, body); got.status != 403 {
		t.Errorf("a guest: %d", got.status)
	}

	points := instanceID + "/recoveryPoints" + version
	if got := w.must(200, http.MethodGet, points+"&$top=2", ""); strings.Join(got.names(t), " ") != "p3 p2" || got.at("nextLink") == nil {
		t.Errorf("points: %s", got.text)
	}
	day := "&$filter=startDate%20eq%20'2026-01-02T00:00:00Z'%20and%20endDate%20eq%20'2026-01-02T12:00:00Z'"
	if got := w.must(200, http.MethodGet, points+day, ""); strings.Join(got.names(t), " ") != "p2" {
		t.Errorf("points of a day: %s", got.text)
	}
	w.must(400, http.MethodGet, points+"&$filter=startDate%20gt%201", "")
	if got := w.must(200, http.MethodGet, instanceID+"/recoveryPoints/P1"+version, ""); got.at("properties", "objectType") != "AzureBackupDiscreteRecoveryPoint" {
		t.Errorf("a point: %s", got.text)
	}
	// Its recovery points go with an instance.
	w.must(200, http.MethodDelete, instanceID+version+"&retainData=true", "")
	w.must(404, http.MethodGet, points, "")
}
