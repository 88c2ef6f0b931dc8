package arm

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const typeAlert = "Coffer.Backup/alerts"

// alertRoutes are those of the alerts of vaults.
func (s *Server) alertRoutes() []route {
	return []route{
		{method: http.MethodGet, kind: typeAlert, action: access.ActionAlertRead, handle: s.getAlert},
		{
			method: http.MethodGet, kind: typeAlert, on: onRest, below: []string{typeVault}, action: access.ActionAlertRead, handle: s.listAlerts,
			query: []string{"open", "state", "target"},
		},
		{method: http.MethodPost, kind: typeAlert + "/acknowledge", on: onRest, action: access.ActionAlertAcknowledge, handle: changesAlert(s.Keeper.AcknowledgeAlert)},
		{method: http.MethodPost, kind: typeAlert + "/close", on: onRest, action: access.ActionAlertClose, handle: changesAlert(s.Keeper.CloseAlert)},
	}
}

// shownAlert is an alert as it is shown.
type shownAlert struct {
	ID         catalogue.ID `json:"id"`
	Name       string       `json:"name"`
	Type       string       `json:"type"`
	Properties arm.Alert    `json:"properties"`
}

func showAlert(a catalogue.Alert) (shownAlert, error) {
	properties, err := vault.AlertProperties(a)
	id := vault.AlertID(a)
	return shownAlert{ID: id, Name: a.Name, Type: id.Type(), Properties: properties}, err
}

func (s *Server) getAlert(ctx context.Context, r request) (answer, error) {
	a, err := s.Keeper.Alert(ctx, r.target.ID.Parent(), r.target.ID.Name())
	if err != nil {
		return answer{}, err
	}
	shown, err := showAlert(a)
	return answer{status: http.StatusOK, body: shown}, err
}

// changesAlert handles a request that brings an alert into another state.
func changesAlert(change func(ctx context.Context, by vault.Caller, of catalogue.ID, name string) (catalogue.Alert, error)) func(context.Context, request) (answer, error) {
	return func(ctx context.Context, r request) (answer, error) {
		a, err := change(ctx, r.caller, r.target.ID.Parent(), r.target.ID.Name())
		if err != nil {
			return answer{}, err
		}
		shown, err := showAlert(a)
		return answer{status: http.StatusOK, body: shown}, err
	}
}

// listAlerts lists all alerts of a vault, or with ?open=true those that are not closed.
func (s *Server) listAlerts(ctx context.Context, r request) (answer, error) {
	q, err := alertQuery(r)
	if err != nil {
		return answer{}, err
	}
	q.Limit++ // One more says whether there is another page.
	found, err := s.Keeper.Alerts(ctx, q)
	if err != nil {
		return answer{}, err
	}
	found, after := upTo(found, q.Limit-1, func(a catalogue.Alert) string { return cursor(a.Last, a.Name) })
	page := itemPage[shownAlert]{Value: make([]shownAlert, len(found)), NextLink: nextLink(r, after)}
	for i, a := range found {
		if page.Value[i], err = showAlert(a); err != nil {
			return answer{}, err
		}
	}
	return answer{status: http.StatusOK, body: page}, nil
}

func alertQuery(r request) (q catalogue.AlertQuery, err error) {
	q.Vault = r.target.ID
	if q.Limit, q.After, err = pagingByTime(r); err != nil {
		return q, err
	}
	query := r.http.URL.Query()
	if text := query.Get("open"); text != "" {
		if q.Open, err = strconv.ParseBool(text); err != nil {
			return q, coffer.Errorf(coffer.CodeInvalidInput, "open is %.20q: write true or false", text)
		}
	}
	if text := query.Get("target"); text != "" {
		if q.Target, err = catalogue.ParseID(text); err != nil {
			return q, err
		}
	}
	if text := query.Get("state"); text != "" {
		for _, state := range []catalogue.AlertState{catalogue.AlertFired, catalogue.AlertAcknowledged, catalogue.AlertClosed} {
			if strings.EqualFold(text, string(state)) {
				q.State = state
			}
		}
		if q.State == "" {
			return q, coffer.Errorf(coffer.CodeInvalidInput, "state is %.20q: write Fired, Acknowledged or Closed", text)
		}
	}
	return q, nil
}
