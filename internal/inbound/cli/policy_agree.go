package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// agreement is to a change of a policy, or of the one that an instance follows, that deletes recovery points.
type agreement struct{ yes bool }

func (a *agreement) bind(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.yes, "yes", false, "do not ask, where recovery points are deleted by it")
}

// given asks for the agreement if the change deletes recovery points at once; preview is the command that lists them. Where the server cannot
// say what it deletes, the change is left to the server.
func (a *agreement) given(ctx context.Context, p *program, s session, id, preview string, change any) error {
	told, err := s.changes(ctx, id, change)
	switch code := coffer.CodeOf(err); {
	case code == coffer.CodeResourceNotFound, code == coffer.CodeInvalidInput:
		return nil // What is not there yet changes nothing, and what is wrong is told once: when it is refused.
	case err != nil:
		p.told("What it does to recovery points could not be found out: %v.", err)
		return nil
	case told.Deleted == 0:
		return nil
	}
	what := fmt.Sprintf("This deletes %d recovery points, for good: %s lists them.", told.Deleted, preview)
	if a.yes {
		p.told("%s", what)
		return nil
	}
	return p.confirm(what + " Go on?")
}
