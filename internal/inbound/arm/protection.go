package arm

import (
	"context"
	"net/http"

	"github.com/coffer-backup/coffer/internal/decide/protection"
)

// protectionRoutes are those that change how instances are protected.
func (s *Server) protectionRoutes() []route {
	table := []route{s.acting(protection.Sync, s.sync)}
	for _, o := range []protection.Operation{protection.SuspendBackups, protection.StopProtection, protection.ResumeBackups, protection.ResumeProtection} {
		table = append(table, s.acting(o, s.protect(o)))
	}
	return table
}

// acting is the route of an operation on an instance.
func (s *Server) acting(o protection.Operation, handle func(context.Context, request) (answer, error)) route {
	kind := typeInstance + "/" + string(o)
	return route{method: http.MethodPost, kind: kind, on: onRest, action: kind + "/action", handle: handle, accepts: true}
}

func (s *Server) protect(o protection.Operation) func(context.Context, request) (answer, error) {
	return func(ctx context.Context, r request) (answer, error) {
		done, err := s.Jobs.Protect(ctx, r.caller, r.target.ID, o, r.body)
		if err != nil {
			return answer{}, err
		}
		return tracked(r, answer{status: http.StatusAccepted}, done), nil
	}
}

func (s *Server) sync(ctx context.Context, r request) (answer, error) {
	begun, err := s.Jobs.Sync(ctx, r.caller, r.target.ID, r.body)
	if err != nil {
		return answer{}, err
	}
	return tracked(r, answer{status: http.StatusAccepted}, begun), nil
}
