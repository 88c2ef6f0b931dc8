package vault

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// terraform is the body of Terraform's provider, as it was seen on the wire.
const terraform = `{"identity":{"type":"SystemAssigned"},"location":"westeurope","properties":{"securitySettings":{"immutabilitySettings":{"state":"Disabled"},"softDeleteSettings":{"retentionDurationInDays":14,"state":"On"}},"storageSettings":[{"datastoreType":"VaultStore","type":"LocallyRedundant"}]},"tags":{}}`

// body is one with some settings, and everything else as it has to be.
func body(redundancy, settings string) string {
	if settings != "" {
		settings = "," + settings
	}
	return fmt.Sprintf(`{"location":"westeurope","properties":{"storageSettings":[{"datastoreType":"VaultStore","type":%q}]%s}}`, redundancy, settings)
}

func softDelete(state string, days any) string {
	return fmt.Sprintf(`"securitySettings":{"softDeleteSettings":{"state":%q,"retentionDurationInDays":%v}}`, state, days)
}

func immutability(state string) string {
	return fmt.Sprintf(`"securitySettings":{"immutabilitySettings":{"state":%q}}`, state)
}

func crossRegion(state string) string {
	return fmt.Sprintf(`"featureSettings":{"crossRegionRestoreSettings":{"state":%q}}`, state)
}

func crossSubscription(state string) string {
	return fmt.Sprintf(`"featureSettings":{"crossSubscriptionRestoreSettings":{"state":%q}}`, state)
}

func parse(t testing.TB, text string, was *Settings) (Settings, error) {
	t.Helper()
	v, err := arm.Decode[arm.VaultResource]([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return Parse(&v, was)
}

func mustParse(t testing.TB, text string, was *Settings) Settings {
	t.Helper()
	s, err := parse(t, text, was)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSettingsThatAreLeftOutAreAsAzureHasThem(t *testing.T) {
	want := Settings{
		Location: "westeurope", Redundancy: "LocallyRedundant", Stores: []arm.StorageSetting{{DatastoreType: "VaultStore", Type: "LocallyRedundant"}},
		SoftDelete: "On", SoftDeleteDays: 14, Immutability: "Disabled", CrossRegion: "Disabled", CrossSubscription: "Disabled", Alerts: "Enabled",
	}
	for name, text := range map[string]string{
		"Terraform's":         terraform,
		"nothing else":        body("LocallyRedundant", ""),
		"words in any case":   strings.NewReplacer("LocallyRedundant", "locallyredundant", "VaultStore", "VAULTSTORE", "westeurope", "West Europe", `"On"`, `"on"`).Replace(terraform),
		"empty settings":      body("LocallyRedundant", `"securitySettings":{"softDeleteSettings":{},"immutabilitySettings":{}},"featureSettings":{"crossRegionRestoreSettings":null},"monitoringSettings":{}`),
		"with nulls, as seen": body("LocallyRedundant", `"securitySettings":null,"featureSettings":null,"monitoringSettings":{"azureMonitorAlertSettings":null}`),
	} {
		if diff := cmp.Diff(want, mustParse(t, text, nil)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSettingsThatAreNotPossibleAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, body, path, want string }{
		{"thirteen days", body("LocallyRedundant", softDelete("On", 13)), "properties.securitySettings.softDeleteSettings.retentionDurationInDays", "is 13"},
		{"half a day", body("LocallyRedundant", softDelete("On", 14.5)), "properties.securitySettings.softDeleteSettings.retentionDurationInDays", "is 14.5"},
		{"181 days", body("LocallyRedundant", softDelete("AlwaysOn", 181)), "properties.securitySettings.softDeleteSettings.retentionDurationInDays", "is 181"},
		{"no days at all", body("LocallyRedundant", softDelete("On", 0)), "properties.securitySettings.softDeleteSettings.retentionDurationInDays", "is 0"},
		{"more days than there are", body("LocallyRedundant", softDelete("On", "1e300")), "properties.securitySettings.softDeleteSettings.retentionDurationInDays", "is 1e+300"},
		{"the state of the specification's examples", body("LocallyRedundant", softDelete("Enabled", 14)), "properties.securitySettings.softDeleteSettings.state", "expected Off, On or AlwaysOn"},
		{"cross-region restore without a second region", body("ZoneRedundant", crossRegion("Enabled")), "properties.featureSettings.crossRegionRestoreSettings.state", "this one is ZoneRedundant"},
		{"a store twice", `{"location":"x","properties":{"storageSettings":[{"datastoreType":"VaultStore","type":"GeoRedundant"},{"datastoreType":"vaultstore","type":"LocallyRedundant"}]}}`, "properties.storageSettings[1].datastoreType", "a second time"},
		{"no redundancy", `{"location":"x","properties":{}}`, "properties.storageSettings", "is missing"},
		{"no location", strings.Replace(terraform, `"westeurope"`, `""`, 1), "location", "is missing"},
		{"a location that is a path", strings.Replace(terraform, `"westeurope"`, `"../etc"`, 1), "location", "not the name of a region"},
		{"an identity that is not named", strings.Replace(terraform, `"SystemAssigned"`, `"SystemAssigned,UserAssigned"`, 1), "identity.userAssignedIdentities", "is missing"},
		{"a key of its own", body("LocallyRedundant", `"securitySettings":{"encryptionSettings":{"state":"Enabled","keyVaultProperties":{"keyUri":"https://k"}}}`), "properties.securitySettings.encryptionSettings.state", "cannot have keys of their own"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, tt.body, nil)
			fields := coffer.RefusedFields(err)
			if len(fields) != 1 || fields[0].Path != tt.path || !strings.Contains(fields[0].Reason, tt.want) || coffer.CodeOf(err) != coffer.CodeInvalidInput {
				t.Errorf("got %v: %+v, want %s: %s", err, fields, tt.path, tt.want)
			}
		})
	}
	if _, err := Parse(nil, nil); coffer.CodeOf(err) != coffer.CodeInvalidInput {
		t.Errorf("no body: %v", err)
	}
	for _, good := range []string{body("GeoRedundant", crossRegion("Enabled")), body("LocallyRedundant", softDelete("Off", 0)), body("LocallyRedundant", softDelete("AlwaysOn", 180.0))} {
		mustParse(t, good, nil)
	}
}

// TestWhichChangesAreAllowed goes over every pair of states of every setting that a client can write.
func TestWhichChangesAreAllowed(t *testing.T) {
	type setting struct {
		states  []string
		build   func(state string) string
		refused func(from, to string) coffer.Code
		path    string
	}
	fixed := func(final string, code coffer.Code) func(from, to string) coffer.Code {
		return func(from, to string) coffer.Code {
			if from == final && to != final {
				return code
			}
			return ""
		}
	}
	for name, s := range map[string]setting{
		"redundancy": {
			[]string{"LocallyRedundant", "ZoneRedundant", "GeoRedundant"},
			func(state string) string { return body(state, "") },
			func(from, to string) coffer.Code {
				if from != to {
					return coffer.CodeInvalidInput
				}
				return ""
			},
			"properties.storageSettings",
		},
		"soft delete": {
			[]string{"Off", "On", "AlwaysOn"},
			func(state string) string { return body("GeoRedundant", softDelete(state, 30)) },
			fixed("AlwaysOn", coffer.CodeSoftDeleteFixed), "properties.securitySettings.softDeleteSettings.state",
		},
		"immutability": {
			[]string{"Disabled", "Unlocked", "Locked"},
			func(state string) string { return body("GeoRedundant", immutability(state)) },
			fixed("Locked", coffer.CodeInvalidInput), "properties.securitySettings.immutabilitySettings.state",
		},
		"cross-region restore": {
			[]string{"Disabled", "Enabled"},
			func(state string) string { return body("GeoRedundant", crossRegion(state)) },
			fixed("Enabled", coffer.CodeInvalidInput), "properties.featureSettings.crossRegionRestoreSettings.state",
		},
		"cross-subscription restore": {
			[]string{"Disabled", "Enabled", "PermanentlyDisabled"},
			func(state string) string { return body("GeoRedundant", crossSubscription(state)) },
			fixed("PermanentlyDisabled", coffer.CodeInvalidInput), "properties.featureSettings.crossSubscriptionRestoreSettings.state",
		},
		"location": {
			[]string{"westeurope", "northeurope"},
			func(state string) string { return strings.Replace(terraform, "westeurope", state, 1) },
			func(from, to string) coffer.Code {
				if from != to {
					return coffer.CodeInvalidInput
				}
				return ""
			},
			"location",
		},
	} {
		for _, from := range s.states {
			for _, to := range s.states {
				was := mustParse(t, s.build(from), nil)
				now, err := parse(t, s.build(to), &was)
				want := s.refused(from, to)
				if coffer.CodeOf(err) != want {
					t.Errorf("%s from %s to %s: %v, want code %q", name, from, to, err, want)
				}
				if err == nil && now.Shown().StorageSettings == nil {
					t.Errorf("%s from %s to %s: the redundancy is lost", name, from, to)
				}
				if fields := coffer.RefusedFields(err); err != nil && (len(fields) != 1 || fields[0].Path != s.path) {
					t.Errorf("%s from %s to %s: %+v", name, from, to, fields)
				}
			}
			// What a body leaves out stays as it was.
			was := mustParse(t, s.build(from), nil)
			if name == "redundancy" || name == "location" {
				continue
			}
			if diff := cmp.Diff(was, mustParse(t, body("GeoRedundant", ""), &was)); diff != "" {
				t.Errorf("%s %s is forgotten:\n%s", name, from, diff)
			}
		}
	}
}

func TestWhatIsShownIsReadAsTheSameSettings(t *testing.T) {
	s := mustParse(t, body("GeoRedundant", softDelete("AlwaysOn", 180)+","+crossRegion("Enabled")), nil)
	shown := s.Shown()
	text, err := json.Marshal(arm.VaultResource{Location: s.Location, Properties: &shown})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, mustParse(t, string(text), &s)); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestTheScoreOfAVault(t *testing.T) {
	for _, tt := range []struct {
		softDelete, immutability arm.Word
		guarded                  bool
		want                     arm.Word
	}{
		{"Off", "Disabled", false, "None"},
		{"On", "Disabled", false, "Minimum"},
		{"Off", "Unlocked", false, "Minimum"},
		{"Off", "Disabled", true, "Minimum"},
		{"On", "Unlocked", false, "Adequate"},
		{"AlwaysOn", "Locked", false, "Adequate"},
		{"On", "Locked", true, "Adequate"},
		{"AlwaysOn", "Unlocked", true, "Adequate"},
		{"AlwaysOn", "Locked", true, "Maximum"},
	} {
		got := Settings{SoftDelete: tt.softDelete, Immutability: tt.immutability}.Score(Protection{Guarded: tt.guarded})
		if got.SecureScore != tt.want || got.Reason == "" {
			t.Errorf("%+v: %+v", tt, got)
		}
	}
}

func TestReplicatedRegions(t *testing.T) {
	for _, tt := range []struct {
		redundancy arm.Word
		paired     string
		want       []string
	}{
		{"LocallyRedundant", "North Europe", []string{"westeurope"}},
		{"GeoRedundant", "North Europe", []string{"westeurope", "northeurope"}},
		{"GeoRedundant", "", []string{"westeurope"}},
	} {
		if got := (Settings{Location: "westeurope", Redundancy: tt.redundancy}).ReplicatedRegions(Protection{Paired: tt.paired}); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestAVaultThatHoldsSomethingIsNotDeleted(t *testing.T) {
	for _, tt := range []struct {
		name     string
		contents Contents
		want     string
	}{
		{"nothing", Contents{}, ""},
		{"an instance", Contents{Instances: []string{"shop"}, Count: 1}, "holds 1 backup instances (shop)"},
		{"many", Contents{Instances: []string{"a", "b", "c", "d", "e", "f"}, Count: 5000}, "holds 5000 backup instances (a, b, c, d, e, ...)"},
		{"what can be had again", Contents{SoftDeleted: 2}, "holds 2 deleted backup instances"},
		{"what is owed", Contents{Owed: 3}, "still has to delete recovery points in their clusters, 3 at least"},
	} {
		err := CheckDelete(tt.contents)
		if tt.want == "" && err != nil || tt.want != "" && (coffer.CodeOf(err) != coffer.CodeConflict || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestNamesOfVaults(t *testing.T) {
	for name, good := range map[string]bool{"v": false, "vv": true, "v-1": true, "v-": false, "1v": false, "-v": false, "v_1": false, "": false, "v.1": false, strings.Repeat("v", 50): true, strings.Repeat("v", 51): false, "vä": false} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(terraform), []byte(body("GeoRedundant", crossRegion("Enabled"))))
	f.Add([]byte(`{}`), []byte(`{"properties":{"storageSettings":[{}],"securitySettings":{"softDeleteSettings":{"retentionDurationInDays":-1e308}}}}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		v, err := arm.Decode[arm.VaultResource](first)
		if err != nil {
			return
		}
		was, err := Parse(&v, nil)
		if err != nil {
			return
		}
		if again, err := Parse(&v, &was); err != nil || cmp.Diff(was, again) != "" {
			t.Fatalf("%s: the same again is a change: %v", first, err)
		}
		w, err := arm.Decode[arm.VaultResource](second)
		if err != nil {
			return
		}
		now, err := Parse(&w, &was)
		if err == nil && (now.Location != was.Location || now.Redundancy != was.Redundancy || was.Immutability == arm.StateLocked && now.Immutability != arm.StateLocked) {
			t.Fatalf("%s after %s: %+v after %+v", second, first, now, was)
		}
	})
}
