package protection

import (
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

func TestWhatARecoveryPointKeepsFromBeingDeleted(t *testing.T) {
	past, future := noon.Add(-time.Second), noon.Add(time.Second)
	for _, c := range []struct {
		name         string
		immutability arm.Word
		point        catalogue.Point
		code         coffer.Code
		says         string
	}{
		{"nothing", arm.StateDisabled, catalogue.Point{Expiry: future}, "", ""},
		{"a legal hold", arm.StateDisabled, catalogue.Point{Expiry: past, Held: true}, coffer.CodeLegalHold, "release-hold -n shop p1"},
		{"a legal hold in an immutable vault", arm.StateLocked, catalogue.Point{Expiry: past, Held: true}, coffer.CodeLegalHold, "legal hold"},
		{"its time", arm.StateUnlocked, catalogue.Point{Expiry: future}, coffer.CodeConflict, "until 2026-05-04T12:00:01Z; wait until its recovery points have expired, or set"},
		{"its time in a locked vault", arm.StateLocked, catalogue.Point{Expiry: future}, coffer.CodeConflict, "expired; meanwhile"},
		{"its time in the vault tier", arm.StateUnlocked, catalogue.Point{Expiry: past, VaultExpiry: future}, coffer.CodeConflict, "12:00:01Z"},
		{"no time at all", arm.StateLocked, catalogue.Point{}, coffer.CodeConflict, "for ever"},
		{"a time that has come", arm.StateLocked, catalogue.Point{Expiry: past, VaultExpiry: noon}, "", ""},
	} {
		c.point.Name = "p1"
		err := Guard{Vault: "v1", Instance: "shop", Immutability: c.immutability, SoftDelete: arm.StateOn, Now: noon}.CheckPoint(c.point)
		if coffer.CodeOf(err) != c.code || c.code == "" && err != nil || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestWhatIsAlwaysSoftDeletedIsNotCutShort(t *testing.T) {
	for _, c := range []struct {
		softDelete arm.Word
		until      time.Time
		refused    bool
	}{
		{arm.StateOff, time.Time{}, false},
		{arm.StateOn, time.Time{}, false},
		{arm.StateOn, later, false},
		{arm.StateAlwaysOn, time.Time{}, true},
		{arm.StateAlwaysOn, later, true},
		{arm.StateAlwaysOn, noon, false},
	} {
		err := Guard{Vault: "v1", Instance: "shop", SoftDelete: c.softDelete, Immutability: arm.StateDisabled, Now: noon}.CheckEarly(c.until)
		if (err != nil) != c.refused || err != nil && coffer.CodeOf(err) != coffer.CodeConflict {
			t.Errorf("%s, until %s: %v", c.softDelete, c.until, err)
		}
	}
}

// policy has a default rule, and one more for a duration; empty is without.
func policy(t *testing.T, keeps, more string) retention.Policy {
	t.Helper()
	rule := func(name, duration, isDefault string) string {
		return `{"objectType":"AzureRetentionRule","name":"` + name + `","isDefault":` + isDefault + `,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"` + duration +
			`"},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"}}]}`
	}
	rules := rule("Default", keeps, "true")
	if more != "" {
		rules += "," + rule("Long", more, "false")
	}
	text := `{"properties":{"objectType":"BackupPolicy","datasourceTypes":["Microsoft.ContainerService/managedClusters"],"policyRules":[
	{"objectType":"AzureBackupRule","name":"BackupHourly","backupParameters":{"objectType":"AzureBackupParams","backupType":"Incremental"},
	"dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"trigger":{"objectType":"ScheduleBasedTriggerContext",
	"schedule":{"repeatingTimeIntervals":["R/2026-01-01T02:00:00+00:00/P1D"]},
	"taggingCriteria":[{"isDefault":true,"taggingPriority":99,"tagInfo":{"tagName":"Default"}}]}},` + rules + `]}}`
	body, err := arm.Decode[arm.PolicyResource]([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := retention.Parse(body.Properties, "properties", retention.Lasting())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAnImmutableVaultKeepsNothingForLessLong(t *testing.T) {
	for _, c := range []struct {
		name            string
		keeps, more     string
		keepsNow, moreN string
		refused         bool
	}{
		{"the same", "P7D", "P30D", "P7D", "P30D", false},
		{"longer", "P7D", "P30D", "P8D", "P31D", false},
		{"the default for less long", "P7D", "", "P6D", "", true},
		{"another rule for less long", "P7D", "P30D", "P7D", "P29D", true},
		{"a month, which may be shorter than 30 days", "P7D", "P30D", "P7D", "P1M", true},
		{"30 days, which may be shorter than a month", "P7D", "P1M", "P7D", "P30D", true},
		{"243 days, which are shorter than eight months from March on", "P7D", "P8M", "P7D", "P243D", true},
		{"245 days, which no eight months outlast", "P7D", "P8M", "P7D", "P245D", false},
		{"a rule more", "P7D", "", "P7D", "P1D", false},
		{"a rule less", "P7D", "P30D", "P7D", "", true},
		{"a rule less, and a default that keeps as long", "P7D", "P30D", "P30D", "", false},
	} {
		before, after := policy(t, c.keeps, c.more), policy(t, c.keepsNow, c.moreN)
		for immutability, refuses := range map[arm.Word]bool{arm.StateDisabled: false, arm.StateUnlocked: c.refused, arm.StateLocked: c.refused} {
			err := CheckShorter("v1", "daily", immutability, before, after)
			if (err != nil) != refuses || err != nil && coffer.CodeOf(err) != coffer.CodeConflict {
				t.Errorf("%s, %s: %v", c.name, immutability, err)
			}
			if err != nil && strings.Contains(err.Error(), "immutability to Disabled first") != (immutability == arm.StateUnlocked) {
				t.Errorf("%s, %s: what is said to be possible: %v", c.name, immutability, err)
			}
		}
	}
}

func TestAYearMayHaveALeapDay(t *testing.T) {
	for days, refused := range map[int]bool{365: true, 366: false} {
		before, after := policy(t, "P7D", ""), policy(t, "P7D", "")
		before.Rules[0].Vault = &retention.VaultCopy{When: retention.AtOnce, Keep: schedule.Period{Months: 12}}
		after.Rules[0].Vault = &retention.VaultCopy{When: retention.AtOnce, Keep: schedule.Period{Days: days}}
		if err := CheckShorter("v1", "daily", arm.StateLocked, before, after); (err != nil) != refused {
			t.Errorf("%d days instead of a year: %v", days, err)
		}
	}
}

func TestAnImmutableVaultKeepsNoFewer(t *testing.T) {
	for _, c := range []struct {
		before, after int
		refused       bool
	}{{0, 0, false}, {3, 3, false}, {3, 4, false}, {3, 2, true}, {3, 0, true}, {1, 0, false}, {0, 3, false}} {
		before, after := policy(t, "P7D", ""), policy(t, "P7D", "")
		before.KeepAtLeast, after.KeepAtLeast = c.before, c.after
		if err := CheckShorter("v1", "daily", arm.StateLocked, before, after); (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), "keepAtLeast") {
			t.Errorf("%d instead of %d: %v", c.after, c.before, err)
		}
		if err := CheckShorter("v1", "daily", arm.StateDisabled, before, after); err != nil {
			t.Errorf("%d instead of %d, where nothing is immutable: %v", c.after, c.before, err)
		}
	}
}

// TestAnotherRuleThatIsTheDefaultKeepsAsLong holds that the default rule is compared with what takes its place, whatever has its name.
func TestAnotherRuleThatIsTheDefaultKeepsAsLong(t *testing.T) {
	before, after := policy(t, "P30D", ""), policy(t, "P7D", "P30D")
	after.Rules[0].Name, after.Rules[1].Name = "Short", "Default"
	if err := CheckShorter("v1", "daily", arm.StateLocked, before, after); coffer.CodeOf(err) != coffer.CodeConflict {
		t.Errorf("what no other rule is for is kept for 7 days instead of 30: %v", err)
	}
	if err := CheckShorter("v1", "daily", arm.StateLocked, after, before); err != nil {
		t.Errorf("for longer: %v", err)
	}
}

func TestWhatWeakensAPolicy(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p *retention.Policy)
		says   string
	}{
		{"nothing", func(*retention.Policy) {}, ""},
		{"longer", func(p *retention.Policy) { p.Rules[0].Operational = &schedule.Period{Days: 8} }, ""},
		{"shorter", func(p *retention.Policy) { p.Rules[0].Operational = &schedule.Period{Days: 6} }, "Default are kept for less long"},
		{"a rule less", func(p *retention.Policy) { p.Rules = p.Rules[:1] }, "Long are kept for less long"},
		{"more at least", func(p *retention.Policy) { p.KeepAtLeast = 6 }, ""},
		{"fewer at least", func(p *retention.Policy) { p.KeepAtLeast = 2 }, "at least 2 good recovery points"},
		{"another start", func(p *retention.Policy) {
			p.Schedule.Intervals[0].Start = p.Schedule.Intervals[0].Start.Add(time.Hour)
		}, "other times"},
		{"once a year", func(p *retention.Policy) { p.Schedule.Intervals[0].Every = schedule.Period{Months: 12} }, "other times"},
		{"no schedule", func(p *retention.Policy) { p.Schedule.Intervals = nil }, "other times"},
		{"another zone", func(p *retention.Policy) { p.Schedule.Zone = time.FixedZone("x", 3600) }, "other times"},
		{"a window", func(p *retention.Policy) {
			p.Windows = []schedule.Window{{Start: p.Schedule.Intervals[0], For: schedule.Period{Seconds: 60}}}
		}, "other times"},
		{"no tag for the long rule", func(p *retention.Policy) { p.Tags = p.Tags[1:] }, "other tags"},
		{"another criterion", func(p *retention.Policy) { p.Tags[0].Criteria[0].First = []retention.First{retention.FirstYear} }, "other tags"},
		{"another order", func(p *retention.Policy) { p.Tags[0], p.Tags[1] = p.Tags[1], p.Tags[0] }, "other tags"},
		{"for recovery points that there are", func(p *retention.Policy) { p.Adopt = true }, "that there are"},
		{"a spread", func(p *retention.Policy) { p.Spread = time.Minute }, ""},
		{"an objective", func(p *retention.Policy) { p.Objective = &schedule.Period{Days: 2} }, ""},
	} {
		made := func() retention.Policy {
			p := policy(t, "P7D", "P30D")
			p.KeepAtLeast = 5
			p.Tags = []retention.Tag{{Name: "Long", Priority: 1, Criteria: []retention.Criterion{{First: []retention.First{retention.FirstDay}}}}, p.Tags[0]}
			return p
		}
		before, after := made(), made()
		c.change(&after)
		if got := Weakens(before, after); (got != "") != (c.says != "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	adopting := policy(t, "P7D", "")
	adopting.Adopt = true
	if got := Weakens(adopting, adopting); got != "" {
		t.Errorf("what adopted already: %s", got)
	}
}
