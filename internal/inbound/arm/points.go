package arm

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	typeInstance = "Microsoft.DataProtection/backupVaults/backupInstances"
	typePoint    = typeInstance + "/recoveryPoints"
	typeJob      = "Microsoft.DataProtection/backupVaults/backupJobs"
)

// recordRoutes are those of recovery points and jobs, which are made by runs and read by clients.
func (s *Server) recordRoutes() []route {
	return []route{
		{method: http.MethodGet, kind: typePoint, action: typePoint + "/read", handle: s.getPoint},
		{method: http.MethodGet, kind: typePoint, on: onRest, below: []string{typeInstance}, action: typePoint + "/read", handle: s.listPoints},
		{method: http.MethodGet, kind: typeJob, action: typeJob + "/read", handle: s.getJob},
		{method: http.MethodGet, kind: typeJob, on: onRest, below: []string{"Microsoft.DataProtection/backupVaults"}, action: typeJob + "/read", handle: s.listJobs},
	}
}

// record is a recovery point or a job as it is shown.
type record struct {
	ID         catalogue.ID    `json:"id"`
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Properties json.RawMessage `json:"properties"`
}

func shownPoint(p catalogue.Point) record {
	id := p.Instance.Child("recoveryPoints", p.Name)
	return record{ID: id, Name: p.Name, Type: id.Type(), Properties: vault.PointProperties(p)}
}

func shownJob(j catalogue.Job) record {
	id := j.Vault.Child("backupJobs", j.Name)
	return record{ID: id, Name: j.Name, Type: id.Type(), Properties: j.Body}
}

func (s *Server) getPoint(ctx context.Context, r request) (answer, error) {
	p, err := s.Keeper.PointKept(ctx, r.target.ID.Parent(), r.target.ID.Name())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: shownPoint(p)}, nil
}

func (s *Server) getJob(ctx context.Context, r request) (answer, error) {
	j, err := s.Keeper.Job(ctx, r.target.ID.Parent(), r.target.ID.Name())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: shownJob(j)}, nil
}

func (s *Server) listPoints(ctx context.Context, r request) (answer, error) {
	q := catalogue.PointQuery{Instance: r.target.ID}
	var err error
	if q.Limit, q.After, err = pagingByTime(r); err != nil {
		return answer{}, err
	}
	fields, err := parseFilter(r.http.URL.Query().Get("$filter"), "startDate", "endDate")
	if err == nil {
		q.From, q.To, err = between(fields, "startDate", "endDate")
	}
	if err != nil {
		return answer{}, err
	}
	q.Limit++ // One more says whether there is another page.
	found, err := s.Keeper.Points(ctx, q)
	if err != nil {
		return answer{}, err
	}
	return recordPage(r, found, q.Limit-1, shownPoint, func(p catalogue.Point) string { return cursor(p.Time, p.Name) }), nil
}

func (s *Server) listJobs(ctx context.Context, r request) (answer, error) {
	q := catalogue.JobQuery{Vault: r.target.ID}
	var err error
	if q.Limit, q.After, err = pagingByTime(r); err != nil {
		return answer{}, err
	}
	fields, err := parseFilter(r.http.URL.Query().Get("$filter"), "startTime", "endTime", "status", "operation", "backupInstanceId")
	if err == nil {
		q.From, q.To, err = between(fields, "startTime", "endTime")
	}
	if err == nil && fields["backupInstanceId"] != "" {
		q.Instance, err = catalogue.ParseID(fields["backupInstanceId"])
	}
	if err != nil {
		return answer{}, err
	}
	q.Status, q.Operation = fields["status"], fields["operation"]
	q.Limit++ // One more says whether there is another page.
	found, err := s.Keeper.Jobs(ctx, q)
	if err != nil {
		return answer{}, err
	}
	return recordPage(r, found, q.Limit-1, shownJob, func(j catalogue.Job) string { return cursor(j.Started, j.Name) }), nil
}

// recordPage shows what was found, up to limit of it.
func recordPage[T any](r request, found []T, limit int, shown func(T) record, place func(T) string) answer {
	found, after := upTo(found, limit, place)
	records := make([]record, len(found))
	for i, f := range found {
		records[i] = shown(f)
	}
	return answer{status: http.StatusOK, body: itemPage[record]{records, nextLink(r, after)}}
}

// upTo is what was found, up to limit of it: what is beyond is on the next page, which is after the place of the last of this one.
func upTo[T any](found []T, limit int, place func(T) string) (page []T, after string) {
	if len(found) <= limit {
		return found, ""
	}
	return found[:limit], place(found[limit-1])
}

func cursor(at time.Time, name string) string { return at.UTC().Format(time.RFC3339Nano) + " " + name }

func pagingByTime(r request) (limit int, after *catalogue.PointCursor, err error) {
	limit, text, err := paging(r.http.URL.Query())
	if err != nil || text == "" {
		return limit, nil, err
	}
	at, name, _ := strings.Cut(text, " ")
	when, err := time.Parse(time.RFC3339Nano, at)
	if err != nil || name == "" {
		return 0, nil, coffer.Errorf(coffer.CodeInvalidInput, "the $skipToken is not one of this server's").WithHint("follow nextLink as it is")
	}
	return limit, &catalogue.PointCursor{Time: when, Name: name}, nil
}

var filterTerm = regexp.MustCompile(`(?i)^\s*([a-z]+)\s+eq\s+'([^']+)'\s*(?:and\b|$)`)

// parseFilter reads terms of the form FIELD eq 'VALUE', joined by "and", as the Azure CLI writes them. The answer is by the
// spelling of the fields that are given.
func parseFilter(filter string, fields ...string) (map[string]string, error) {
	found := map[string]string{}
	if len(filter) > 4096 {
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "$filter has %d characters: at most 4096 are possible", len(filter))
	}
	for rest := filter; strings.TrimSpace(rest) != ""; {
		term := filterTerm.FindStringSubmatch(rest)
		known := ""
		for _, f := range fields {
			if term != nil && strings.EqualFold(f, term[1]) {
				known = f
			}
		}
		if known == "" {
			return nil, coffer.Errorf(coffer.CodeInvalidInput, "$filter cannot be understood at %.60q", rest).
				WithHint("write FIELD eq 'VALUE', joined by and; the fields are %s", strings.Join(fields, ", "))
		}
		found[known] = term[2]
		rest = rest[len(term[0]):]
	}
	return found, nil
}

// dateForms are how clients write times.
var dateForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02", "2006-01-02 03:04:05 PM"}

// between reads two times of a filter; one that is not there is zero.
func between(fields map[string]string, from, to string) (first, last time.Time, err error) {
	for name, at := range map[string]*time.Time{from: &first, to: &last} {
		text := fields[name]
		if text == "" {
			continue
		}
		ok := false
		for _, form := range dateForms {
			if t, err := time.Parse(form, text); err == nil {
				*at, ok = t.UTC(), true
				break
			}
		}
		if !ok {
			return first, last, coffer.Errorf(coffer.CodeInvalidInput, "%s is %.40q: write a time such as 2026-01-31T00:00:00Z", name, text)
		}
	}
	return first, last, nil
}
