package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// finder finds what a command is about: a resource, or what holds those that are listed.
type finder func(ctx context.Context) (session, string, error)

// located finds it by the flags of the command, once they are read.
func located[F any](find func(context.Context, F) (session, string, error), flags *F) finder {
	return func(ctx context.Context) (session, string, error) { return find(ctx, *flags) }
}

// listFor is the command that lists what a command looks for, or what it is in: what is made or listed is not missing itself. It is empty
// where there is none.
func listFor(cmd *cobra.Command) string {
	if cmd.Name() == "list" || cmd.Name() == "create" {
		switch {
		case !cmd.HasParent():
			return ""
		case cmd.Parent().Name() == "recovery-point":
			return "coffer backup-instance list"
		case cmd.Flags().Lookup("vault-name") != nil && cmd.Parent().Name() != "backup-vault":
			return "coffer backup-vault list"
		case cmd.Flags().Lookup("resource-group") != nil:
			return "coffer resource-group list"
		}
		return ""
	}
	for ; cmd.HasParent(); cmd = cmd.Parent() {
		for _, beside := range cmd.Parent().Commands() {
			if beside.Name() == "list" {
				return beside.CommandPath()
			}
		}
	}
	return ""
}

// newShow is the command that shows a resource.
func (p *program) newShow(short string, n noun, find finder) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: short, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := find(cmd.Context())
			if err != nil {
				return err
			}
			return p.get(cmd.Context(), s, n, id)
		},
	}
}

// listing lists a collection of a resource; path is where it is below that.
func (p *program) listing(n noun, path string, find finder) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		s, id, err := find(cmd.Context())
		if err != nil {
			return err
		}
		return p.list(cmd.Context(), s, n, id+path)
	}
}

// newListBelow is the command that does so, and is called list.
func (p *program) newListBelow(short string, n noun, path string, find finder) *cobra.Command {
	return &cobra.Command{Use: "list", Short: short, Aliases: []string{"ls"}, Args: noArgs, RunE: p.listing(n, path, find)}
}

// newListInGroups is the command that lists resources of a type in a resource group, or in the subscription.
func (p *program) newListInGroups(short string, n noun, collection string) *cobra.Command {
	var at scopeFlags
	cmd := p.newListBelow(short, n, "/"+collection, func(ctx context.Context) (session, string, error) {
		s, err := p.server()
		if err != nil {
			return s, "", err
		}
		// The profile's group is no default: there would be no way to list all.
		if at.group == "" {
			id, err := s.subscriptionID(ctx)
			return s, id, err
		}
		id, err := s.groupID(ctx, at)
		return s, id, err
	})
	cmd.Flags().StringVarP(&at.group, "resource-group", "g", "", "resource group (default all of the subscription)")
	mustComplete(cmd, "resource-group", p.completeGroups)
	return cmd
}

// newRemoval is the command that deletes a resource at once, after it has asked.
func (p *program) newRemoval(short string, n noun, find finder) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete", Short: short, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := find(cmd.Context())
			if err != nil {
				return err
			}
			return p.remove(cmd.Context(), s, n, id, yes, false)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
