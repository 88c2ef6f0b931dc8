package arm

import (
	"net/http"
	"strings"
	"testing"
)

// withCoffer is policyBody with what Azure has no word for.
func withCoffer(options string) string {
	return strings.Replace(policyBody, `"objectType":"BackupPolicy",`, `"objectType":"BackupPolicy","coffer":`+options+`,`, 1)
}

func TestWhatAzureHasNoWordForIsShownAsItWasSent(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	const options = `{"exclusionWindows":[{"duration":"P3D","start":"R/2026-12-24T00:00:00/P1Y"}],"existingRecoveryPoints":"Adopt","keepAtLeast":3,"recoveryPointObjective":"PT26H","spread":"PT5M"}`
	made := w.must(200, http.MethodPut, policyID+version, withCoffer(strings.ReplaceAll(options, "exclusionWindows", "EXCLUSIONWINDOWS")))
	if got := w.must(200, http.MethodGet, policyID+version, ""); !strings.Contains(made.text, options) || !strings.Contains(got.text, options) {
		t.Errorf("sent %s, made %s, got %s", options, made.text, got.text)
	}

	never := w.must(400, http.MethodPut, policyID+version, withCoffer(`{"exclusionWindows":[{"start":"R/2026-01-01T02:30:00/PT4H","duration":"PT1S"}]}`))
	if never.at("error", "code") != "BMSUserErrorInvalidInput" || !strings.Contains(never.text, "properties.coffer.exclusionWindows exclude every time of the schedule") {
		t.Errorf("a policy that would never back up: %s", never.text)
	}
	unknown := w.must(400, http.MethodPut, policyID+version, withCoffer(`{"spreads":"PT5M"}`))
	if !strings.Contains(unknown.text, "properties.coffer.spreads is not a field that is known here") {
		t.Errorf("a misspelled field: %s", unknown.text)
	}
	if got := w.must(200, http.MethodGet, policyID+version, ""); !strings.Contains(got.text, options) {
		t.Errorf("what was refused is kept: %s", got.text)
	}
}
