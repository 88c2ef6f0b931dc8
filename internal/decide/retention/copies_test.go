package retention

import (
	"strings"
	"testing"
	"time"
)

func TestOneOfADayIsCopiedToTheVaultTier(t *testing.T) {
	p := mustParse(t, body("R/2026-01-01T02:30:00/PT6H", "Europe/Berlin", []string{tag("All", 10, `"absoluteCriteria":["AllBackup"]`)},
		rule("All", lifecycle("OperationalStore", "P7D", copyAfter(`"ImmediateCopyOption"`)), lifecycle("VaultStore", "P60D"))))
	if !p.Copies() || mustParse(t, body(hourly, "", nil)).Copies() {
		t.Error("which policies copy")
	}
	// Of a day each letter is a backup, at 02:30, 08:30, ... by the clock of Berlin: good, partial, by hand, failed, or left out by the vault
	// tier if it is small.
	for _, tt := range []struct{ name, made, want string }{
		{"all are good", "gggg gggg", "G... G..."},
		{"the first has failed", "-ggg", "-G.."},
		{"a partial one comes first", "pggg", "PG.."},
		{"all are partial", "pppp p", "P... P"},
		{"a partial one after the good one", "gpgp", "G..."},
		{"by hand takes no place and needs none", "hghg", "HGH."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var points []Point
			got := ""
			for i, made := range strings.Split(tt.made, "") {
				slot := at(t, "2026-11-21T01:30:00Z").Add(6 * time.Hour * time.Duration(i-strings.Count(tt.made[:i], " ")))
				point := Point{Name: slot.Format(time.RFC3339), Taken: slot, Slot: slot, Good: made != "p"}
				switch made {
				case " ", "-":
					got += made
					continue
				case "h":
					point.Slot = time.Time{}
					points = append(points, p.Promise(point, Choice{Rule: p.Rules[0], Reason: "it was asked for"}, time.Time{}))
				default:
					points = append(points, p.Promise(point, p.Choose(slot, time.Time{}), PreviousCopy(points, slot, point.Good)))
				}
				last := points[len(points)-1]
				letter := strings.ToUpper(made)
				if last.CopyDue().IsZero() {
					letter = "."
				}
				got += letter
				if last.CopyDue().IsZero() != strings.HasSuffix(last.Reason, onceADay) || last.CopyDue().IsZero() != last.Vault.Expires.IsZero() {
					t.Errorf("%+v", last)
				}
			}
			if got != tt.want {
				t.Errorf("copied: %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRunsTellWhichIsCopied(t *testing.T) {
	p := mustParse(t, strings.Replace(body("R/2026-01-01T02:30:00Z/PT12H", "", nil), `"targetDataStoreCopySettings":[]}]}`, `"targetDataStoreCopySettings":[`+copyAfter(`"CopyOnExpiryOption"`)+`]},`+lifecycle("VaultStore", "P9D")+`]}`, 1))
	history, err := p.History([]time.Time{at(t, "2026-11-21T02:30:00Z")}, at(t, "2026-11-21T12:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	runs, err := p.Runs(history, at(t, "2026-11-21T12:00:00Z"), 3)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, r := range runs {
		got += r.Slot.Format("02T15") + map[bool]string{true: " copied until " + r.Kept.Expires().Format("01-02"), false: " until " + r.Kept.Expires().Format("01-02")}[r.Kept.Vault != nil] + ", "
	}
	if want := "21T14 until 11-28, 22T02 copied until 12-08, 22T14 until 11-29, "; got != want {
		t.Errorf("runs: %s, want %s", got, want)
	}
}

func TestWhenACopyIsDue(t *testing.T) {
	for _, tt := range []struct {
		name  string
		point Point
		want  int // days from now; 99 is never
		late  bool
	}{
		{"none is wanted", operational(t, "a", -1, 6), 99, false},
		{"at once", operational(t, "a", -1, 6, wanted(t, -1, 90)), -1, false},
		{"later than the operational tier keeps it", operational(t, "a", -1, 6, wanted(t, 9, 90)), 6, false},
		{"it is there", operational(t, "a", -1, 6, copied(t, -1, 90)), 99, false},
		{"it is there no more", operational(t, "a", -1, 6, copied(t, -1, 90), func(p *Point) { p.Vault.Present = false }), 99, false},
		{"the operational tier has let go of it", operational(t, "a", -1, 6, wanted(t, -1, 90), gone), 99, false},
		{"its time is up in both", operational(t, "a", -90, -80, wanted(t, -90, 0)), -90, true},
		{"for ever", operational(t, "a", -90, -80, wanted(t, -90, 0), func(p *Point) { p.Vault.Expires = time.Time{} }), -90, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := days(t, tt.want)
			if tt.want == 99 {
				want = time.Time{}
			}
			if got := tt.point.CopyDue(); !got.Equal(want) || tt.point.TooLate(days(t, 0)) != tt.late {
				t.Errorf("due %v, want %v; too late %v", got, want, tt.point.TooLate(days(t, 0)))
			}
		})
	}
}

func TestAChangeOfThePolicyCopiesNothingTwice(t *testing.T) {
	p := mustParse(t, body("R/2026-01-01T00:00:00Z/PT12H", "", []string{tag("All", 10, `"absoluteCriteria":["AllBackup"]`)},
		rule("All", lifecycle("OperationalStore", "P7D", copyAfter(`"ImmediateCopyOption"`)), lifecycle("VaultStore", "P60D"))))
	noon := func(p *Point) { p.Slot = p.Slot.Add(-12 * time.Hour) } // their slots are at midnight of the same day
	was := operational(t, "was there", -3, 20, copied(t, -3, -1), func(p *Point) { p.Vault.Present = false })
	there := operational(t, "there", -2, 20, copied(t, -2, 20))
	got := p.Adopted([]Point{
		was, operational(t, "of its day", -3, 20, noon), there, operational(t, "of that day", -2, 20, noon), operational(t, "new", -1, 20), operational(t, "of the same day", -1, 20, noon),
	}, false)
	words := ""
	for _, p := range got {
		words += p.Name + map[bool]string{true: " is to be copied, ", false: ", "}[!p.CopyDue().IsZero()]
	}
	if want := "was there, of its day, there, of that day, new, of the same day is to be copied, "; words != want {
		t.Errorf("got %s, want %s", words, want)
	}
	if !got[0].Vault.Since.Equal(was.Vault.Since) || !got[2].Vault.Expires.Equal(there.Vault.Since.AddDate(0, 0, 60)) {
		t.Errorf("%+v, %+v", got[0], got[2])
	}
	// What lies in the catalogue says so too.
	shown := got[0].Promised()
	if shown.Copied == nil || !shown.Copied.Equal(was.Vault.Since) || shown.CopyAfter != nil {
		t.Errorf("shown: %+v", shown)
	}
}
