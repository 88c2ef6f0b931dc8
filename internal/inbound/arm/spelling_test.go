package arm

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestASecretIsSealedHoweverItsFieldIsSpelled holds that what is read in any case is masked in any case, too.
func TestASecretIsSealedHoweverItsFieldIsSpelled(t *testing.T) {
	for _, body := range []string{
		`{"properties":{"extensionType":"microsoft.dataprotection.kubernetes","ConfigurationProtectedSettings":{"key":"hush"}}}`,
		`{"Properties":{"extensionType":"microsoft.dataprotection.kubernetes","configurationProtectedSettings":{"key":"hush"}}}`,
		`{"Properties":{"ExtensionType":"microsoft.dataprotection.kubernetes","configurationprotectedsettings":{"key":"hush"}}}`,
		`{"properties":{"extensionType":"microsoft.dataprotection.kubernetes","configuration_protected-settings":{"key":"hush"}}}`,
		`{"PROPERTIES":{"extensionType":"microsoft.dataprotection.kubernetes","configuration_protected-settings":{"key":"hush"}}}`,
		`{"propertieſ":{"extensionType":"microsoft.dataprotection.kubernetes","configurationProtectedſettings":{"key":"hush"}}}`,
	} {
		w := newWorld(t)
		w.newCluster()
		reveals := func(want string) {
			if got := w.must(200, http.MethodPost, extension+"/providers/Coffer.Backup/revealSecrets"+version, ""); got.at("values", "key") != want {
				t.Errorf("%s: revealed: %s", body, got.text)
			}
		}
		made := w.must(201, http.MethodPut, extension+version, body)
		if read := w.do("reader", http.MethodGet, extension+version, ""); read.status != 200 || strings.Contains(made.text+read.text, "hush") {
			t.Errorf("%s: a secret is shown: %s, and to a reader %d %s", body, made.text, read.status, read.text)
		}
		if secrets := w.secrets(extension); len(secrets) != 1 {
			t.Errorf("%s: secrets: %v", body, secrets)
		}
		reveals("hush")
		// What is read can be written again, and a change of it in another spelling is a change of it.
		w.must(200, http.MethodPut, extension+version, w.must(200, http.MethodGet, extension+version, "").text)
		patched := w.must(200, http.MethodPatch, extension+version, `{"PROPERTIES":{"CONFIGURATIONPROTECTEDSETTINGS":{"key":"hush2"}}}`)
		if strings.Contains(patched.text, "hush") {
			t.Errorf("%s: patched: %s", body, patched.text)
		}
		reveals("hush2")
		for _, e := range w.audit() {
			if strings.Contains(string(e.Before)+string(e.After), "hush") {
				t.Errorf("%s: the audit log has a secret: %s", body, e.After)
			}
		}
	}
}

// TestAFieldIsThereOnceHoweverItIsSpelled holds that what the server says of a resource is beside no other spelling of it, by which a
// client that reads names in any case would take it for something else, and the server's own next reading would fail.
func TestAFieldIsThereOnceHoweverItIsSpelled(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	const body = `{"ID":"/evil","Location":"westeurope","Identity":{"Type":"SystemAssigned","PrincipalId":"evil"},"Properties":{"ProvisioningState":"evil",
		"SecuritySettings":{"SoftDeleteSettings":{"State":"On","RetentionDurationInDays":20}},"StorageSettings":[{"DatastoreType":"VaultStore","Type":"LocallyRedundant"}]}}`
	made := w.must(201, http.MethodPut, vaultID+version, body)
	if strings.Contains(made.text, "evil") || made.at("properties", "securitySettings", "softDeleteSettings", "retentionDurationInDays").(json.Number) != "20" {
		t.Errorf("made: %s", made.text)
	}
	w.must(200, http.MethodPut, vaultID+version, body)
	patched := w.must(200, http.MethodPatch, vaultID+version, `{"properties":{"SecuritySettings":{"softdeletesettings":{"state":"AlwaysOn"}}}}`)
	if patched.at("properties", "securitySettings", "softDeleteSettings", "state") != "AlwaysOn" {
		t.Errorf("patched: %s", patched.text)
	}
	if got := w.must(400, http.MethodPut, vaultID+version, `{"location":"a","Location":"b"}`); !strings.Contains(got.text, "there twice") {
		t.Errorf("one field in two spellings: %s", got.text)
	}
}

// TestAnIdentityIsTheServersToSay holds that nobody makes a resource look as if it were somebody else: roles are assigned to who its
// identity is said to be.
func TestAnIdentityIsTheServersToSay(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	for _, kind := range []string{"SystemAssigned", "None", "UserAssigned", ""} {
		for path, rest := range map[string]string{
			cluster: "", vaultID: `,"properties":{"storageSettings":[{"datastoreType":"VaultStore","type":"LocallyRedundant"}]}`,
		} {
			got := w.do("owner", http.MethodPut, path+version, `{"location":"westeurope","identity":{"type":"`+kind+
				`","principalId":"evil","tenantId":"evil","userAssignedIdentities":{"/a":{}}}`+rest+`}`)
			if got.status < 300 && (strings.Contains(got.text, "evil") || got.at("identity", "type") == "") {
				t.Errorf("%q: %s", kind, got.text)
			}
		}
	}
}

func TestTheSecretsOfAManagedClusterAreNotKept(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	made := w.must(200, http.MethodPut, cluster+version, `{"location":"westeurope","properties":{"dnsPrefix":"a","servicePrincipalProfile":{"clientId":"c","Secret":"hush"},
		"windowsProfile":{"adminUsername":"u","adminPassword":"hush"},"aadProfile":{"serverAppSecret":"hush"}}}`)
	if strings.Contains(made.text, "hush") || made.at("properties", "servicePrincipalProfile", "clientId") != "c" || made.at("properties", "windowsProfile", "adminUsername") != "u" {
		t.Errorf("made: %s", made.text)
	}
}
