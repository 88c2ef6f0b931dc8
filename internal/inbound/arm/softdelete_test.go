package arm

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

const deletedID = vaultID + "/deletedBackupInstances/aks1-one"

// TestADeletedInstanceIsWhereAzuresClientsLook holds that Terraform, which polls the instance after its deletion, finds it gone.
func TestADeletedInstanceIsWhereAzuresClientsLook(t *testing.T) {
	w := newInstance(t)
	w.putPoint("p1", time.Now())
	gone := w.must(200, http.MethodDelete, instanceID+version, "")
	if status := w.must(200, http.MethodGet, strings.TrimPrefix(gone.header.Get("Azure-AsyncOperation"), w.URL), ""); status.at("status") != "Succeeded" {
		t.Errorf("deleted: %s", status.text)
	}
	w.must(404, http.MethodGet, instanceID+version, "")
	w.must(204, http.MethodDelete, instanceID+version, "")
	list := w.must(200, http.MethodGet, vaultID+"/deletedBackupInstances"+version, "")
	if strings.Join(list.names(t), " ") != "aks1-one" {
		t.Errorf("listed: %s", list.text)
	}
	one := w.must(200, http.MethodGet, deletedID+version, "")
	if one.at("id") != deletedID || one.at("properties", "objectType") != "DeletedBackupInstance" || one.at("properties", "deletionInfo", "scheduledPurgeTime") == nil ||
		one.at("properties", "protectionStatus", "status") != "SoftDeleted" {
		t.Errorf("shown: %s", one.text)
	}
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		w.must(405, method, deletedID+version, "{}")
	}
	if got := w.must(409, http.MethodPut, instanceID+version, `{"properties":`+instanceProperties+`}`); !strings.Contains(got.text, "undelete") {
		t.Errorf("another one of its name: %s", got.text)
	}
	w.must(202, http.MethodPost, deletedID+"/undelete"+version, "")
	w.must(404, http.MethodGet, deletedID+version, "")
	if got := w.protection(); got != [2]any{"ProtectionStopped", "ProtectionStopped"} {
		t.Errorf("had again: %v", got)
	}
	w.must(200, http.MethodGet, instanceID+"/recoveryPoints/p1"+version, "")
	w.must(200, http.MethodDelete, instanceID+version, "")
	w.must(400, http.MethodPost, deletedID+"/providers/Coffer.Backup/purge"+version+"&retainData=perhaps", "")
	w.must(200, http.MethodPost, deletedID+"/providers/Coffer.Backup/purge"+version+"&retainData=true", "")
	w.must(404, http.MethodGet, deletedID+version, "")
	w.must(201, http.MethodPut, instanceID+version, `{"properties":`+instanceProperties+`}`)
}

// TestWhatADeletedInstanceIsInTheWayOfSaysWhatToDo: what is to be done is not what it is of one that is not deleted.
func TestWhatADeletedInstanceIsInTheWayOfSaysWhatToDo(t *testing.T) {
	w := newInstance(t)
	w.putPoint("p1", time.Now())
	w.must(200, http.MethodDelete, instanceID+version, "")
	refused := func(method, path, body string, wants ...string) {
		t.Helper()
		got := w.must(409, method, path+version, body)
		for _, want := range wants {
			if !strings.Contains(got.text, want) {
				t.Errorf("%s %s: %s, want %q", method, path, got.text, want)
			}
		}
	}
	const purge = "coffer backup-instance deleted-backup-instance purge -n aks1-one"
	refused(http.MethodDelete, policyID, "", "aks1-one, which can be had again", purge)
	refused(http.MethodDelete, cluster, "", "aks1-one, which can be had again", purge)
	other := vaultID + "/backupInstances/aks1-two"
	w.must(201, http.MethodPut, other+version, `{"properties":`+instanceProperties+`}`)
	refused(http.MethodPost, deletedID+"/undelete", "", "aks1-two", "follow another policy, or delete it, first")
	refused(http.MethodDelete, policyID, "", "aks1-two", "give them another policy")
	refused(http.MethodPut, vaultID+"/backupInstances/aks1-three", `{"properties":`+instanceProperties+`}`, "aks1-two", "change that instance, or follow another policy")
}

func TestALegalHoldIsShown(t *testing.T) {
	w := newInstance(t)
	w.putPoint("p1", time.Now())
	const hold, release = instanceID + "/recoveryPoints/P1/providers/Coffer.Backup/hold", instanceID + "/recoveryPoints/p1/providers/Coffer.Backup/releaseHold"
	w.must(400, http.MethodPost, hold+version, "{}")
	if got := w.must(200, http.MethodPost, hold+version, `{"reason":"Case 42"}`); got.at("name") != "p1" || got.at("properties", "coffer", "legalHold", "reason") != "Case 42" {
		t.Errorf("held: %s", got.text)
	}
	if got := w.must(200, http.MethodGet, instanceID+"/recoveryPoints/p1"+version, ""); got.at("properties", "coffer", "legalHold", "by") == nil || got.at("properties", "objectType") != "AzureBackupDiscreteRecoveryPoint" {
		t.Errorf("shown: %s", got.text)
	}
	if got := w.must(409, http.MethodDelete, instanceID+version, ""); got.at("error", "code") != "UserErrorRecoveryPointUnderLegalHold" {
		t.Errorf("its instance is deleted: %s", got.text)
	}
	if got := w.must(200, http.MethodPost, release+version, ""); strings.Contains(got.text, "Case 42") {
		t.Errorf("released: %s", got.text)
	}
	w.must(200, http.MethodDelete, instanceID+version, "")
}
