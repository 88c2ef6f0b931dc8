package retention

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// withOptions is a policy with what Azure has no word for.
func withOptions(interval, zone, options string) string {
	return strings.Replace(body(interval, zone, nil), `"objectType":"BackupPolicy",`, `"objectType":"BackupPolicy","coffer":`+options+`,`, 1)
}

const christmas = `{"start":"R/2026-12-24T00:00:00/P1Y","duration":"P3D"}`

func TestWhatAzureHasNoWordForIsRead(t *testing.T) {
	p := mustParse(t, withOptions("R/2026-01-01T02:30:00/P1D", "Europe/Berlin", `{"exclusionWindows":[`+christmas+`,{"start":"R/2026-01-05T08:00:00+01:00/P1D","duration":"PT9H30M"}],
		"SPREAD":"PT5M","keepAtLeast":3,"recoveryPointObjective":"PT26H","existingRecoveryPoints":"adopt"}`))
	if p.Spread != 5*time.Minute || p.KeepAtLeast != 3 || !p.Adopt || p.Objective == nil || *p.Objective != period(t, "PT26H") || len(p.Windows) != 2 {
		t.Fatalf("got %+v", p)
	}
	if start, want := p.Windows[0].Start.Start, time.Date(2026, 12, 23, 23, 0, 0, 0, time.UTC); !start.Equal(want) || p.Windows[0].For != period(t, "P3D") {
		t.Errorf("the first window begins at %v and lasts %+v: Christmas begins at midnight in Berlin", start, p.Windows[0].For)
	}
	next, ok := p.Timetable().Next(time.Date(2026, 12, 23, 12, 0, 0, 0, time.UTC))
	if want := time.Date(2026, 12, 27, 1, 30, 0, 0, time.UTC); !ok || !next.Equal(want) {
		t.Errorf("before Christmas the next slot is %v, want %v", next, want)
	}
}

func TestThePolicyOfTheGuideIsOne(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/guide/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(guide), "```json\n")
	text, _, found := strings.Cut(text, "```")
	if !found {
		t.Fatal("the guide has no example")
	}
	p := mustParse(t, text)
	if err := p.CheckFuture(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), "properties"); err != nil || len(p.Windows) != 2 || p.Spread != 10*time.Minute {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestThePolicyOfTheReferenceIsOne(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec/backup-policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```json\n")
	text, _, found := strings.Cut(text, "```")
	if !found {
		t.Fatal("the page has no example")
	}
	p := mustParse(t, `{"properties":`+text+`}`)
	if monthly, _ := p.Rule("Monthly"); len(p.Tags) != 3 || len(p.Rules) != 3 || monthly.Vault == nil || monthly.Vault.When != AtOnce {
		t.Errorf("got %+v", p)
	}
}

func TestAPolicySaysWhatItLeavesOut(t *testing.T) {
	for _, text := range []string{body(hourly, "", nil), withOptions(hourly, "", `null`), withOptions(hourly, "", `{}`), withOptions(hourly, "", `{"exclusionWindows":null,"spread":null,"keepAtLeast":null,"existingRecoveryPoints":"Keep"}`)} {
		p := mustParse(t, text)
		if p.Spread != schedule.DefaultSpread || p.KeepAtLeast != 0 || p.Adopt || p.Objective != nil || p.Windows != nil {
			t.Errorf("%s: %+v", text, p)
		}
	}
	if p := mustParse(t, withOptions(hourly, "", `{"spread":"PT0S"}`)); p.Spread != 0 {
		t.Errorf("no spread is %v", p.Spread)
	}
	if p := mustParse(t, withOptions(hourly, "", `{"spread":"PT2H"}`)); p.Spread != 2*time.Hour {
		t.Errorf("half of an interval is %v", p.Spread)
	}
}

func TestOptionsThatMeanNothingAreRefused(t *testing.T) {
	window := func(start, duration string) string {
		return fmt.Sprintf(`{"exclusionWindows":[%s,{"start":%q,"duration":%q}]}`, christmas, start, duration)
	}
	const second = "properties.coffer.exclusionWindows[1]"
	for _, tt := range []struct{ name, options, path, want string }{
		{"a window without a start", `{"exclusionWindows":[{"duration":"P3D"}]}`, "properties.coffer.exclusionWindows[0].start", "is missing"},
		{"a window without a duration", `{"exclusionWindows":[` + christmas + `,{"start":"R/2026-12-24T00:00:00/P1Y"}]}`, second + ".duration", "is missing"},
		{"a window that is nothing", `{"exclusionWindows":[` + christmas + `,null]}`, second + ".start", "is missing"},
		{"a window that comes once", window("2026-12-24T00:00:00", "P3D"), second + ".start", "it has three parts"},
		{"a window from no time on", window("R/P1D", "PT3H"), second + ".start", "it has no start"},
		{"a window of a day of no month", window("R/2026-02-30T00:00:00/P1D", "PT3H"), second + ".start", "is not a time such as"},
		{"a window every P0D", window("R/2026-12-24T00:00:00/P0D", "PT3H"), second + ".start", "it is of no length"},
		{"a window every minute", window("R/2026-12-24T00:00:00/PT1M", "PT30S"), second + ".start", "shorter than 5 minutes"},
		{"a window every eleven years", window("R/2026-12-24T00:00:00/P11Y", "P1D"), second + ".start", "longer than ten years"},
		{"a window of P0D", window("R/2026-12-24T00:00:00/P1Y", "P0D"), second + ".duration", "it is of no length"},
		{"a window of less than nothing", window("R/2026-12-24T00:00:00/P1Y", "-P1D"), second + ".duration", "is not an ISO-8601 duration"},
		{"a window of minus one day", window("R/2026-12-24T00:00:00/P1Y", "P-1D"), second + ".duration", "is not an ISO-8601 duration"},
		{"a window of half a day", window("R/2026-12-24T00:00:00/P1Y", "P0.5D"), second + ".duration", "its numbers are whole"},
		{"a window as long as its period", window("R/2026-12-24T00:00:00/P1D", "PT24H"), second + ".duration", "no backup would ever be begun"},
		{"a window longer than its period", window("R/2026-12-24T00:00:00/PT5M", "PT6M"), second + ".duration", "no backup would ever be begun"},
		{"a window of years", window("R/2026-12-24T00:00:00/P1Y", "P3Y"), second + ".duration", "no backup would ever be begun"},
		{"a window of a year in days", window("R/2026-12-24T00:00:00/P1Y", "P365D"), second + ".duration", "no backup would ever be begun"},
		{"a window of a thousand years", window("R/2026-12-24T00:00:00/P10Y", "P1001Y"), second + ".duration", "longer than a thousand years"},
		{"a window twice", `{"exclusionWindows":[` + christmas + `,` + christmas + `]}`, second, "is the same as exclusionWindows[0]"},
		{"a window twice in other words", window("R5/2026-12-24T00:00:00+00:00/P12M", "P3D"), second, "is the same as exclusionWindows[0]"},
		{"windows without end", `{"exclusionWindows":[` + strings.Repeat(christmas+",", arm.MaxWindows) + christmas + `]}`, "properties.coffer.exclusionWindows", "at most 20 are possible"},
		{"a spread longer than half of the interval", `{"spread":"PT2H1S"}`, "properties.coffer.spread", "half of the shortest interval"},
		{"a spread of a month", `{"spread":"P1M"}`, "properties.coffer.spread", "half of the shortest interval"},
		{"a spread of centuries", `{"spread":"P999Y"}`, "properties.coffer.spread", "half of the shortest interval"},
		{"a spread of P0D", `{"spread":"P0D"}`, "properties.coffer.spread", "it is of no length"},
		{"a spread that is no duration", `{"spread":"5m"}`, "properties.coffer.spread", "is not an ISO-8601 duration"},
		{"none is kept", `{"keepAtLeast":0}`, "properties.coffer.keepAtLeast", "is 0"},
		{"fewer than none are kept", `{"keepAtLeast":-1}`, "properties.coffer.keepAtLeast", "is -1"},
		{"too many are kept", `{"keepAtLeast":101}`, "properties.coffer.keepAtLeast", "is 101"},
		{"an objective of nothing", `{"recoveryPointObjective":"PT0S"}`, "properties.coffer.recoveryPointObjective", "it is of no length"},
		{"an objective that is no duration", `{"recoveryPointObjective":"26h"}`, "properties.coffer.recoveryPointObjective", "is not an ISO-8601 duration"},
		{"an objective that is never met", `{"recoveryPointObjective":"PT3H59M"}`, "properties.coffer.recoveryPointObjective", "would be missed every time"},
		{"a word that is none", `{"existingRecoveryPoints":"Delete"}`, "properties.coffer.existingRecoveryPoints", "expected Keep or Adopt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, withOptions(hourly, "", tt.options))
			fields := coffer.RefusedFields(err)
			if !slices.ContainsFunc(fields, func(f coffer.RefusedField) bool { return f.Path == tt.path && strings.Contains(f.Reason, tt.want) }) {
				t.Errorf("got %v: %+v, want %s: %s", err, fields, tt.path, tt.want)
			}
			if coffer.CodeOf(err) != coffer.CodeInvalidInput || len(fields) > 2 {
				t.Errorf("%s: %+v", coffer.CodeOf(err), fields)
			}
		})
	}
}

func TestOptionsThatCannotBeReadAreRefused(t *testing.T) {
	for options, want := range map[string]string{
		`{"spreads":"PT5M"}`: "properties.coffer.spreads is not a field that is known here: expected exclusionWindows, spread, keepAtLeast, recoveryPointObjective or existingRecoveryPoints",
		`{"exclusionWindows":[{"start":"x","for":"P1D"}]}`:    "properties.coffer.exclusionWindows[0].for is not a field that is known here: expected start or duration",
		`{"exclusionWindows":{"start":"x","duration":"P1D"}}`: "properties.coffer.exclusionWindows is an object: expected an array",
		`{"keepAtLeast":1.5}`:                                 "properties.coffer.keepAtLeast is 1.5: expected a whole number",
		`{"keepAtLeast":"3"}`:                                 "properties.coffer.keepAtLeast is a string: expected a whole number",
		`{"spread":300}`:                                      "properties.coffer.spread is a number: expected a string",
		`[]`:                                                  "properties.coffer is an array: expected an object",
	} {
		if _, err := arm.Decode[arm.PolicyResource]([]byte(withOptions(hourly, "", options))); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", options, err, want)
		}
	}
}

func TestAnObjectiveIsMeasuredByTheShortestInterval(t *testing.T) {
	text := strings.Replace(withOptions("R/2026-01-01T00:00:00Z/P1W", "", `{"recoveryPointObjective":"PT5H"}`), `"R/2026-01-01T00:00:00Z/P1W"`, `"R/2026-01-01T00:00:00Z/P1W","`+hourly+`"`, 1)
	if p := mustParse(t, text); *p.Objective != period(t, "PT5H") {
		t.Errorf("got %+v", p.Objective)
	}
}

func TestAPolicyThatWouldNeverBackUpIsRefused(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	nightly := `{"start":"R/2026-01-01T01:00:00/P1D","duration":"PT3H"}`
	for _, tt := range []struct {
		name, zone, interval, options string
		never                         bool
	}{
		{"all slots in a window", "Europe/Berlin", "R/2026-01-01T02:30:00/P1D", `{"exclusionWindows":[` + nightly + `]}`, true},
		{"all slots in two windows", "UTC", "R/2026-01-01T02:30:00/PT12H", `{"exclusionWindows":[` + nightly + `,{"start":"R/2026-01-01T14:30:00/P1D","duration":"PT1S"}]}`, true},
		{"the day on which the clock is changed has another slot", "Europe/Berlin", "R/2026-01-01T02:30:00/PT12H", `{"exclusionWindows":[` + nightly + `,{"start":"R/2026-01-01T14:30:00/P1D","duration":"PT1S"}]}`, false},
		{"one of two slots is left", "Europe/Berlin", "R/2026-01-01T02:30:00/PT12H", `{"exclusionWindows":[` + nightly + `]}`, false},
		{"a slot at the end of the window", "Europe/Berlin", "R/2026-01-01T04:00:00/P1D", `{"exclusionWindows":[` + nightly + `]}`, false},
		{"windows that begin next year", "Europe/Berlin", "R/2026-01-01T02:30:00/P1D", `{"exclusionWindows":[{"start":"R/2027-01-01T01:00:00/P1D","duration":"PT3H"}]}`, false},
		{"a slot once in four years", "Europe/Berlin", "R/2024-02-29T00:00:00/P1D", `{"exclusionWindows":[{"start":"R/2024-03-01T00:00:00/P4Y","duration":"P1460D"}]}`, false},
		{"for backups on demand alone", "Europe/Berlin", "R/2199-01-01T00:00:00/P10Y", `{}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := mustParse(t, withOptions(tt.interval, tt.zone, tt.options)).CheckFuture(now, "properties")
			if (err != nil) != tt.never {
				t.Fatalf("CheckFuture = %v", err)
			}
			if !tt.never {
				return
			}
			if fields := coffer.RefusedFields(err); coffer.CodeOf(err) != coffer.CodeInvalidInput || len(fields) != 1 || fields[0].Path != "properties.coffer.exclusionWindows" ||
				!strings.Contains(err.Error(), "the policy would never back up") {
				t.Errorf("got %v: %+v", err, fields)
			}
		})
	}
}

func TestTestsMayHavePoliciesByTheMinute(t *testing.T) {
	text := strings.ReplaceAll(withOptions("R/2026-01-01T00:00:00Z/PT1M", "", `{"spread":"PT30S","exclusionWindows":[{"start":"R/2026-01-01T00:00:00Z/PT3M","duration":"PT1M"}]}`), `"P7D"`, `"PT2M"`)
	resource, err := arm.Decode[arm.PolicyResource]([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(resource.Properties, "properties", Minutes())
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	if next, ok := p.Timetable().Next(from); !ok || !next.Equal(from.Add(time.Minute)) {
		t.Errorf("after %v comes %v", from, next)
	}
	if kept := p.Keep(p.Default(), from); !kept.Operational.Equal(from.Add(2 * time.Minute)) {
		t.Errorf("kept until %v", kept.Operational)
	}
	_, err = Parse(resource.Properties, "properties", Limits{})
	if fields := coffer.RefusedFields(err); len(fields) != 3 {
		t.Errorf("a vault takes it: %v", err)
	}
	for old, shorter := range map[string]string{"Z/PT1M": "Z/PT59S", `"PT2M"`: `"PT59S"`} {
		if resource, err = arm.Decode[arm.PolicyResource]([]byte(strings.Replace(text, old, shorter, 1))); err != nil {
			t.Fatal(err)
		}
		if _, err = Parse(resource.Properties, "properties", Minutes()); err == nil {
			t.Errorf("%s: is shorter than tests need", shorter)
		}
	}
}
