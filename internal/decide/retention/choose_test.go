package retention

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	got, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWhoAsksForTheFirstLooksAtTheOneBefore(t *testing.T) {
	for criterion, asks := range map[string]bool{
		`"absoluteCriteria":["FirstOfDay"]`: true, `"absoluteCriteria":["AllBackup"]`: false, `"daysOfTheWeek":["Sunday"]`: false,
		`"daysOfTheWeek":["Sunday"],"absoluteCriteria":["FirstOfMonth"]`: true, `"daysOfMonth":[{"date":1}]`: false, `"monthsOfYear":["May"]`: false,
	} {
		policy := mustParse(t, body(hourly, "", []string{tag("Special", 10, criterion)}, rule("Special", lifecycle("OperationalStore", "P30D"))))
		if got := policy.AsksForFirst(); got != asks {
			t.Errorf("%s asks for the one before: %v, want %v", criterion, got, asks)
		}
		// Whether it does is seen by what it chooses, over weeks.
		seen := false
		for slot := at(t, "2026-04-27T02:30:00Z"); slot.Before(at(t, "2026-06-08T00:00:00Z")); slot = slot.Add(4 * time.Hour) {
			seen = seen || policy.Choose(slot, time.Time{}).Rule.Name != policy.Choose(slot, slot.Add(-4*time.Hour)).Rule.Name
		}
		if seen != asks {
			t.Errorf("%s chooses another rule by the one before: %v, want %v", criterion, seen, asks)
		}
	}
}

func TestTheRuleOfARecoveryPoint(t *testing.T) {
	// 2026-11-15 is a Sunday.
	for _, tt := range []struct{ name, criterion, at, previous, reason string }{
		{"the first of all", `"absoluteCriteria":["FirstOfDay"]`, "2026-11-21T02:30:00Z", "", "it is the first of 2026-11-21"},
		{"the first of the day", `"absoluteCriteria":["FirstOfDay"]`, "2026-11-21T02:30:00Z", "2026-11-20T22:30:00Z", "it is the first of 2026-11-21"},
		{"the second of the day", `"absoluteCriteria":["FirstOfDay"]`, "2026-11-21T06:30:00Z", "2026-11-21T02:30:00Z", ""},
		{"the first that succeeded", `"absoluteCriteria":["FirstOfDay"]`, "2026-11-21T22:30:00Z", "2026-11-19T02:30:00Z", "it is the first of 2026-11-21"},
		{"Sunday begins the week", `"absoluteCriteria":["FirstOfWeek"]`, "2026-11-15T02:30:00Z", "2026-11-14T22:30:00Z", "it is the first of the week from Sunday 2026-11-15"},
		{"Monday does not", `"absoluteCriteria":["FirstOfWeek"]`, "2026-11-16T02:30:00Z", "2026-11-15T22:30:00Z", ""},
		{"Monday does if Sunday's failed", `"absoluteCriteria":["FirstOfWeek"]`, "2026-11-16T02:30:00Z", "2026-11-14T22:30:00Z", "it is the first of the week from Sunday 2026-11-15"},
		{"a week goes over the turn of the year", `"absoluteCriteria":["FirstOfWeek"]`, "2027-01-01T02:30:00Z", "2026-12-31T22:30:00Z", ""},
		{"the first of the month", `"absoluteCriteria":["FirstOfMonth"]`, "2026-12-03T02:30:00Z", "2026-11-30T22:30:00Z", "it is the first of December 2026"},
		{"the same month of another year", `"absoluteCriteria":["FirstOfMonth"]`, "2026-12-03T02:30:00Z", "2025-12-03T02:30:00Z", "it is the first of December 2026"},
		{"the first of the year", `"absoluteCriteria":["FirstOfYear"]`, "2027-01-01T02:30:00Z", "2026-12-31T22:30:00Z", "it is the first of 2027"},
		{"the second of the year", `"absoluteCriteria":["FirstOfYear"]`, "2026-12-31T02:30:00Z", "2026-01-01T02:30:00Z", ""},
		{"all", `"absoluteCriteria":["AllBackup"]`, "2026-11-21T06:30:00Z", "2026-11-21T02:30:00Z", "it is for all"},
		{"a weekday", `"daysOfTheWeek":["Saturday","Sunday"]`, "2026-11-21T06:30:00Z", "", "it is of a Saturday"},
		{"another weekday", `"daysOfTheWeek":["Sunday"]`, "2026-11-21T06:30:00Z", "", ""},
		{"the third Saturday", `"daysOfTheWeek":["Saturday"],"weeksOfTheMonth":["Third"]`, "2026-11-21T06:30:00Z", "", "it is of the Third Saturday of the month"},
		{"not the second Saturday", `"daysOfTheWeek":["Saturday"],"weeksOfTheMonth":["Second","Fourth"]`, "2026-11-21T06:30:00Z", "", ""},
		{"the last Saturday is the fourth", `"daysOfTheWeek":["Saturday"],"weeksOfTheMonth":["Last"]`, "2026-11-28T06:30:00Z", "", "it is of the last Saturday of the month"},
		{"the last Sunday is the fifth", `"daysOfTheWeek":["Sunday"],"weeksOfTheMonth":["Last"]`, "2026-11-29T06:30:00Z", "", "it is of the last Sunday of the month"},
		{"the fourth Sunday is not the last", `"daysOfTheWeek":["Sunday"],"weeksOfTheMonth":["Last"]`, "2026-11-22T06:30:00Z", "", ""},
		{"the fourth Tuesday is the last where the month ends on a Monday", `"daysOfTheWeek":["Tuesday"],"weeksOfTheMonth":["Last"]`, "2026-11-24T06:30:00Z", "", "it is of the last Tuesday of the month"},
		{"the fourth Monday is not", `"weeksOfTheMonth":["Last"]`, "2026-11-23T06:30:00Z", "", ""},
		{"a day of the month", `"daysOfMonth":[{"date":1},{"date":21,"isLast":false}]`, "2026-11-21T06:30:00Z", "", "it is of day 21 of the month"},
		{"the last day of November", `"daysOfMonth":[{"date":0,"isLast":true}]`, "2026-11-30T06:30:00Z", "", "it is of the last day of the month"},
		{"the last day of February in a leap year", `"daysOfMonth":[{"isLast":true}]`, "2028-02-29T06:30:00Z", "", "it is of the last day of the month"},
		{"not the last day", `"daysOfMonth":[{"isLast":true}]`, "2028-02-28T06:30:00Z", "", ""},
		{"a month", `"monthsOfYear":["november"]`, "2026-11-21T06:30:00Z", "", "it is of November"},
		{"another month", `"monthsOfYear":["December"]`, "2026-11-21T06:30:00Z", "", ""},
		{"a time of the schedule", `"scheduleTimes":["2026-01-31T02:30:00+00:00"]`, "2026-11-21T02:30:00Z", "", "it was scheduled for 02:30"},
		{"another time", `"scheduleTimes":["02:30"]`, "2026-11-21T06:30:00Z", "", ""},
		{"everything has to hold", `"absoluteCriteria":["FirstOfDay"],"daysOfTheWeek":["Saturday"],"monthsOfYear":["November"]`, "2026-11-21T02:30:00Z", "", "it is the first of 2026-11-21, it is of a Saturday, it is of November"},
		{"and does not", `"absoluteCriteria":["FirstOfDay"],"daysOfTheWeek":["Friday"]`, "2026-11-21T02:30:00Z", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse(t, body(hourly, "", []string{tag("Special", 10, tt.criterion)}, rule("Special", lifecycle("OperationalStore", "P30D"))))
			got := p.Choose(at(t, tt.at), at(t, tt.previous))
			want := Choice{Rule: p.Rules[1], Reason: "tag Default: no other tag is for it"}
			if tt.reason != "" {
				want = Choice{Rule: p.Rules[0], Reason: "tag Special: " + tt.reason}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("choice (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDaysBeginByTheClockOfThePolicy(t *testing.T) {
	p := mustParse(t, body(hourly, "Tokyo Standard Time", []string{tag("Daily", 10, `"absoluteCriteria":["FirstOfDay"],"scheduleTimes":["2026-01-01T18:30:00Z"]`)}, rule("Daily", lifecycle("OperationalStore", "P30D"))))
	// 18:30 in UTC is half past three of the next day in Tokyo.
	if got := p.Choose(at(t, "2026-11-21T18:30:00Z"), at(t, "2026-11-21T14:30:00Z")); got.Rule.Name != "Daily" || !strings.Contains(got.Reason, "the first of 2026-11-22, it was scheduled for 03:30") {
		t.Errorf("got %+v", got)
	}
	if got := p.Choose(at(t, "2026-11-21T22:30:00Z"), at(t, "2026-11-21T18:30:00Z")); got.Rule.Name != "Default" {
		t.Errorf("got %+v", got)
	}
}

// TestATimeOfTheDayHasOnePointEachDay goes through years with days on which the clock is put forward, so that what is scheduled for
// half past two is due at half past three and all that follows later too, or back, so that half past two comes twice. Such days are
// Sundays as a rule: a weekly tag must not be lost on them.
func TestATimeOfTheDayHasOnePointEachDay(t *testing.T) {
	for _, tt := range []struct{ zone, period, time string }{
		{"Europe/Berlin", "P1D", "02:30"},
		{"Europe/Berlin", "PT4H", "02:30"},
		{"Europe/Berlin", "PT4H", "06:30"},
		{"Europe/Berlin", "PT4H", "22:30"},
		{"Europe/Berlin", "PT1H", "02:30"},
		{"America/Santiago", "PT30M", "00:00"},
		{"Australia/Lord_Howe", "PT12H", "14:30"},
		{"UTC", "PT12H", "14:30"},
	} {
		p := mustParse(t, body("R/2024-01-01T02:30:00/"+tt.period, tt.zone, []string{tag("Special", 10, `"scheduleTimes":["`+tt.time+`"]`)}, rule("Special", lifecycle("OperationalStore", "P30D"))))
		slot, _ := p.Schedule.Next(time.Time{})
		last := slot
		for ; slot.Year() < 2027; slot, _ = p.Schedule.Next(slot) {
			if p.Choose(slot, time.Time{}).Rule.Name != "Special" {
				continue
			}
			if between := slot.Sub(last); last.YearDay() != 1 && (between < 20*time.Hour || between > 28*time.Hour) {
				t.Errorf("%s, each %s: of those with the tag of %s, %v follows %v", tt.zone, tt.period, tt.time, slot, last)
			}
			last = slot
		}
		if last.Month() != time.December {
			t.Errorf("%s, each %s: the last with the tag of %s is %v", tt.zone, tt.period, tt.time, last)
		}
	}
}

func TestTheDayOfATimeIsThatOfTheTime(t *testing.T) {
	p := mustParse(t, body("R/2024-01-01T02:30:00/PT4H", "Europe/Berlin", []string{tag("Weekly", 10, `"daysOfTheWeek":["Sunday"],"scheduleTimes":["22:30"]`)},
		rule("Weekly", lifecycle("OperationalStore", "P30D"))))
	// The clock was put back in the night to Sunday: what was due at 21:30 and at 01:30 stands around half past ten.
	if got := p.Choose(at(t, "2026-10-25T20:30:00Z"), time.Time{}); got.Rule.Name != "Default" {
		t.Errorf("before it: %+v", got)
	}
	if got := p.Choose(at(t, "2026-10-26T00:30:00Z"), time.Time{}); got.Rule.Name != "Weekly" || got.Reason != "tag Weekly: it is of a Sunday, it was scheduled for 22:30" {
		t.Errorf("after it: %+v", got)
	}
}

func TestATimeIsOfTheIntervalThatHasIt(t *testing.T) {
	// 2026-11-17 is a Tuesday.
	p := mustParse(t, strings.Replace(body("R/2026-11-17T02:30:00/P1W", "UTC", []string{tag("Special", 10, `"daysOfTheWeek":["Tuesday","Wednesday"],"scheduleTimes":["02:30"]`)},
		rule("Special", lifecycle("OperationalStore", "P30D"))), `/P1W"`, `/P1W","R/2026-11-17T14:30:00/P1D","R/2026-11-17T04:00:00/PT12H"`, 1))
	for slot := at(t, "2026-11-17T02:30:00Z"); slot.Month() < time.December; slot, _ = p.Schedule.Next(slot) {
		if got := p.Choose(slot, time.Time{}); got.Rule.Name == "Special" != (slot.Hour() == 2) {
			t.Errorf("%v: %+v", slot, got)
		}
	}
}

// TestEachPeriodHasOnePointOfItsRule compares with brute force: of all that succeeded in years, sorted by periods, the first of a year
// is the year's, the first of a month that is not is the month's, and so on.
func TestEachPeriodHasOnePointOfItsRule(t *testing.T) {
	var tags, rules []string
	names := []string{"Yearly", "Monthly", "Weekly", "Daily"}
	for i, first := range []string{"FirstOfYear", "FirstOfMonth", "FirstOfWeek", "FirstOfDay"} {
		tags = append(tags, tag(names[i], 10+i, `"absoluteCriteria":["`+first+`"]`))
		rules = append(rules, rule(names[i], lifecycle("OperationalStore", "P30D")))
	}
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/Santiago", "Pacific/Auckland"} {
		p := mustParse(t, body("R/2024-01-01T01:30:00+00:00/PT4H", zone, tags, rules...))
		random := rand.New(rand.NewPCG(6, uint64(len(zone)))) //nolint:gosec // The same times every time, and no secret in them.
		location, err := schedule.Zone(zone)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		first := func(key string) bool { defer func() { seen[key] = true }(); return !seen[key] }
		var previous time.Time
		for slot := at(t, "2024-01-01T01:30:00Z"); slot.Year() < 2029; slot, _ = p.Schedule.Next(slot) {
			if random.IntN(3) == 0 {
				continue // it failed
			}
			local := slot.In(location)
			// The Sunday before is found by walking, not by counting.
			sunday := local
			for sunday.Weekday() != time.Sunday {
				sunday = time.Date(sunday.Year(), sunday.Month(), sunday.Day()-1, 12, 0, 0, 0, location)
			}
			want := "Default"
			for i, key := range []string{local.Format("2006-01-02"), "w" + sunday.Format("2006-01-02"), local.Format("2006-01"), local.Format("2006")} {
				if first(key) {
					want = names[3-i]
				}
			}
			if got := p.Choose(slot, previous); got.Rule.Name != want {
				t.Fatalf("%s: %v after %v is %+v, want %s", zone, local, previous.In(location), got, want)
			}
			previous = slot
		}
	}
}

func TestTheRuleOfABackupOnDemand(t *testing.T) {
	p := mustParse(t, body(hourly, "", []string{tag("Daily", 10, `"absoluteCriteria":["FirstOfDay"]`)}, rule("Daily", lifecycle("OperationalStore", "P30D"))))
	p.Rules = slices.Insert(p.Rules, 1, Rule{Name: "Vault", Vault: &VaultCopy{When: AtOnce, Keep: period(t, "P90D")}})
	for _, tt := range []struct{ name, body, rule, want string }{
		{"no override", `{"backupRuleOptions":{"ruleName":"BackupHourly"}}`, "Default", ""},
		{"an empty override", `{"backupRuleOptions":{"ruleName":"backuphourly","triggerOption":{"retentionTagOverride":""}}}`, "Default", ""},
		{"a rule", `{"backupRuleOptions":{"ruleName":"BackupHourly","triggerOption":{"retentionTagOverride":"daily"}}}`, "Daily", ""},
		{"a rule without a tag, as vaults have them that were made before that was refused", `{"backupRuleOptions":{"ruleName":"BackupHourly","triggerOption":{"retentionTagOverride":"Vault"}}}`, "Vault", ""},
		{"a retention rule's name", `{"backupRuleOptions":{"ruleName":"Default"}}`, "", `backupRuleOptions.ruleName is "Default", which is a retention rule: it says how long to keep, and not what to run; write "BackupHourly" as ruleName, and "Default" as triggerOption.retentionTagOverride`},
		{"no rule's name", `{"backupRuleOptions":{"ruleName":"Hourly"}}`, "", `backupRuleOptions.ruleName is "Hourly", and the policy has no rule of that name; write "BackupHourly", the policy's backup rule, as ruleName`},
		{"no name", `{"backupRuleOptions":{"triggerOption":{"retentionTagOverride":"Daily"}}}`, "", `backupRuleOptions.ruleName is missing`},
		{"no tag's name", `{"backupRuleOptions":{"ruleName":"BackupHourly","triggerOption":{"retentionTagOverride":"Monthly"}}}`, "", `backupRuleOptions.triggerOption.retentionTagOverride is "Monthly", and the policy has no retention rule of that name; write one of Daily, Vault, Default`},
		{"nothing", `{}`, "", `backupRuleOptions is missing`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request, err := arm.Decode[arm.BackupRequest]([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.OnDemand(&request, "")
			if tt.want == "" {
				if err != nil || got.Rule.Name != tt.rule || got.Reason == "" {
					t.Errorf("OnDemand = %+v, %v", got, err)
				}
				return
			}
			if coffer.CodeOf(err) != coffer.CodeInvalidInput || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("OnDemand = %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := p.OnDemand(nil, "it"); err == nil {
		t.Error("no request is taken")
	}
}

func TestUntilWhenEachTierKeeps(t *testing.T) {
	for _, tt := range []struct{ name, rule, operational, copied, vault string }{
		{"the operational tier", rule("R", lifecycle("OperationalStore", "P30D")), "2026-03-02T12:00:00Z", "", ""},
		{"a month by the calendar", rule("R", lifecycle("OperationalStore", "P1M")), "2026-02-28T12:00:00Z", "", ""},
		{"a copy at once", rule("R", lifecycle("OperationalStore", "P7D", copyAfter(`"ImmediateCopyOption"`)), lifecycle("VaultStore", "P1Y")), "2026-02-07T12:00:00Z", "2026-01-31T12:00:00Z", "2027-01-31T12:00:00Z"},
		{"a copy after a delay", rule("R", lifecycle("OperationalStore", "P7D", copyAfter(`"CustomCopyOption","duration":"P2D"`)), lifecycle("VaultStore", "P10D")), "2026-02-07T12:00:00Z", "2026-02-02T12:00:00Z", "2026-02-12T12:00:00Z"},
		{"a copy on expiry", rule("R", lifecycle("OperationalStore", "P7D", copyAfter(`"CopyOnExpiryOption"`)), lifecycle("VaultStore", "P10D")), "2026-02-07T12:00:00Z", "2026-02-07T12:00:00Z", "2026-02-17T12:00:00Z"},
		{"the vault tier alone keeps the operational one as the default rule", rule("R", lifecycle("VaultStore", "P10Y")), "2026-02-07T12:00:00Z", "2026-01-31T12:00:00Z", "2036-01-31T12:00:00Z"},
		{"a vault tier that keeps shorter", rule("R", lifecycle("OperationalStore", "P30D"), lifecycle("VaultStore", "P1D")), "2026-03-02T12:00:00Z", "2026-01-31T12:00:00Z", "2026-02-01T12:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse(t, body(hourly, "Europe/Berlin", []string{tag("R", 10, `"absoluteCriteria":["FirstOfDay"]`)}, tt.rule))
			got := p.Keep(p.Rules[0], at(t, "2026-01-31T12:00:00Z"))
			want := Kept{Operational: at(t, tt.operational)}
			if tt.vault != "" {
				want.Vault = &KeptVault{Copy: at(t, tt.copied), Expires: at(t, tt.vault)}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if end := got.Expires(); end.Before(got.Operational) || got.Vault != nil && end.Before(got.Vault.Expires) {
				t.Errorf("expires %v", end)
			}
		})
	}
}
