package arm

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// policyBody is that of Terraform's provider, as it was seen on the wire.
const policyBody = `{"properties":{"objectType":"BackupPolicy","datasourceTypes":["Microsoft.ContainerService/managedClusters"],"policyRules":[
 {"objectType":"AzureBackupRule","name":"BackupHourly","backupParameters":{"objectType":"AzureBackupParams","backupType":"Incremental"},
  "dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},
  "trigger":{"objectType":"ScheduleBasedTriggerContext","schedule":{"repeatingTimeIntervals":["R/2026-01-01T02:30:00+00:00/PT4H"],"timeZone":"UTC"},
   "taggingCriteria":[{"isDefault":true,"taggingPriority":99,"tagInfo":{"id":"Default_","tagName":"Default"}},
    {"isDefault":false,"taggingPriority":25,"tagInfo":{"id":"Daily_","tagName":"Daily"},"criteria":[{"objectType":"ScheduleBasedBackupCriteria","absoluteCriteria":["FirstOfDay"]}]}]}},
 {"objectType":"AzureRetentionRule","name":"Default","isDefault":true,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"P7D"},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"targetDataStoreCopySettings":[]}]}]}}`

func TestABodyThatCannotBeDecodedSaysWhere(t *testing.T) {
	for _, tt := range []struct{ name, body, path, message string }{
		{"nothing", ``, "", "is empty: expected a JSON object"},
		{"blanks", " \n", "", "is empty: expected a JSON object"},
		{"null", `null`, "", "is null: expected an object"},
		{"an array", `[]`, "", "is an array: expected an object"},
		{"a string", `"a"`, "", "is a string: expected an object"},
		{"half of an object", `{"properties":{`, "properties", "is not JSON"},
		{"two objects", `{}{}`, "", "is not JSON: invalid character '{' after top-level value, after 2 bytes"},
		{"a comma too many", `{"properties":{"policyRules":[1,]}}`, "properties.policyRules", "is not JSON: invalid character"},
		{"no UTF-8", "{\"properties\":{\"objectType\":\"\xff\"}}", "properties.objectType", "is not JSON"},
		{"a number for a string", `{"properties":{"objectType":7}}`, "properties.objectType", "is a number: expected a string"},
		{"a string for an object", `{"properties":"a"}`, "properties", "is a string: expected an object"},
		{"an object for an array", `{"properties":{"policyRules":{}}}`, "properties.policyRules", "is an object: expected an array"},
		{"deep in arrays", `{"properties":{"policyRules":[{},{"lifecycles":[{},{},{"deleteAfter":{"duration":true}}]}]}}`, "properties.policyRules[1].lifecycles[2].deleteAfter.duration", "is a boolean: expected a string"},
		{"a string for a number", `{"properties":{"policyRules":[{"trigger":{"taggingCriteria":[{"taggingPriority":"99"}]}}]}}`, "properties.policyRules[0].trigger.taggingCriteria[0].taggingPriority", "is a string: expected a whole number"},
		{"a fraction", `{"properties":{"policyRules":[{"trigger":{"taggingCriteria":[{"taggingPriority":1.5}]}}]}}`, "properties.policyRules[0].trigger.taggingCriteria[0].taggingPriority", `is 1.5: expected a whole number`},
		{"a number beyond all bounds", `{"properties":{"policyRules":[{"trigger":{"taggingCriteria":[{"taggingPriority":1e99}]}}]}}`, "properties.policyRules[0].trigger.taggingCriteria[0].taggingPriority", `is 1e99: expected a whole number`},
		{"a word for a boolean", `{"properties":{"policyRules":[{"isDefault":"true"}]}}`, "properties.policyRules[0].isDefault", "is a string: expected true or false"},
		{"a field twice", `{"properties":{"objectType":"a","objectType":"b"}}`, "properties.objectType", "is there twice"},
		{"a field twice in other letters", `{"properties":{"objectType":"a","OBJECTTYPE":"b"}}`, "properties.OBJECTTYPE", "is there twice"},
		{"too deep", `{"a":` + strings.Repeat("[", 1_000_000), "a" + strings.Repeat("[0]", maxDepth-1), "is nested more than 40 deep"},
		{"too many values", `{"a":[` + strings.Repeat("1,", maxTokens) + `1]}`, "", "has more than 200000 names and values"},
		{"too long", `{"a":"` + strings.Repeat("x", MaxBody) + `"}`, "", "has 4194312 bytes: at most 4194304 are possible"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode[PolicyResource]([]byte(tt.body))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("Decode = %v, want an *Error", err)
			}
			if e.Path != tt.path || !strings.HasPrefix(e.Message, tt.message) {
				t.Errorf("got %q: %q, want %q: %q", e.Path, e.Message, tt.path, tt.message)
			}
		})
	}
}

func TestANumberIsANameInAnObject(t *testing.T) {
	_, err := Decode[RestoreCriteria]([]byte(`{"namespaceMappings":{"0":7}}`))
	if err == nil || err.Error() != "namespaceMappings.0 is a number: expected a string" {
		t.Errorf("Decode = %v", err)
	}
}

func TestDecodingIsTolerantAsARMIs(t *testing.T) {
	got, err := Decode[PolicyResource]([]byte(policyBody))
	if err != nil {
		t.Fatal(err)
	}
	if problems := got.Properties.Problems("properties"); problems != nil {
		t.Errorf("Terraform's policy: %v", problems)
	}
	for name, change := range map[string]func(string) string{
		"names in other letters":  func(s string) string { return strings.ReplaceAll(s, `"tagInfo"`, `"TAGinfo"`) },
		"unknown fields":          func(s string) string { return strings.ReplaceAll(s, `"name":`, `"new":{"a":[{}]},"name":`) },
		"a byte order of its own": func(s string) string { return " \t\n" + s + "\r\n" },
		"escaped names":           func(s string) string { return strings.ReplaceAll(s, `"trigger"`, `"\u0074rigger"`) },
		"nulls for what is missing": func(s string) string {
			return strings.ReplaceAll(s, `"isDefault":true,"life`, `"trigger":null,"dataStore":null,"isDefault":true,"life`)
		},
	} {
		again, err := Decode[PolicyResource]([]byte(change(policyBody)))
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	words := strings.NewReplacer("BackupPolicy", "backuppolicy", "AzureBackupRule", "AZUREBACKUPRULE", "FirstOfDay", "firstofday", "managedClusters", "managedclusters")
	lower, err := Decode[PolicyResource]([]byte(words.Replace(policyBody)))
	if err != nil {
		t.Fatal(err)
	}
	if problems := lower.Properties.Problems("properties"); problems != nil {
		t.Errorf("words in other letters: %v", problems)
	}
}

func TestNullIsAsGoodAsNothing(t *testing.T) {
	got, err := Decode[InstanceResource]([]byte(`{"tags":null,"properties":{"dataSourceSetInfo":null,"datasourceAuthCredentials":null,
		"dataSourceInfo":{"resourceProperties":null,"resourceID":null},
		"policyInfo":{"policyParameters":{"backupDatasourceParametersList":[{"includedNamespaces":null,"snapshotVolumes":null,"coffer":null}]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Properties; p.DataSourceSetInfo != nil || p.DataSourceInfo.ResourceID != "" || p.PolicyInfo.PolicyParameters.BackupDatasourceParametersList[0].SnapshotVolumes != nil {
		t.Errorf("got %+v", got)
	}
}

func TestAnAdHocTriggerHasOneCriterion(t *testing.T) {
	got, err := Decode[Trigger]([]byte(`{"objectType":"AdhocBasedTriggerContext","TAGGINGCRITERIA":{"TAGINFO":{"tagName":"Daily"}}}`))
	if err != nil || len(got.TaggingCriteria) != 1 || got.TaggingCriteria[0].TagInfo.TagName != "Daily" {
		t.Errorf("Decode = %+v, %v", got, err)
	}
	_, err = Decode[Trigger]([]byte(`{"taggingCriteria":{"tagInfo":{"tagName":1}}}`))
	if err == nil || err.Error() != "taggingCriteria.tagInfo.tagName is a number: expected a string" {
		t.Errorf("Decode = %v", err)
	}
}

func TestCoffersOwnFieldsAreNeverIgnored(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{`{"new":1,"coffer":{"planOnly":true}}`, ""},
		{`{"coffer":{"PLANONLY":true,"restoreStatus":{"includedTypes":["a"]}}}`, ""},
		{`{"coffer":null}`, ""},
		{`{"coffer":{"conflictPolicies":[{"type":"a","policy":"Skip"},{"types":"a"}]}}`, "coffer.conflictPolicies[1].types is not a field that is known here: expected type or policy"},
		{`{"coffer":[]}`, "coffer is an array: expected an object"},
	} {
		got, err := Decode[RestoreCriteria]([]byte(tt.body))
		if tt.want == "" && (err != nil || got.Coffer != nil && !got.Coffer.PlanOnly && got.Coffer.RestoreStatus == nil) || tt.want != "" && (err == nil || err.Error() != tt.want) {
			t.Errorf("%s: %+v, %v", tt.body, got.Coffer, err)
		}
	}
	_, err := Decode[RestoreCriteria]([]byte(`{"coffer":{"planOnli":true}}`))
	if err == nil || !strings.HasPrefix(err.Error(), "coffer.planOnli is not a field that is known here: expected ") || !strings.Contains(err.Error(), ", planOnly, ") {
		t.Errorf("Decode = %v", err)
	}
	_, err = Decode[Instance]([]byte(`{"policyInfo":{"policyParameters":{"backupDatasourceParametersList":[{"new":1,"coffer":{"allowempty":true,"new":1}}]}}}`))
	if err == nil || !strings.HasPrefix(err.Error(), "policyInfo.policyParameters.backupDatasourceParametersList[0].coffer.new is not a field that is known here: expected ") {
		t.Errorf("Decode = %v", err)
	}
}

func TestTheFormOfABodyIsCheckedAsAWhole(t *testing.T) {
	for _, tt := range []struct {
		name string
		body string
		read func([]byte) ([]Problem, error)
		want []string
	}{
		{"an empty policy", `{"properties":{}}`, problemsOf[PolicyResource], []string{
			"properties.objectType is missing: expected BackupPolicy", "properties.datasourceTypes is missing: expected Microsoft.ContainerService/managedClusters", "properties.policyRules is missing: expected one AzureBackupRule and at least one AzureRetentionRule",
		}},
		{"what a policy is made of", `{"properties":{"objectType":"BackupPolicy","datasourceTypes":["Microsoft.ContainerService/managedClusters"],"policyRules":[
			{"objectType":"AzureBackupRule","name":"b","dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"trigger":{"objectType":"ScheduleBasedTriggerContext","schedule":{},"taggingCriteria":[{}]}},
			{"objectType":"AzureRetentionRule","name":"r","lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption"},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"VaultStore"}}]},
			{"objectType":"AzureRetentionRule","name":"s"}],"coffer":{"exclusionWindows":[{}]}}}`, problemsOf[PolicyResource], []string{
			"properties.policyRules[0].trigger.schedule.repeatingTimeIntervals is missing: expected intervals such as R/2026-01-31T02:30:00+00:00/PT4H",
			"properties.policyRules[0].trigger.taggingCriteria[0].isDefault is missing: expected true of the default tag, and false of all others",
			"properties.policyRules[0].trigger.taggingCriteria[0].taggingPriority is missing: expected a whole number of its own",
			"properties.policyRules[0].trigger.taggingCriteria[0].tagInfo is missing: expected a tagName, which is the name of a retention rule",
			"properties.policyRules[1].lifecycles[0].deleteAfter.duration is missing: expected an ISO-8601 duration such as P7D",
			"properties.policyRules[2].lifecycles is missing: expected how long which tier keeps recovery points",
			"properties.coffer.exclusionWindows[0].start is missing: expected an interval such as R/2026-01-31T02:30:00+00:00/P1D",
			"properties.coffer.exclusionWindows[0].duration is missing: expected an ISO-8601 duration such as PT8H",
		}},
		{"wrong discriminators", `{"properties":{"objectType":"Policy","datasourceTypes":["Microsoft.Compute/disks"],"policyRules":[{"objectType":"Rule"},
			{"objectType":"AzureBackupRule","name":"b","dataStore":{"dataStoreType":"VaultStore"},"trigger":{"objectType":"AdhocBasedTriggerContext","taggingCriteria":{}}},
			{"objectType":"AzureRetentionRule","name":"r","lifecycles":[{"deleteAfter":{"objectType":"X","duration":"P1D"}}]}]}}`, problemsOf[PolicyResource], []string{
			`properties.objectType is "Policy": expected BackupPolicy`,
			`properties.datasourceTypes[0] is "Microsoft.Compute/disks": expected Microsoft.ContainerService/managedClusters`,
			`properties.policyRules[0].objectType is "Rule": expected AzureBackupRule or AzureRetentionRule`,
			`properties.policyRules[1].dataStore.objectType is missing: expected DataStoreInfoBase`,
			`properties.policyRules[1].dataStore.dataStoreType is "VaultStore": expected OperationalStore`,
			`properties.policyRules[1].trigger.objectType is "AdhocBasedTriggerContext": expected ScheduleBasedTriggerContext`,
			`properties.policyRules[2].lifecycles[0].deleteAfter.objectType is "X": expected AbsoluteDeleteOption`,
			`properties.policyRules[2].lifecycles[0].sourceDataStore is missing`,
		}},
		{"an empty vault", `{}`, problemsOf[VaultResource], []string{"location is missing", "properties is missing"}},
		{"a vault's words", `{"location":"x","identity":{"type":"Me"},"properties":{"storageSettings":[{"datastoreType":"Disk","type":"RAID"}],
			"securitySettings":{"softDeleteSettings":{"state":"Enabled"},"immutabilitySettings":{"state":"Maybe"},"encryptionSettings":{"state":"Enabled"}},
			"featureSettings":{"crossRegionRestoreSettings":{"state":"On"}},"monitoringSettings":{"azureMonitorAlertSettings":{"alertsForAllJobFailures":"On"}}}}`, problemsOf[VaultResource], []string{
			`identity.type is "Me": expected None, SystemAssigned, UserAssigned, SystemAssigned,UserAssigned or SystemAssigned, UserAssigned`,
			`properties.storageSettings[0].datastoreType is "Disk": expected ArchiveStore, OperationalStore or VaultStore`,
			`properties.storageSettings[0].type is "RAID": expected GeoRedundant, LocallyRedundant or ZoneRedundant`,
			`properties.securitySettings.softDeleteSettings.state is "Enabled": expected Off, On or AlwaysOn`,
			`properties.securitySettings.immutabilitySettings.state is "Maybe": expected Disabled, Unlocked or Locked`,
			`properties.securitySettings.encryptionSettings.keyVaultProperties is missing`,
			`properties.featureSettings.crossRegionRestoreSettings.state is "On": expected Enabled or Disabled`,
			`properties.monitoringSettings.azureMonitorAlertSettings.alertsForAllJobFailures is "On": expected Enabled or Disabled`,
		}},
		{"an empty instance", `{"properties":{}}`, problemsOf[InstanceResource], []string{
			"properties.objectType is missing: expected BackupInstance", "properties.dataSourceInfo is missing", "properties.policyInfo is missing",
		}},
		{"an empty backup", `{}`, problemsOf[BackupRequest], []string{"backupRuleOptions is missing"}},
		{"a restore to a point in time", `{"objectType":"AzureBackupRecoveryTimeBasedRestoreRequest","sourceDataStoreType":"ArchiveStore"}`, problemsOf[RestoreRequest], []string{
			`objectType is "AzureBackupRecoveryTimeBasedRestoreRequest": expected AzureBackupRecoveryPointBasedRestoreRequest`,
			`sourceDataStoreType is "ArchiveStore": expected OperationalStore or VaultStore`,
			`restoreTargetInfo is missing`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			problems, err := tt.read([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// problemsOf decodes a body and looks at its form.
func problemsOf[T any](body []byte) ([]Problem, error) {
	got, err := Decode[T](body)
	if err != nil {
		return nil, err
	}
	switch got := any(got).(type) {
	case PolicyResource:
		if got.Properties != nil {
			return got.Properties.Problems("properties"), nil
		}
	case VaultResource:
		return got.Problems(""), nil
	case InstanceResource:
		if got.Properties != nil {
			return got.Properties.Problems("properties"), nil
		}
	case BackupRequest:
		return got.Problems(""), nil
	case RestoreRequest:
		return got.Problems(""), nil
	}
	return nil, nil
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{policyBody, `{}`, `{"properties":null}`, `{"location":"x","properties":{"storageSettings":[{"type":"GeoRedundant"}]}}`, `{"a":1}{`, `[`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, read := range []func([]byte) ([]Problem, error){
			problemsOf[PolicyResource], problemsOf[VaultResource], problemsOf[InstanceResource], problemsOf[BackupRequest], problemsOf[RestoreRequest],
		} {
			problems, err := read(body)
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || e.Message == "" {
					t.Fatalf("%q: %v is no *Error with a message", body, err)
				}
				continue
			}
			if slices.ContainsFunc(problems, func(p Problem) bool { return p.Message == "" }) || len(problems) > maxProblems {
				t.Fatalf("%q: %v", body, problems)
			}
		}
		// What is written is read again.
		if policy, err := Decode[PolicyResource](body); err == nil {
			text, err := json.Marshal(policy)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Decode[PolicyResource](text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			twice, err := json.Marshal(again)
			if err != nil || string(text) != string(twice) {
				t.Fatalf("%s is read as %s: %v", text, twice, err)
			}
		}
	})
}
