package arm

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/meter"
)

// meterDays is how many days are shown if nothing else is asked for, the current one included.
const meterDays = 31

// meterRoutes are those of what vaults take up.
func (s *Server) meterRoutes() []route {
	return []route{{
		method: http.MethodGet, kind: "Coffer.Backup/meter", on: onRest, below: []string{typeVault}, action: access.ActionMeterRead, handle: s.listMeter,
		query: []string{"from", "to"},
	}}
}

// listMeter lists what the instances of a vault took up day by day, the earliest first. Days that were not measured have a row that says so.
func (s *Server) listMeter(ctx context.Context, r request) (answer, error) {
	q, err := s.meterQuery(r)
	if err != nil {
		return answer{}, err
	}
	found, err := s.Keeper.Readings(ctx, q)
	if err != nil {
		return answer{}, err
	}
	page := itemPage[arm.MeterReading]{Value: []arm.MeterReading{}}
	if found.More != nil {
		page.NextLink = nextLink(r, cursor(found.More.Day, string(found.More.Instance)))
	}
	gaps := found.Gaps
	for _, reading := range found.Readings {
		for len(gaps) > 0 && gaps[0].From.Before(reading.Day) {
			page.Value, gaps = append(page.Value, shownGap(gaps[0])), gaps[1:]
		}
		page.Value = append(page.Value, arm.MeterReading{
			Day: reading.Day.Format(time.DateOnly), Measured: true, BackupInstanceID: string(reading.Instance), Namespaces: reading.Namespaces, RecoveryPoints: reading.Points,
			SnapshotBytes: reading.SnapshotBytes, ArchiveBytes: reading.ArchiveBytes, VaultBytes: reading.VaultBytes, Redundancy: arm.Word(reading.Redundancy),
		})
	}
	for _, gap := range gaps {
		page.Value = append(page.Value, shownGap(gap))
	}
	return answer{status: http.StatusOK, body: page}, nil
}

func shownGap(gap meter.Span) arm.MeterReading {
	shown := arm.MeterReading{Day: gap.From.Format(time.DateOnly)}
	if gap.To.After(gap.From) {
		shown.Through = gap.To.Format(time.DateOnly)
	}
	return shown
}

func (s *Server) meterQuery(r request) (q catalogue.ReadingQuery, err error) {
	q.Vault = r.target.ID
	var text string
	if q.Limit, text, err = paging(r.http.URL.Query()); err != nil {
		return q, err
	}
	if text != "" {
		at, id, _ := strings.Cut(text, " ")
		day, err := time.Parse(time.RFC3339Nano, at)
		if err != nil || id == "" {
			return q, coffer.Errorf(coffer.CodeInvalidInput, "the $skipToken is not one of this server's").WithHint("follow nextLink as it is")
		}
		q.After = &catalogue.Reading{Day: day, Instance: catalogue.ID(id)}
	}
	if q.To, err = date(r, "to", time.Time{}); err != nil {
		return q, err
	}
	last := q.To
	if last.IsZero() {
		last = meter.Day(s.Keeper.Now())
	}
	if q.From, err = date(r, "from", last.AddDate(0, 0, 1-meterDays)); err == nil && last.Before(q.From) {
		err = coffer.Errorf(coffer.CodeInvalidInput, "from is %s, which is after %s", q.From.Format(time.DateOnly), last.Format(time.DateOnly)).
			WithHint("name the first day with from, and the last with to")
	}
	return q, err
}

// date reads a parameter that is a day.
func date(r request, name string, otherwise time.Time) (time.Time, error) {
	text := r.http.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return day, coffer.Errorf(coffer.CodeInvalidInput, "%s is %.30q: write a day such as 2026-11-22", name, text)
	}
	return day, nil
}
