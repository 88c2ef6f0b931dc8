package arm

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	typeVault      = "Microsoft.DataProtection/backupVaults"
	contentsAction = "Coffer.Backup/contents"
	coverageAction = "Coffer.Backup/coverage"
	searchAction   = "Coffer.Backup/search"
	reportAction   = "Coffer.Backup/report"
	diffAction     = "Coffer.Backup/diff"
	logsAction     = "Coffer.Backup/logs"
	inventory      = "Coffer.Backup/inventory"
)

// contentRoutes are those of what only the extension of a cluster can answer. Values of Secrets are never asked for.
func (s *Server) contentRoutes() []route {
	read := func(kind, below, action string, handle func(ctx context.Context, r request) (answer, error), query ...string) route {
		return route{method: http.MethodGet, kind: kind, on: onRest, below: []string{below}, action: action, handle: s.inTurn(s.reaching(handle)), query: query}
	}
	return []route{
		read(contentsAction, typePoint, access.ActionContents, s.contents, "namespace", "type", "name", "objects"),
		read(coverageAction, typePoint, access.ActionCoverage, s.coverage),
		read(searchAction, typeInstance, access.ActionSearch, s.search, "namespace", "type", "name"),
		read(planAction, typeJob, access.ActionPlan, s.plan),
		read(reportAction, typeJob, access.ActionReport, s.report),
		read(diffAction, typeJob, access.ActionDiff, s.diff, "namespace", "type", "name"),
		read(logsAction, typeJob, access.ActionLogs, s.logs),
		read(inventory, typeVault, access.ActionInventory, s.inventory, "clusterId"),
	}
}

// reaching handles a request that needs a cluster: one that is linked elsewhere is asked there.
func (s *Server) reaching(handle func(ctx context.Context, r request) (answer, error)) func(ctx context.Context, r request) (answer, error) {
	return func(ctx context.Context, r request) (answer, error) {
		a, err := handle(ctx, r)
		unlinked, ok := errors.AsType[*vault.UnlinkedError](err)
		if !ok {
			return a, err
		}
		if there, passed, failed := s.elsewhere(ctx, r, unlinked.Cluster); passed || failed != nil {
			return there, failed
		}
		return a, err
	}
}

// maxContents is how many answers of clusters are read at a time: a line of one may have megabytes.
const maxContents = 16

// inTurn handles a request once few enough others are.
func (s *Server) inTurn(handle func(ctx context.Context, r request) (answer, error)) func(ctx context.Context, r request) (answer, error) {
	return func(ctx context.Context, r request) (answer, error) {
		select {
		case s.reads <- struct{}{}:
			defer func() { <-s.reads }()
			return handle(ctx, r)
		default:
			return answer{}, tooMany("too many answers of clusters are being read", "try again later")
		}
	}
}

// said is why an extension does not answer, as the flow reads it.
type said struct{ why *content.Error }

// Error implements error.
func (s said) Error() string { return s.why.Error() }

// Said implements vault.ContentError.
func (s said) Said() (code, message, hint string) { return s.why.Code, s.why.Message, s.why.Hint }

// readItems reads the lines of an answer.
func readItems[T any](r io.Reader, each func(T) error) error {
	err := content.Read(r, each)
	var why *content.Error
	if errors.As(err, &why) {
		return said{why}
	}
	return err
}

// itemPage is a part of a list.
type itemPage[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

// readPage answers the part of an extension's answer that is asked for. The rest is found by how many items are before it.
func readPage[T any](ctx context.Context, s *Server, r request, from vault.Source, at *url.URL, objects bool) (answer, error) {
	limit, after, err := paging(r.http.URL.Query())
	if err != nil {
		return answer{}, err
	}
	skip, err := skipped(after)
	if err != nil {
		return answer{}, err
	}
	items, more, err := vault.ReadPart(ctx, s.Jobs, from, at, vault.Cut{Skip: skip, Limit: limit, Objects: objects}, readItems[T])
	if err != nil {
		return answer{}, err
	}
	p := itemPage[T]{Value: items}
	if p.Value == nil {
		p.Value = []T{}
	}
	if more {
		p.NextLink = nextLink(r, strconv.Itoa(skip+len(items)))
	}
	return answer{status: http.StatusOK, body: p}, nil
}

// maxSkip is how far a list can be followed.
const maxSkip = 10_000_000

func skipped(after string) (int, error) {
	if after == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(after)
	if err != nil || n < 0 || n > maxSkip {
		return 0, coffer.Errorf(coffer.CodeInvalidInput, "the $skipToken is not one of this server's").WithHint("follow nextLink as it is")
	}
	return n, nil
}

// filter reads a parameter that selects.
func filter(r request, name string) (string, error) {
	const most = 512
	text := r.http.URL.Query().Get(name)
	if len(text) > most {
		return "", coffer.Errorf(coffer.CodeInvalidInput, "%s has %d characters: at most %d are possible", name, len(text), most)
	}
	return text, nil
}

// filters reads the three parameters by which objects are selected.
func filters(r request) (namespace, kind, name string, err error) {
	if namespace, err = filter(r, "namespace"); err != nil {
		return "", "", "", err
	}
	if kind, err = filter(r, "type"); err != nil {
		return "", "", "", err
	}
	name, err = filter(r, "name")
	return namespace, kind, name, err
}

func (s *Server) contents(ctx context.Context, r request) (answer, error) {
	namespace, kind, name, err := filters(r)
	if err != nil {
		return answer{}, err
	}
	objects := false
	if text := r.http.URL.Query().Get("objects"); text != "" {
		if objects, err = strconv.ParseBool(text); err != nil {
			return answer{}, coffer.Errorf(coffer.CodeInvalidInput, "objects is %.20q: write true or false", text)
		}
	}
	from, err := s.Jobs.SourceOfPoint(ctx, r.target.ID.Parent(), r.target.ID.Name())
	if err != nil {
		return answer{}, err
	}
	asked := content.Contents{StorageLocation: from.Location, BackupName: from.Backup, Namespace: namespace, Type: kind, Name: name, Objects: objects}
	return readPage[content.Item](ctx, s, r, from, asked.URL(), objects)
}

func (s *Server) coverage(ctx context.Context, r request) (answer, error) {
	from, err := s.Jobs.SourceOfPoint(ctx, r.target.ID.Parent(), r.target.ID.Name())
	if err != nil {
		return answer{}, err
	}
	return readPage[content.CoverageItem](ctx, s, r, from, content.Coverage{StorageLocation: from.Location, BackupName: from.Backup}.URL(), false)
}

func (s *Server) plan(ctx context.Context, r request) (answer, error) {
	from, err := s.Jobs.SourceOfTarget(ctx, r.caller, r.target.ID.Parent(), r.target.ID.Name())
	if err != nil {
		return answer{}, err
	}
	return readPage[content.PlanItem](ctx, s, r, from, content.Plan{Restore: from.Run}.URL(), false)
}

func (s *Server) report(ctx context.Context, r request) (answer, error) {
	from, err := s.Jobs.SourceOfJob(ctx, r.target.ID.Parent(), r.target.ID.Name(), job.Restore)
	if err != nil {
		return answer{}, err
	}
	return readPage[content.ReportItem](ctx, s, r, from, content.Report{Restore: from.Run}.URL(), false)
}

func (s *Server) diff(ctx context.Context, r request) (answer, error) {
	namespace, kind, name, err := filters(r)
	if err != nil {
		return answer{}, err
	}
	from, err := s.Jobs.SourceOfTarget(ctx, r.caller, r.target.ID.Parent(), r.target.ID.Name())
	if err != nil {
		return answer{}, err
	}
	// A diff has the texts of both objects in one line.
	return readPage[content.DiffItem](ctx, s, r, from, content.Diff{Restore: from.Run, Namespace: namespace, Type: kind, Name: name}.URL(), true)
}

// maxPieces is how many pieces of a log are answered.
const maxPieces = 10_000

// logBody is the log of a job.
type logBody struct {
	Value string `json:"value"`
}

func (s *Server) logs(ctx context.Context, r request) (answer, error) {
	from, err := s.Jobs.SourceOfJob(ctx, r.target.ID.Parent(), r.target.ID.Name(), job.Backup, job.Restore)
	if err != nil {
		return answer{}, err
	}
	kind := content.LogsOfBackup
	if from.Kind == job.Restore {
		kind = content.LogsOfRestore
	}
	pieces, more, err := vault.ReadPart(ctx, s.Jobs, from, content.Logs{Kind: kind, Name: from.Run}.URL(), vault.Cut{Limit: maxPieces}, readItems[content.LogPiece])
	if err != nil {
		return answer{}, err
	}
	var text strings.Builder
	for _, p := range pieces {
		text.WriteString(p.Text)
	}
	if more {
		text.WriteString("\n... the rest is too long to be shown\n")
	}
	return answer{status: http.StatusOK, body: logBody{text.String()}}, nil
}

func (s *Server) inventory(ctx context.Context, r request) (answer, error) {
	cluster, err := catalogue.ParseID(r.http.URL.Query().Get("clusterId"))
	if err != nil || !strings.EqualFold(cluster.Type(), typeCluster) {
		return answer{}, coffer.Errorf(coffer.CodeInvalidInput, "clusterId is not the id of a cluster").WithHint("add clusterId=/subscriptions/S/resourceGroups/G/providers/%s/NAME", typeCluster)
	}
	from, err := s.Jobs.SourceOfCluster(ctx, r.caller, r.target.ID, cluster)
	if err != nil {
		return answer{}, err
	}
	// Its one item has several thousand names.
	items, _, err := vault.ReadPart(ctx, s.Jobs, from, content.InventoryURL(), vault.Cut{Limit: 1, Objects: true}, readItems[content.Inventory])
	if err != nil {
		return answer{}, err
	}
	if len(items) != 1 {
		return answer{}, coffer.Errorf(coffer.CodeServerError, "the cluster %s gives no inventory", cluster.Name())
	}
	return answer{status: http.StatusOK, body: items[0]}, nil
}

// found is an object of a recovery point.
type found struct {
	RecoveryPointID   string       `json:"recoveryPointId"`
	RecoveryPointTime time.Time    `json:"recoveryPointTime"`
	Item              content.Item `json:"item"`
}

const (
	// maxSearched is how many recovery points are looked through for one page, and searchTime how long that may take.
	maxSearched = 30
	searchTime  = 40 * time.Second
)

// search looks for objects in the recovery points of an instance, the newest first. A page may have fewer than asked for, or none, and a
// link to the next.
func (s *Server) search(ctx context.Context, r request) (answer, error) {
	asked := content.Contents{}
	var err error
	if asked.Namespace, asked.Type, asked.Name, err = filters(r); err != nil {
		return answer{}, err
	}
	if asked.Name == "" && asked.Type == "" {
		return answer{}, coffer.Errorf(coffer.CodeInvalidInput, "neither name nor type is given").WithHint("add name=NAME or type=v1/ConfigMap, or both")
	}
	limit, after, err := paging(r.http.URL.Query())
	if err != nil {
		return answer{}, err
	}
	at, skip, err := searchCursor(after)
	if err != nil {
		return answer{}, err
	}
	points, err := s.Keeper.Points(ctx, catalogue.PointQuery{Instance: r.target.ID, To: at.Time, Limit: maxSearched + 1})
	if err != nil {
		return answer{}, err
	}
	if at.Name != "" {
		// Of those of one time, the last name is first.
		points = slices.DeleteFunc(points, func(p catalogue.Point) bool { return p.Time.Equal(at.Time) && p.Name > at.Name })
	}
	if len(points) == 0 || points[0].Name != at.Name {
		skip = 0 // it is gone: the next one begins at its first find
	}
	return s.searchPoints(ctx, r, asked, points, skip, limit)
}

// searchPoints looks through recovery points, of the first of which so many finds are known already.
func (s *Server) searchPoints(ctx context.Context, r request, asked content.Contents, points []catalogue.Point, skip, limit int) (answer, error) {
	p := itemPage[found]{Value: []found{}}
	deadline := time.Now().Add(searchTime)
	for i, point := range points {
		if i == maxSearched || len(p.Value) >= limit || i > 0 && time.Now().After(deadline) {
			p.NextLink = nextLink(r, searchToken(point, 0))
			break
		}
		from, err := s.Jobs.SourceOfPoint(ctx, r.target.ID, point.Name)
		if coffer.CodeOf(err) == coffer.CodeBackupNotFound {
			skip = 0 // it is in the vault tier alone, and keeps nobody from what is older
			continue
		}
		if err != nil {
			return answer{}, err
		}
		asked.StorageLocation, asked.BackupName = from.Location, from.Backup
		items, more, err := vault.ReadPart(ctx, s.Jobs, from, asked.URL(), vault.Cut{Skip: skip, Limit: limit - len(p.Value)}, readItems[content.Item])
		if code := coffer.CodeOf(err); err != nil && code != coffer.CodeNothingMatches && code != coffer.CodeBackupNotFound {
			return answer{}, err // what was deleted in the cluster keeps nobody from what is older
		}
		for _, item := range items {
			p.Value = append(p.Value, found{point.Name, point.Time, item})
		}
		if more {
			p.NextLink = nextLink(r, searchToken(point, skip+len(items)))
			break
		}
		skip = 0
	}
	return answer{status: http.StatusOK, body: p}, nil
}

// searchToken says where a search goes on: in a recovery point, after so many of its finds. It names that one, for the newest may be
// another when the search goes on, and so may the one before.
func searchToken(in catalogue.Point, skip int) string {
	return strconv.Itoa(skip) + " " + cursor(in.Time, in.Name)
}

// searchCursor is the recovery point in which a search goes on, and how many of its finds are known; the zero one begins with the newest.
func searchCursor(token string) (in catalogue.PointCursor, skip int, err error) {
	if token == "" {
		return in, 0, nil
	}
	number, place, _ := strings.Cut(token, " ")
	if skip, err = skipped(number); err != nil {
		return in, 0, err
	}
	at, name, _ := strings.Cut(place, " ")
	when, err := time.Parse(time.RFC3339Nano, at)
	if err != nil || name == "" {
		return in, 0, coffer.Errorf(coffer.CodeInvalidInput, "the $skipToken is not one of this server's").WithHint("follow nextLink as it is")
	}
	return catalogue.PointCursor{Time: when, Name: name}, skip, nil
}
