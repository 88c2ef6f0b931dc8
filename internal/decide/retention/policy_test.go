package retention

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// body builds the body of a policy: a trigger and retention rules around what a test is about.
func body(interval, zone string, tags []string, rules ...string) string {
	tags = append([]string{`{"isDefault":true,"taggingPriority":99,"tagInfo":{"tagName":"Default"}}`}, tags...)
	return fmt.Sprintf(`{"properties":{"objectType":"BackupPolicy","datasourceTypes":["Microsoft.ContainerService/managedClusters"],"policyRules":[
		{"objectType":"AzureBackupRule","name":"BackupHourly","backupParameters":{"objectType":"AzureBackupParams","backupType":"Incremental"},
		"dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},
		"trigger":{"objectType":"ScheduleBasedTriggerContext","schedule":{"repeatingTimeIntervals":[%q],"timeZone":%q},"taggingCriteria":[%s]}},%s]}}`,
		interval, zone, strings.Join(tags, ","), strings.Join(append(rules, defaultRule), ","))
}

const (
	hourly      = "R/2026-01-01T02:30:00+00:00/PT4H"
	defaultRule = `{"objectType":"AzureRetentionRule","name":"Default","isDefault":true,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"P7D"},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"targetDataStoreCopySettings":[]}]}`
)

// tag builds a tag with one criterion.
func tag(name string, priority int, criterion string) string {
	return fmt.Sprintf(`{"isDefault":false,"taggingPriority":%d,"tagInfo":{"tagName":%q},"criteria":[{"objectType":"ScheduleBasedBackupCriteria",%s}]}`, priority, name, criterion)
}

func rule(name string, lifecycles ...string) string {
	return fmt.Sprintf(`{"objectType":"AzureRetentionRule","name":%q,"isDefault":false,"lifecycles":[%s]}`, name, strings.Join(lifecycles, ","))
}

func lifecycle(store, duration string, copies ...string) string {
	return fmt.Sprintf(`{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":%q},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":%q},"targetDataStoreCopySettings":[%s]}`, duration, store, strings.Join(copies, ","))
}

func copyAfter(option string) string {
	return fmt.Sprintf(`{"dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"VaultStore"},"copyAfter":{"objectType":%s}}`, option)
}

func parse(t testing.TB, text string) (Policy, error) {
	t.Helper()
	resource, err := arm.Decode[arm.PolicyResource]([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return Parse(resource.Properties, "properties", Limits{})
}

func mustParse(t testing.TB, text string) Policy {
	t.Helper()
	p, err := parse(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func period(t testing.TB, text string) schedule.Period {
	t.Helper()
	p, err := schedule.ParsePeriod(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheVaultTierHasTwoFormsOnTheWire(t *testing.T) {
	seven, ninety := period(t, "P7D"), period(t, "P90D")
	for _, tt := range []struct {
		name string
		rule string
		want Rule
	}{
		{"no vault tier", rule("Daily", lifecycle("OperationalStore", "P7D")), Rule{Name: "Daily", Operational: &seven}},
		{
			"a copy at once and a second lifecycle", rule("Daily", lifecycle("OperationalStore", "P7D", copyAfter(`"ImmediateCopyOption"`)), lifecycle("VaultStore", "P90D")),
			Rule{Name: "Daily", Operational: &seven, Vault: &VaultCopy{When: AtOnce, Keep: ninety}},
		},
		{
			"the lifecycles in the other order", rule("Daily", lifecycle("VaultStore", "P90D"), lifecycle("OperationalStore", "P7D", copyAfter(`"CopyOnExpiryOption"`))),
			Rule{Name: "Daily", Operational: &seven, Vault: &VaultCopy{When: OnExpiry, Keep: ninety}},
		},
		{
			"a copy after a delay", rule("Daily", lifecycle("OperationalStore", "P7D", copyAfter(`"CustomCopyOption","duration":"P2D"`)), lifecycle("VaultStore", "P90D")),
			Rule{Name: "Daily", Operational: &seven, Vault: &VaultCopy{When: AfterDelay, Delay: period(t, "P2D"), Keep: ninety}},
		},
		{
			"the command line's preset: the vault tier alone", rule("Daily", lifecycle("VaultStore", "P90D")),
			Rule{Name: "Daily", Vault: &VaultCopy{When: AtOnce, Keep: ninety}},
		},
		{
			"both lifecycles without a copy setting", rule("Daily", lifecycle("OperationalStore", "P7D"), lifecycle("VaultStore", "P90D")),
			Rule{Name: "Daily", Operational: &seven, Vault: &VaultCopy{When: AtOnce, Keep: ninety}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse(t, body(hourly, "", []string{tag("Daily", 25, `"absoluteCriteria":["FirstOfDay"]`)}, tt.rule))
			got, _ := p.Rule("daily")
			if diff := cmp.Diff(tt.want, got); diff != "" || p.HasVaultTier() != (tt.want.Vault != nil) {
				t.Errorf("rule (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATierThatIsNamedTwiceKeepsAsLongAsTheLongerSays(t *testing.T) {
	longer, ninety := period(t, "P84D"), period(t, "P90D")
	at := copyAfter(`"ImmediateCopyOption"`)
	for name, lifecycles := range map[string][]string{
		// As in the acceptance tests of Terraform's provider.
		"the longer last":            {lifecycle("OperationalStore", "P7D"), lifecycle("OperationalStore", "P84D")},
		"the longer first":           {lifecycle("OperationalStore", "P84D"), lifecycle("operationalstore", "P7D")},
		"a copy in the first":        {lifecycle("OperationalStore", "P7D", at), lifecycle("OperationalStore", "P84D"), lifecycle("VaultStore", "P90D")},
		"a copy in the second":       {lifecycle("OperationalStore", "P84D"), lifecycle("OperationalStore", "P7D", at), lifecycle("VaultStore", "P90D")},
		"and the vault's tier twice": {lifecycle("VaultStore", "P90D"), lifecycle("OperationalStore", "P84D"), lifecycle("VaultStore", "P2D")},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustParse(t, body(hourly, "", []string{tag("Daily", 25, `"absoluteCriteria":["FirstOfDay"]`)}, rule("Daily", lifecycles...)))
			want := Rule{Name: "Daily", Operational: &longer}
			if len(lifecycles) > 2 {
				want.Vault = &VaultCopy{When: AtOnce, Keep: ninety}
			}
			got, _ := p.Rule("Daily")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rule (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPolicyThatCannotBeFollowedIsRefused(t *testing.T) {
	daily := rule("Daily", lifecycle("OperationalStore", "P30D"))
	firstOfDay := tag("Daily", 25, `"absoluteCriteria":["FirstOfDay"]`)
	good := body(hourly, "UTC", []string{firstOfDay}, daily)
	for _, tt := range []struct{ name, body, path, want string }{
		{"no start", body("R/PT4H", "", nil), "properties.policyRules[0].trigger.schedule.repeatingTimeIntervals[0]", "it has no start"},
		{"a minute", body("R/2026-01-01T00:00:00Z/PT1M", "", nil), "properties.policyRules[0].trigger.schedule.repeatingTimeIntervals[0]", "shorter than 5 minutes"},
		{"no time zone", body(hourly, "Mars", nil), "properties.policyRules[0].trigger.schedule.timeZone", "not the name of a time zone"},
		{"no backup rule", `{"properties":{"objectType":"BackupPolicy","datasourceTypes":["Microsoft.ContainerService/managedClusters"],"policyRules":[` + defaultRule + `]}}`, "properties.policyRules", "has no AzureBackupRule"},
		{"two backup rules", strings.Replace(good, `"policyRules":[`, `"policyRules":[{"objectType":"AzureBackupRule","name":"Other","dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"trigger":{"objectType":"ScheduleBasedTriggerContext","schedule":{"repeatingTimeIntervals":["`+hourly+`"]},"taggingCriteria":[{"isDefault":true,"taggingPriority":99,"tagInfo":{"tagName":"Default"}}]}},`, 1), "properties.policyRules[1]", "a second AzureBackupRule"},
		{"no default rule", strings.ReplaceAll(good, `"name":"Default","isDefault":true`, `"name":"Default","isDefault":false`), "properties.policyRules", "no default AzureRetentionRule"},
		{"two default rules", strings.ReplaceAll(good, `"name":"Daily","isDefault":false`, `"name":"Daily","isDefault":true`), "properties.policyRules[2].isDefault", "of a second rule"},
		{"two rules of a name", body(hourly, "", nil, rule("DEFAULT", lifecycle("OperationalStore", "P1D"))), "properties.policyRules[2].name", "policyRules[1] has too"},
		{"a rule's name with a slash", body(hourly, "", nil, rule("a/b", lifecycle("OperationalStore", "P1D"))), "properties.policyRules[1].name", `is "a/b"`},
		{"a long rule's name", body(hourly, "", nil, rule(strings.Repeat("a", 151), lifecycle("OperationalStore", "P1D"))), "properties.policyRules[1].name", `aaa..."`},
		{"hours", body(hourly, "", nil, rule("Daily", lifecycle("OperationalStore", "PT23H"))), "properties.policyRules[1].lifecycles[0].deleteAfter.duration", `is "PT23H"`},
		{"more than 360 days", body(hourly, "", nil, rule("Daily", lifecycle("OperationalStore", "P361D"))), "properties.policyRules[1].lifecycles[0].deleteAfter.duration", `is "P361D"`},
		{"a year", body(hourly, "", nil, rule("Daily", lifecycle("OperationalStore", "P1Y"))), "properties.policyRules[1].lifecycles[0].deleteAfter.duration", `is "P1Y"`},
		{"eleven years", body(hourly, "", nil, rule("Daily", lifecycle("VaultStore", "P11Y"))), "properties.policyRules[1].lifecycles[0].deleteAfter.duration", `is "P11Y"`},
		{"no duration", body(hourly, "", nil, rule("Daily", lifecycle("OperationalStore", "a week"))), "properties.policyRules[1].lifecycles[0].deleteAfter.duration", "not an ISO-8601 duration"},
		{"archive", body(hourly, "", nil, rule("Daily", lifecycle("ArchiveStore", "P1Y"))), "properties.policyRules[1].lifecycles[0].sourceDataStore.dataStoreType", "expected OperationalStore or VaultStore"},
		{
			"two copies in two lifecycles of a tier", body(hourly, "", nil, rule("Daily", lifecycle("OperationalStore", "P1D", copyAfter(`"ImmediateCopyOption"`)),
				lifecycle("operationalstore", "P2D", copyAfter(`"CopyOnExpiryOption"`)), lifecycle("VaultStore", "P90D"))),
			"properties.policyRules[1].lifecycles[1].targetDataStoreCopySettings", "copies a second time",
		},
		{"a copy that nobody keeps", body(hourly, "", nil, rule("Daily", lifecycle("OperationalStore", "P1D", copyAfter(`"ImmediateCopyOption"`)))), "properties.policyRules[1].lifecycles", "does not say how long"},
		{"a copy from the vault", body(hourly, "", nil, rule("Daily", lifecycle("VaultStore", "P1D", copyAfter(`"ImmediateCopyOption"`)))), "properties.policyRules[1].lifecycles[0].targetDataStoreCopySettings", "nothing is copied from"},
		{"two copies", body(hourly, "", nil, rule("Daily", lifecycle("OperationalStore", "P1D", copyAfter(`"ImmediateCopyOption"`), copyAfter(`"ImmediateCopyOption"`)), lifecycle("VaultStore", "P9D"))), "properties.policyRules[1].lifecycles[0].targetDataStoreCopySettings", "has 2 elements"},
		{"a copy after it is gone", body(hourly, "", nil, rule("Daily", lifecycle("OperationalStore", "P7D", copyAfter(`"CustomCopyOption","duration":"P7D"`)), lifecycle("VaultStore", "P90D"))), "properties.policyRules[1].lifecycles[0].targetDataStoreCopySettings[0].copyAfter.duration", "keeps it no longer"},
		{"a copy with no delay", body(hourly, "", nil, rule("Daily", lifecycle("OperationalStore", "P7D", copyAfter(`"CustomCopyOption"`)), lifecycle("VaultStore", "P90D"))), "properties.policyRules[1].lifecycles[0].targetDataStoreCopySettings[0].copyAfter.duration", "is missing"},
		{"a default rule of the vault tier alone", strings.Replace(good, `"duration":"P7D"},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"`, `"duration":"P7D"},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"VaultStore"`, 1), "properties.policyRules[2].lifecycles", "no lifecycle of the OperationalStore"},
		{"a tag without a rule", body(hourly, "", []string{tag("Weekly", 20, `"absoluteCriteria":["FirstOfWeek"]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].tagInfo.tagName", "no AzureRetentionRule of that name"},
		{"a rule without a tag", body(hourly, "", nil, daily), "properties.policyRules[1].name", "there is no tag of that name"},
		{"one of two rules without a tag", body(hourly, "", []string{firstOfDay}, daily, rule("Weekly", lifecycle("OperationalStore", "P60D"))), "properties.policyRules[2].name", `is "Weekly"`},
		{"two tags of a name", body(hourly, "", []string{firstOfDay, tag("daily", 20, `"absoluteCriteria":["FirstOfWeek"]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[2].tagInfo.tagName", "taggingCriteria[1] has too"},
		{"two tags of a priority", body(hourly, "", []string{firstOfDay, tag("Weekly", 25, `"absoluteCriteria":["FirstOfWeek"]`)}, daily, rule("Weekly", lifecycle("OperationalStore", "P8D"))), "properties.policyRules[0].trigger.taggingCriteria[2].taggingPriority", "taggingCriteria[1] has too"},
		{"a priority after the default one", body(hourly, "", []string{tag("Daily", 100, `"absoluteCriteria":["FirstOfDay"]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[0].taggingPriority", "no recovery point would ever get"},
		{"a negative priority", body(hourly, "", []string{tag("Daily", -1, `"absoluteCriteria":["FirstOfDay"]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].taggingPriority", "is -1"},
		{"no default tag", strings.Replace(good, `{"isDefault":true,"taggingPriority":99,"tagInfo":{"tagName":"Default"}},`, "", 1), "properties.policyRules[0].trigger.taggingCriteria", "has 0 default tags"},
		{"a default tag of another rule", strings.Replace(good, `"tagInfo":{"tagName":"Default"}`, `"tagInfo":{"tagName":"Daily"}`, 1), "properties.policyRules[0].trigger.taggingCriteria[0].tagInfo.tagName", "not the default rule"},
		{"a default tag with criteria", strings.Replace(good, `"tagInfo":{"tagName":"Default"}`, `"tagInfo":{"tagName":"Default"},"criteria":[{"objectType":"ScheduleBasedBackupCriteria","absoluteCriteria":["AllBackup"]}]`, 1), "properties.policyRules[0].trigger.taggingCriteria[0].criteria", "not possible for the default tag"},
		{"a tag without criteria", strings.Replace(good, `"criteria":[{"objectType":"ScheduleBasedBackupCriteria","absoluteCriteria":["FirstOfDay"]}]`, `"criteria":[]`, 1), "properties.policyRules[0].trigger.taggingCriteria[1].criteria", "which recovery points get the tag?"},
		{"a criterion that says nothing", body(hourly, "", []string{tag("Daily", 25, `"absoluteCriteria":[]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].criteria[0]", "says nothing"},
		{"a day of no month", body(hourly, "", []string{tag("Daily", 25, `"daysOfMonth":[{"date":32}]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].criteria[0].daysOfMonth[0].date", "is 32"},
		{"day zero", body(hourly, "", []string{tag("Daily", 25, `"daysOfMonth":[{"date":0,"isLast":false}]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].criteria[0].daysOfMonth[0].date", "is 0"},
		{"a day that is the last and the third", body(hourly, "", []string{tag("Daily", 25, `"daysOfMonth":[{"date":3,"isLast":true}]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].criteria[0].daysOfMonth[0]", "both the last day and day 3"},
		{"the 31st of February", body(hourly, "", []string{tag("Daily", 25, `"daysOfMonth":[{"date":31}],"monthsOfYear":["February","June"]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].criteria[0]", "is for days that never come"},
		{"the 20th in the first week", body(hourly, "", []string{tag("Daily", 25, `"daysOfMonth":[{"date":20}],"weeksOfTheMonth":["First"],"daysOfTheWeek":["Sunday"]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].criteria[0]", "is for days that never come"},
		{"the last day in the first week", body(hourly, "", []string{tag("Daily", 25, `"absoluteCriteria":["FirstOfDay"]`+"},{"+`"objectType":"ScheduleBasedBackupCriteria","daysOfMonth":[{"isLast":true}],"weeksOfTheMonth":["First"]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].criteria[1]", "is for days that never come"},
		{"a fifth week", body(hourly, "", []string{tag("Daily", 25, `"weeksOfTheMonth":["Fifth"]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].criteria[0].weeksOfTheMonth[0]", "expected First, Second, Third, Fourth or Last"},
		{"a time that is none", body(hourly, "", []string{tag("Daily", 25, `"scheduleTimes":["noon"]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].criteria[0].scheduleTimes[0]", `is "noon"`},
		{"a time at which nothing is scheduled", body(hourly, "", []string{tag("Daily", 25, `"scheduleTimes":["2026-01-01T03:30:00Z"]`)}, daily), "properties.policyRules[0].trigger.taggingCriteria[1].criteria[0].scheduleTimes[0]", "no backup is scheduled for that"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, tt.body)
			fields := coffer.RefusedFields(err)
			if !slices.ContainsFunc(fields, func(f coffer.RefusedField) bool { return f.Path == tt.path && strings.Contains(f.Reason, tt.want) }) {
				t.Errorf("got %v: %+v, want %s: %s", err, fields, tt.path, tt.want)
			}
			if coffer.CodeOf(err) != coffer.CodeInvalidInput {
				t.Errorf("code %s", coffer.CodeOf(err))
			}
			if len(fields) > 2 {
				t.Errorf("one mistake is told as %d: %+v", len(fields), fields)
			}
		})
	}
	if _, err := parse(t, good); err != nil {
		t.Errorf("the policy that the cases are made of: %v", err)
	}
	for _, seldom := range []string{
		`"daysOfMonth":[{"date":29}],"monthsOfYear":["February"],"daysOfTheWeek":["Sunday"],"weeksOfTheMonth":["Last"]`,
		`"daysOfMonth":[{"date":31},{"date":30}],"monthsOfYear":["February","June"]`, `"daysOfMonth":[{"isLast":true}],"weeksOfTheMonth":["Fourth"]`,
	} {
		mustParse(t, body(hourly, "", []string{tag("Daily", 25, seldom)}, daily))
	}
	if _, err := Parse(nil, "properties", Limits{}); err == nil || !strings.Contains(err.Error(), "properties is missing") {
		t.Errorf("no policy: %v", err)
	}
}

// TestWhatAVaultHasIsRead holds that a policy which was let in once is followed, whatever is refused since.
func TestWhatAVaultHasIsRead(t *testing.T) {
	text := body(hourly, "", []string{tag("Daily", 25, `"daysOfMonth":[{"date":31}],"monthsOfYear":["February"]`)}, rule("Daily", lifecycle("OperationalStore", "P30D")), rule("Weekly", lifecycle("OperationalStore", "P60D")))
	resource, err := arm.Decode[arm.PolicyResource]([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := Parse(resource.Properties, "properties", Lasting()); err != nil || len(p.Rules) != 3 || len(p.Tags) != 2 {
		t.Errorf("Parse = %+v, %v", p, err)
	}
	for name, limits := range map[string]Limits{"a vault": {}, "a vault for tests": Minutes()} {
		if _, err := Parse(resource.Properties, "properties", limits); err == nil {
			t.Errorf("%s takes it anew", name)
		}
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	_, err := parse(t, body("R/PT4H", "Mars", []string{tag("Weekly", 0, `"absoluteCriteria":["FirstOfCentury"]`)}, rule("Daily", lifecycle("OperationalStore", "P9Y"), lifecycle("Tape", "P1D"))))
	var paths []string
	for _, f := range coffer.RefusedFields(err) {
		paths = append(paths, strings.TrimPrefix(f.Path, "properties.policyRules"))
	}
	want := []string{
		"[0].trigger.taggingCriteria[1].criteria[0].absoluteCriteria[0]",
		"[1].lifecycles[1].sourceDataStore.dataStoreType",
		"[1].lifecycles[0].deleteAfter.duration",
		"[0].trigger.schedule.timeZone",
		"[0].trigger.schedule.repeatingTimeIntervals[0]",
		"[0].trigger.taggingCriteria[1].taggingPriority",
		"[0].trigger.taggingCriteria[1].tagInfo.tagName",
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if !strings.Contains(err.Error(), "R/2026-01-31T02:30:00+00:00/PT4H") || !strings.Contains(err.Error(), "Europe/Berlin") {
		t.Errorf("the error does not say what to write: %v", err)
	}
}

func TestNamesOfPolicies(t *testing.T) {
	for name, good := range map[string]bool{"p1": false, "abc": true, "AKSBackupPolicy-Week": true, "1ab": true, "-ab": false, "a_b": false, "a b": false, "": false, strings.Repeat("a", 150): true, strings.Repeat("a", 151): false, "ä-b": false} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestTheTemplateIsAPolicy(t *testing.T) {
	template := Template()
	p, err := Parse(&template, "", Limits{})
	if err != nil || p.BackupRule != "BackupHourly" || p.Default().Name != "Default" || len(p.Tags) != 1 {
		t.Fatalf("Parse = %+v, %v", p, err)
	}
	text, err := json.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"objectType":"BackupPolicy","datasourceTypes":["Microsoft.ContainerService/managedClusters"],"policyRules":[` +
		`{"objectType":"AzureBackupRule","name":"BackupHourly","backupParameters":{"objectType":"AzureBackupParams","backupType":"Incremental"},` +
		`"dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"trigger":{"objectType":"ScheduleBasedTriggerContext",` +
		`"schedule":{"repeatingTimeIntervals":["R/2023-01-04T09:00:00+00:00/PT4H"]},` +
		`"taggingCriteria":[{"isDefault":true,"taggingPriority":99,"tagInfo":{"id":"Default_","tagName":"Default"}}]}},` +
		`{"objectType":"AzureRetentionRule","name":"Default","isDefault":true,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"P7D"},` +
		`"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"targetDataStoreCopySettings":[]}]}]}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("template (-want +got):\n%s", diff)
	}
}

func TestIDsOfTagsAreFilledIn(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"one that is missing", `{"properties":{"policyRules":[{"trigger":{"taggingCriteria":[{"tagInfo":{"tagName":"Daily"}}]}}]}}`, `{"properties":{"policyRules":[{"trigger":{"taggingCriteria":[{"tagInfo":{"id":"Daily_","tagName":"Daily"}}]}}]}}`},
		{"one that is null, in other letters, beside unknown fields", `{"x":1.0,"Properties":{"policyrules":[null,{"trigger":{"taggingCriteria":[7,{"TagInfo":{"ID":null,"TagName":"<b>"}}]}}]}}`, `{"Properties":{"policyrules":[null,{"trigger":{"taggingCriteria":[7,{"TagInfo":{"TagName":"<b>","id":"<b>_"}}]}}]},"x":1.0}`},
		{"one that is there stays, and the text with it", `{ "properties":{"policyRules":[{"trigger":{"taggingCriteria":[{"tagInfo":{"tagName":"Daily","id":"mine"}}]}}]}}`, `{ "properties":{"policyRules":[{"trigger":{"taggingCriteria":[{"tagInfo":{"tagName":"Daily","id":"mine"}}]}}]}}`},
		{"no policy", `{"properties":[]}`, `{"properties":[]}`},
	} {
		got, err := FillTagIDs(json.RawMessage(tt.body))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v", tt.name, got, err)
		}
	}
	if _, err := FillTagIDs(json.RawMessage(`{`)); err == nil {
		t.Error("half of a body is taken")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(body(hourly, "Europe/Berlin", []string{tag("Daily", 25, `"absoluteCriteria":["FirstOfDay"],"daysOfMonth":[{"isLast":true}],"scheduleTimes":["02:30"]`)}, rule("Daily", lifecycle("OperationalStore", "P7D", copyAfter(`"CustomCopyOption","duration":"P2D"`)), lifecycle("VaultStore", "P90D")))))
	f.Add([]byte(withOptions(hourly, "Europe/Berlin", `{"exclusionWindows":[`+christmas+`],"spread":"PT5M","keepAtLeast":3,"recoveryPointObjective":"PT26H","existingRecoveryPoints":"Adopt"}`)))
	f.Add([]byte(body("R/PT4H", "Mars", []string{`{}`}, `{}`, `null`)))
	f.Add([]byte(`{"properties":{"policyRules":[null,{"objectType":"AzureBackupRule","trigger":{}},{"objectType":"AzureRetentionRule","lifecycles":[{},{"sourceDataStore":{"dataStoreType":"VaultStore"}}]}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		resource, err := arm.Decode[arm.PolicyResource](text)
		if err != nil {
			return
		}
		p, err := Parse(resource.Properties, "properties", Limits{})
		if err != nil {
			if coffer.CodeOf(err) != coffer.CodeInvalidInput || len(coffer.RefusedFields(err)) == 0 {
				t.Fatalf("%s: %v", text, err)
			}
			return
		}
		filled, err := FillTagIDs(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := arm.Decode[arm.PolicyResource](filled)
		if err != nil {
			t.Fatalf("%s with ids is %s: %v", text, filled, err)
		}
		for _, r := range again.Properties.PolicyRules {
			if r.ObjectType.Is(arm.TypeBackupRule) && slices.ContainsFunc(r.Trigger.TaggingCriteria, func(c arm.TaggingCriterion) bool { return c.TagInfo.ID == "" }) {
				t.Fatalf("%s has a tag without an id", filled)
			}
		}
		next, ok := p.Schedule.Next(p.Schedule.Intervals[0].Start)
		choice := p.Choose(next, p.Schedule.Intervals[0].Start)
		if !ok || choice.Rule.Name == "" || choice.Reason == "" {
			t.Fatalf("%s: due %v, %+v", text, next, choice)
		}
		if next, ok := p.Timetable().Next(next); ok == (p.CheckFuture(next, "properties") != nil) && ok {
			t.Fatalf("%s: due %v, and never", text, next)
		}
		if kept := p.Keep(choice.Rule, next); !kept.Expires().After(next) {
			t.Fatalf("%s: kept until %v from %v", text, kept.Expires(), next)
		}
	})
}
