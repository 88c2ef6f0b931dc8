package arm

import (
	"context"
	"net/http"

	"github.com/coffer-backup/coffer/internal/decide/access"
)

const (
	holdAction        = "Coffer.Backup/hold"
	releaseHoldAction = "Coffer.Backup/releaseHold"
)

// holdRoutes are those of legal holds.
func (s *Server) holdRoutes() []route {
	return []route{
		{method: http.MethodPost, kind: holdAction, on: onRest, below: []string{typePoint}, action: access.ActionHold, handle: s.hold},
		{method: http.MethodPost, kind: releaseHoldAction, on: onRest, below: []string{typePoint}, action: access.ActionReleaseHold, handle: s.releaseHold},
	}
}

func (s *Server) hold(ctx context.Context, r request) (answer, error) {
	p, err := s.Keeper.Hold(ctx, r.caller, r.target.ID.Parent(), r.target.ID.Name(), r.body)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: shownPoint(p)}, nil
}

func (s *Server) releaseHold(ctx context.Context, r request) (answer, error) {
	p, err := s.Keeper.ReleaseHold(ctx, r.caller, r.target.ID.Parent(), r.target.ID.Name())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: shownPoint(p)}, nil
}
