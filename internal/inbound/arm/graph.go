package arm

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/graph"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// Bounds of a query: how many rows and subscriptions it may look at, and how many it answers, as Azure's.
const (
	maxGraphRows          = 50_000
	maxGraphSubscriptions = 1000
	maxGraphPage          = 1000
)

// graphRoutes are the one of Azure Resource Graph, which list commands of the Azure CLI use.
func (s *Server) graphRoutes() []route {
	return []route{{method: http.MethodPost, kind: "Microsoft.ResourceGraph/resources", on: onRest, below: []string{""}, handle: s.queryGraph}}
}

type graphRequest struct {
	Query         string   `json:"query"`
	Subscriptions []string `json:"subscriptions"`
	Options       struct {
		Top       int    `json:"$top"`
		Skip      int    `json:"$skip"`
		SkipToken string `json:"$skipToken"`
	} `json:"options"`
}

type graphAnswer struct {
	TotalRecords    int         `json:"totalRecords"`
	Count           int         `json:"count"`
	Data            []graph.Row `json:"data"`
	Facets          []any       `json:"facets"`
	ResultTruncated string      `json:"resultTruncated"`
	SkipToken       string      `json:"$skipToken,omitempty"`
}

func (s *Server) queryGraph(ctx context.Context, r request) (answer, error) {
	var asked graphRequest
	if err := json.Unmarshal(r.body, &asked); err != nil {
		return answer{}, coffer.Errorf(coffer.CodeInvalidContent, "the body: %w", err)
	}
	q, err := graph.Parse(asked.Query)
	if err != nil {
		return answer{}, err
	}
	from := max(asked.Options.Skip, 0)
	if asked.Options.SkipToken != "" {
		if from, err = strconv.Atoi(asked.Options.SkipToken); err != nil || from < 0 {
			return answer{}, coffer.Errorf(coffer.CodeInvalidInput, "the $skipToken is not one of this server's").WithHint("give it back as it was")
		}
	}
	scopes := []catalogue.ID{""}
	if n := len(asked.Subscriptions); n > maxGraphSubscriptions {
		return answer{}, coffer.Errorf(coffer.CodeInvalidInput, "the query names %d subscriptions: at most %d are possible", n, maxGraphSubscriptions).
			WithHint("name none to ask about all")
	}
	if len(asked.Subscriptions) > 0 {
		scopes = nil
		for _, name := range asked.Subscriptions {
			scopes = append(scopes, catalogue.ID("/subscriptions/"+name))
		}
	}
	rows, err := s.graphRows(ctx, r, q.Type, scopes)
	if err != nil {
		return answer{}, err
	}
	found := q.Run(rows)
	top := maxGraphPage
	if asked.Options.Top > 0 {
		top = min(asked.Options.Top, maxGraphPage)
	}
	part := found[min(from, len(found)):min(from+top, len(found))]
	a := graphAnswer{TotalRecords: len(found), Count: len(part), Data: append([]graph.Row{}, part...), Facets: []any{}, ResultTruncated: "false"}
	if from+top < len(found) {
		a.SkipToken = strconv.Itoa(from + top)
	}
	return answer{status: http.StatusOK, body: a}, nil
}

// graphRows are the resources and jobs that a query is about, as far as the caller may read them.
func (s *Server) graphRows(ctx context.Context, r request, kind string, scopes []catalogue.ID) ([]graph.Row, error) {
	var rows []graph.Row
	add := func(text json.RawMessage, id catalogue.ID) error {
		if len(rows) >= maxGraphRows {
			return coffer.Errorf(coffer.CodeInvalidInput, "the query is about more than %d resources", maxGraphRows).
				WithHint("name subscriptions, and begin with `| where type =~ '...'`")
		}
		row, err := graphRow(text, id)
		rows = append(rows, row)
		return err
	}
	for _, scope := range scopes {
		if kind != strings.ToLower(typeJob) {
			err := s.Keeper.Each(ctx, catalogue.ResourceQuery{Type: kind, Under: scope}, func(found catalogue.Resource) error {
				known, ok := s.Keeper.Kinds[strings.ToLower(found.ID.Type())]
				if !ok || !r.grants.Sees(known.Action()+"/read", found.ID) {
					return nil
				}
				text, err := vault.Shown(found)
				if err != nil {
					return err
				}
				return add(text, found.ID)
			})
			if err != nil {
				return nil, err
			}
			continue
		}
		err := s.Keeper.EachJob(ctx, scope, func(j catalogue.Job) error {
			job := shownJob(j)
			if !r.grants.Sees(typeJob+"/read", job.ID) {
				return nil
			}
			text, err := json.Marshal(job)
			if err != nil {
				return err
			}
			return add(text, job.ID)
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// graphRow has the columns of Azure Resource Graph: types are in lower case there.
func graphRow(text []byte, id catalogue.ID) (graph.Row, error) {
	row := graph.Row{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&row); err != nil {
		return nil, err
	}
	row["type"] = strings.ToLower(id.Type())
	row["resourceGroup"], row["subscriptionId"] = id.ResourceGroup(), id.Subscription()
	return row, nil
}
