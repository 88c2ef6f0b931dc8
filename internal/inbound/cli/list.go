package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// newList is the command that lists custom resources of one kind: plural is what people call them, items are those of list.
func newList[T any, P interface {
	*T
	client.Object
}](p *program, plural, kind string, list client.ObjectList, items *[]T, order func(a, b client.Object) int, table func([]T) error) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List " + plural, Aliases: []string{"ls"}, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			if err := c.List(cmd.Context(), list, client.InNamespace(p.target.Namespace)); err != nil {
				return fmt.Errorf("list %s: %w", plural, err)
			}
			slices.SortFunc(*items, func(a, b T) int { return order(P(&a), P(&b)) })
			for i := range *items {
				identify(P(&(*items)[i]), kind)
			}
			return p.show(*items, func() error { return table(*items) })
		},
	}
}

func newestFirst(a, b client.Object) int {
	return b.GetCreationTimestamp().Compare(a.GetCreationTimestamp().Time)
}

func byName(a, b client.Object) int { return cmp.Compare(a.GetName(), b.GetName()) }

// read reads a custom resource: noun is what people call it, and command the group of commands that lists those.
func (p *program) read(ctx context.Context, doing, noun, command, name string, into client.Object) (client.Client, error) {
	c, err := p.client()
	if err != nil {
		return nil, err
	}
	if err := c.Get(ctx, p.key(name), into); apierrors.IsNotFound(err) {
		return nil, missing(noun, command, name)
	} else if err != nil {
		return nil, fmt.Errorf("%s %s %s: %w", doing, noun, name, err)
	}
	return c, nil
}

// missing is the error of a name that nothing has.
func missing(noun, command, name string) error {
	return fmt.Errorf("there is no %s named %s; see `coffer %s list`", noun, name, command)
}
