package retention

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestThePoliciesOfAKSBackup follows the policies that AKS Backup's pages and presets have, by how many recovery points of each rule there are
// at the end of a day years on.
func TestThePoliciesOfAKSBackup(t *testing.T) {
	first := func(period string) string { return `"absoluteCriteria":["FirstOf` + period + `"]` }
	at4 := "R/2024-01-01T00:00:00+00:00/PT4H"
	keepDefault := func(text, period string) string {
		return strings.Replace(text, `"duration":"P7D"`, `"duration":"`+period+`"`, 1)
	}
	for _, tt := range []struct {
		name, body string
		want       map[string]string // by rule: how many in the operational tier, in the vault tier
	}{
		{"the template: each four hours for a week", body("R/2023-01-04T09:00:00+00:00/PT4H", "", nil), map[string]string{"Default": "42 0"}},
		{"preset Week", body("R/2024-01-01T00:00:00+00:00/P1D", "", nil), map[string]string{"Default": "7 0"}},
		{"preset Month", keepDefault(body("R/2024-01-01T00:00:00+00:00/P1D", "", nil), "P30D"), map[string]string{"Default": "30 0"}},
		{
			"preset DisasterRecovery: the vault tier's rule has no operational lifecycle, which is the default one's",
			body("R/2024-01-01T00:00:00+00:00/P1D", "", []string{tag("Vault", 50, first("Day"))}, rule("Vault", lifecycle("VaultStore", "P90D"))),
			map[string]string{"Vault": "7 90"},
		},
		{
			"the pages' form: an operational lifecycle with a copy, and the vault tier's",
			body(at4, "", []string{tag("Daily", 25, first("Day"))}, rule("Daily", lifecycle("OperationalStore", "P7D", copyAfter(`"ImmediateCopyOption"`)), lifecycle("VaultStore", "P84D"))),
			map[string]string{"Default": "35 0", "Daily": "7 84"},
		},
		{
			"the copy on expiry",
			body(at4, "", []string{tag("Daily", 25, first("Day"))}, rule("Daily", lifecycle("OperationalStore", "P7D", copyAfter(`"CopyOnExpiryOption"`)), lifecycle("VaultStore", "P30D"))),
			map[string]string{"Default": "35 0", "Daily": "8 30"}, // and the operational one of the newest copy
		},
		{
			"the copy after a delay",
			body(at4, "", []string{tag("Daily", 25, first("Day"))}, rule("Daily", lifecycle("OperationalStore", "P7D", copyAfter(`"CustomCopyOption","duration":"P2D"`)), lifecycle("VaultStore", "P30D"))),
			map[string]string{"Default": "35 0", "Daily": "7 30"},
		},
		{
			"one copy a day of what is wanted six times",
			body(at4, "", []string{tag("All", 25, `"absoluteCriteria":["AllBackup"]`)}, rule("All", lifecycle("OperationalStore", "P7D", copyAfter(`"ImmediateCopyOption"`)), lifecycle("VaultStore", "P30D"))),
			map[string]string{"All": "42 30"},
		},
		{"first of the week", body(at4, "", []string{tag("Weekly", 20, first("Week"))}, rule("Weekly", lifecycle("OperationalStore", "P28D"))), map[string]string{"Default": "41 0", "Weekly": "4 0"}},
		{"first of the month", body(at4, "", []string{tag("Monthly", 15, first("Month"))}, rule("Monthly", lifecycle("OperationalStore", "P360D"))), map[string]string{"Default": "42 0", "Monthly": "12 0"}},
		{"first of the year", body(at4, "", []string{tag("Yearly", 10, first("Year"))}, rule("Yearly", lifecycle("VaultStore", "P10Y"))), map[string]string{"Default": "42 0", "Yearly": "1 5"}},
		{"all backups", body(at4, "", []string{tag("All", 10, `"absoluteCriteria":["AllBackup"]`)}, rule("All", lifecycle("OperationalStore", "P10D"))), map[string]string{"All": "60 0"}},
		{
			"the first Sunday of January, May and September", body(at4, "", []string{tag("Some", 10, `"daysOfTheWeek":["Sunday"],"weeksOfTheMonth":["First"],"monthsOfYear":["January","May","September"],"absoluteCriteria":["FirstOfDay"]`)},
				rule("Some", lifecycle("OperationalStore", "P360D"))), map[string]string{"Default": "42 0", "Some": "3 0"},
		},
		{
			"the last day of the month, at noon", body(at4, "", []string{tag("Last", 10, `"daysOfMonth":[{"date":0,"isLast":true}],"scheduleTimes":["2024-01-01T12:00:00Z"]`)},
				rule("Last", lifecycle("OperationalStore", "P180D"))), map[string]string{"Default": "42 0", "Last": "6 0"},
		},
		{
			"yearly before monthly before weekly before daily", body(at4, "", []string{tag("Yearly", 10, first("Year")), tag("Monthly", 15, first("Month")), tag("Weekly", 20, first("Week")), tag("Daily", 25, first("Day"))},
				rule("Yearly", lifecycle("VaultStore", "P10Y")), rule("Monthly", lifecycle("OperationalStore", "P360D")), rule("Weekly", lifecycle("OperationalStore", "P12W")), rule("Daily", lifecycle("OperationalStore", "P30D"))),
			// Of twelve months January is the year's; of twelve Sundays one is the first of October, and the month's; of thirty days four are Sundays and one a first.
			map[string]string{"Default": "35 0", "Daily": "25 0", "Weekly": "11 0", "Monthly": "11 0", "Yearly": "1 5"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse(t, tt.body)
			got, err := p.Days(nil, at(t, "2024-01-01T00:00:00Z"), []time.Time{at(t, "2028-11-21T00:00:00Z")}, Terms{})
			if err != nil {
				t.Fatal(err)
			}
			operational, vault := map[string]int{}, map[string]int{}
			for _, s := range got[0].Points {
				if s.Operational.Present {
					operational[s.Rule]++
				}
				if s.Vault.Present {
					vault[s.Rule]++
				}
			}
			counts := map[string]string{}
			for _, r := range p.Rules {
				if o, v := operational[r.Name], vault[r.Name]; o+v > 0 {
					counts[r.Name] = fmt.Sprintf("%d %d", o, v)
				}
			}
			if diff := cmp.Diff(tt.want, counts); diff != "" {
				t.Errorf("recovery points by rule: operational tier, vault tier (-want +got):\n%s", diff)
			}
		})
	}
}
