package arm

import (
	"context"
	"net/http"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// retryAfter is how many seconds clients wait before they ask again.
const retryAfter = "5"

// tracked is an answer with where its operation is followed.
func tracked(r request, a answer, o catalogue.Operation) answer {
	if a.header == nil {
		a.header = http.Header{}
	}
	version := "?api-version=" + r.http.URL.Query().Get("api-version")
	scope := string(subscriptionOf(o.Resource)) + "/providers/Microsoft.DataProtection/locations/any/"
	a.header.Set("Azure-AsyncOperation", r.base+scope+"operationStatus/"+o.ID+version)
	if r.http.Method != http.MethodPut && r.http.Method != http.MethodPatch {
		a.header.Set("Location", r.base+scope+"operationResults/"+o.ID+version)
	}
	a.header.Set("Retry-After", retryAfter)
	if !o.Ended.IsZero() {
		// Otherwise HashiCorp's SDK waits ten seconds before it asks first.
		a.header.Set("Retry-After", "0")
	}
	return a
}

func subscriptionOf(id catalogue.ID) catalogue.ID {
	if name := id.Subscription(); name != "" {
		return catalogue.ID("/subscriptions/" + name)
	}
	return ""
}

// operationRoutes are all paths at which Azure's clients look for an operation.
func (s *Server) operationRoutes() []route {
	var table []route
	for _, kind := range []string{
		"Microsoft.DataProtection/locations/", "Microsoft.DataProtection/", "Microsoft.DataProtection/backupVaults/",
		"Microsoft.DataProtection/backupVaults/backupInstances/",
	} {
		table = append(table,
			route{method: http.MethodGet, kind: kind + "operationStatus", handle: s.operationStatus},
			route{method: http.MethodGet, kind: kind + "operationResults", handle: s.operationResult, accepts: true})
	}
	return table
}

// statusBody is ARM's OperationStatusResult.
type statusBody struct {
	ID         string                    `json:"id"`
	Name       string                    `json:"name"`
	Status     catalogue.OperationStatus `json:"status"`
	StartTime  time.Time                 `json:"startTime"`
	EndTime    *time.Time                `json:"endTime,omitempty"`
	Properties any                       `json:"properties,omitempty"`
	Error      any                       `json:"error,omitempty"`
}

func (s *Server) operationStatus(ctx context.Context, r request) (answer, error) {
	o, err := s.operation(ctx, r)
	if err != nil {
		return answer{}, err
	}
	body := statusBody{ID: r.http.URL.Path, Name: o.ID, Status: o.Status, StartTime: o.Started}
	a := answer{status: http.StatusOK}
	switch {
	case o.Ended.IsZero():
		a.header = http.Header{"Retry-After": {retryAfter}}
	case o.Status == catalogue.OperationSucceeded && o.Result != nil:
		body.Properties = o.Result
		fallthrough
	default:
		body.EndTime = &o.Ended
	}
	if o.Error != nil {
		body.Error = o.Error
	}
	a.body = body
	return a, nil
}

func (s *Server) operationResult(ctx context.Context, r request) (answer, error) {
	o, err := s.operation(ctx, r)
	switch {
	case err != nil:
		return answer{}, err
	case o.Status == catalogue.OperationInProgress:
		return tracked(r, answer{status: http.StatusAccepted}, o), nil
	case o.Error != nil:
		return answer{status: http.StatusConflict, body: map[string]any{"error": o.Error}}, nil
	case o.Result != nil:
		return answer{status: http.StatusOK, body: o.Result}, nil
	}
	return answer{status: http.StatusNoContent}, nil
}

// operation is one that the caller began, or whose resource the caller may read. To everybody else there is none.
func (s *Server) operation(ctx context.Context, r request) (catalogue.Operation, error) {
	o, err := s.Keeper.Operation(ctx, r.target.ID.Name())
	if err == nil && o.By != r.caller.Principal.ObjectID && r.grants.Check(s.Keeper.Kinds.Action(o.Resource)+"/read", o.Resource) != nil {
		err = coffer.Errorf(coffer.CodeResourceNotFound, "there is no operation %s", r.target.ID.Name())
	}
	return o, err
}
