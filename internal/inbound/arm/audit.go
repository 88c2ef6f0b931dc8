package arm

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const typeAudit = "Coffer.Backup/auditEntries"

// auditRoutes are those of the audit log, at any scope.
func (s *Server) auditRoutes() []route {
	return []route{{method: http.MethodGet, kind: typeAudit, on: onRest, action: typeAudit + "/read", handle: s.listAudit}}
}

// auditEntry is an entry as it is shown.
type auditEntry struct {
	Sequence      int64           `json:"sequence"`
	Time          time.Time       `json:"time"`
	PrincipalID   string          `json:"principalId"`
	PrincipalName string          `json:"principalName"`
	Action        string          `json:"action"`
	Target        catalogue.ID    `json:"target"`
	CorrelationID string          `json:"correlationId"`
	RemoteAddress string          `json:"remoteAddress"`
	Status        int             `json:"status"`
	Code          string          `json:"code,omitempty"`
	Before        json.RawMessage `json:"before,omitempty"`
	After         json.RawMessage `json:"after,omitempty"`
}

func (s *Server) listAudit(ctx context.Context, r request) (answer, error) {
	query := r.http.URL.Query()
	limit, after, err := paging(query)
	if err != nil {
		return answer{}, err
	}
	fields, err := parseFilter(query.Get("$filter"), "startTime", "endTime", "principalId")
	if err != nil {
		return answer{}, err
	}
	q := catalogue.AuditQuery{Under: r.target.ID, Principal: fields["principalId"], Limit: limit}
	if q.From, q.To, err = between(fields, "startTime", "endTime"); err != nil {
		return answer{}, err
	}
	if after != "" {
		if q.Before, err = strconv.ParseInt(after, 10, 64); err != nil {
			return answer{}, coffer.Errorf(coffer.CodeInvalidInput, "the $skipToken is not one of this server's").WithHint("follow nextLink as it is")
		}
	}
	found, err := s.Keeper.Audit(ctx, q)
	if err != nil {
		return answer{}, err
	}
	entries := make([]auditEntry, len(found))
	next := ""
	for i, e := range found {
		entries[i] = auditEntry{
			e.Sequence, e.Time, e.Principal, e.Name, e.Action, e.Target, e.Request, e.Remote, e.Status, e.Code, e.Before, e.After,
		}
		if len(found) == limit {
			next = strconv.FormatInt(e.Sequence, 10)
		}
	}
	return answer{status: http.StatusOK, body: struct {
		Value    []auditEntry `json:"value"`
		NextLink string       `json:"nextLink,omitempty"`
	}{entries, nextLink(r, next)}}, nil
}
