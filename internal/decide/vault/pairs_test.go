package vault

import (
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestPairedRegions(t *testing.T) {
	for region, want := range map[string]string{
		"westeurope": "northeurope", "West Europe": "northeurope", "northeurope": "westeurope",
		// These do not go both ways.
		"westus3": "eastus", "eastus": "westus", "brazilsouth": "southcentralus", "southcentralus": "northcentralus", "westindia": "southindia", "southindia": "centralindia",
		// These have none.
		"polandcentral": "", "usgovtexas": "", "frankfurt": "", "": "",
	} {
		if got := (Pairs)(nil).Of(region); got != want {
			t.Errorf("%q is paired with %q, want %q", region, got, want)
		}
	}
	for region, paired := range azurePairs {
		if !locationForm.MatchString(region) || !locationForm.MatchString(paired) || region == paired {
			t.Errorf("%q is paired with %q", region, paired)
		}
	}
}

func TestPairsOfOnesOwn(t *testing.T) {
	own, err := ParsePairs([]string{"Frankfurt=berlin", "hamburg=berlin", "westeurope=frankfurt"})
	if err != nil {
		t.Fatal(err)
	}
	for region, want := range map[string]string{
		"frankfurt": "berlin", "berlin": "frankfurt", "hamburg": "berlin", "westeurope": "frankfurt", "northeurope": "westeurope",
	} {
		if got := own.Of(region); got != want {
			t.Errorf("%q is paired with %q, want %q", region, got, want)
		}
	}
	for _, bad := range [][]string{{"a"}, {"a="}, {"=b"}, {"a=a"}, {"a=b=c"}, {"a=../b"}, {"a=b", "a=c"}, {""}} {
		if _, err := ParsePairs(bad); coffer.CodeOf(err) != coffer.CodeInvalidInput {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestWhereRecoveryPointsCanBeRestoredTo(t *testing.T) {
	enabled, disabled := arm.StateEnabled, arm.StateDisabled
	for _, tt := range []struct {
		name                 string
		location, region     string
		redundancy, crossing arm.Word
		tier                 arm.Word
		why, remedy          string
	}{
		{"the vault's region", "westeurope", "West Europe", arm.LocallyRedundant, disabled, arm.OperationalStore, "", ""},
		{"the vault's region, from the vault tier", "westeurope", "westeurope", arm.GeoRedundant, enabled, arm.VaultStore, "", ""},
		{"the paired region", "westeurope", "North Europe", arm.GeoRedundant, enabled, arm.VaultStore, "", ""},
		{"a pair of one's own", "frankfurt", "berlin", arm.GeoRedundant, enabled, arm.VaultStore, "", ""},
		{"the paired region from the operational tier", "westeurope", "northeurope", arm.GeoRedundant, enabled, arm.OperationalStore, "OperationalStore stay", "restore from the VaultStore"},
		{"the paired region, not enabled", "westeurope", "northeurope", arm.GeoRedundant, disabled, arm.VaultStore, "cross-region restore is Disabled", "crossRegionRestoreSettings.state of the vault to Enabled"},
		{"the paired region, nothing there", "westeurope", "northeurope", arm.ZoneRedundant, disabled, arm.VaultStore, "ZoneRedundant", "have type GeoRedundant"},
		{"a third region", "westeurope", "eastus", arm.GeoRedundant, enabled, arm.VaultStore, "paired with northeurope", "in westeurope, or, with cross-region restore, in northeurope"},
		{"who names it, and is not named", "eastus", "westus3", arm.GeoRedundant, enabled, arm.VaultStore, "paired with westus", "in westus"},
		{"a region without a pair", "polandcentral", "westeurope", arm.GeoRedundant, enabled, arm.VaultStore, "paired with no region", "--region-pairs polandcentral=REGION"},
	} {
		s := Settings{Location: tt.location, Redundancy: tt.redundancy, CrossRegion: tt.crossing}
		why, remedy := s.Beyond(tt.region, tt.tier, Pairs{"frankfurt": "berlin"})
		if (why == "") != (tt.why == "") || (remedy == "") != (why == "") || !strings.Contains(why, tt.why) || !strings.Contains(remedy, tt.remedy) {
			t.Errorf("%s: %q; %q", tt.name, why, remedy)
		}
	}
}
