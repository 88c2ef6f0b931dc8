package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/lab/internal/image"
)

func newImageCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Make container images without a registry, and load them into a cluster"}
	cmd.AddCommand(newImageBuildCommand(), newImageLoadCommand(g))
	return cmd
}

func newImageBuildCommand() *cobra.Command {
	var binary image.Binary
	var output string
	cmd := &cobra.Command{
		Use:   "build (postgres | toolbox | --binary FILE --tag TAG) -o FILE.tar",
		Short: "Make an image of a static program, or of this machine's PostgreSQL or busybox",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := imageSpec(cmd.Context(), args, binary)
			if err != nil {
				return err
			}
			made, err := image.Build(spec, output)
			if err != nil {
				return err
			}
			state := "is up to date"
			if made {
				state = "is made"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s in %s\n", spec.Tag, state, output)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&output, "output", "o", "", "image file to write")
	flags.StringVar(&binary.File, "binary", "", "static program to make an image of")
	flags.StringVar(&binary.Tag, "tag", "", "full name of the image, such as localhost/coffer/NAME:1")
	flags.StringVar(&binary.User, "user", "65532:65532", "numeric user and group that the program runs as")
	flags.StringArrayVar(&binary.Extra, "add", nil, "further file or folder, SOURCE:/DESTINATION (may be repeated)")
	flags.StringArrayVar(&binary.Env, "env", nil, "environment entry NAME=VALUE (may be repeated)")
	_ = cmd.MarkFlagRequired("output")
	return cmd
}

func imageSpec(ctx context.Context, args []string, binary image.Binary) (image.Spec, error) {
	switch {
	case len(args) == 0 && binary.File != "" && binary.Tag != "":
		return binary.Spec()
	case len(args) == 1 && binary.File == "" && args[0] == "postgres":
		return image.Postgres(ctx, binary.Tag)
	case len(args) == 1 && binary.File == "" && args[0] == "toolbox":
		return image.Toolbox(ctx, binary.Tag)
	case len(args) == 1 && binary.File == "":
		return image.Spec{}, fmt.Errorf("%q is not a kind of image: use postgres, toolbox, or --binary FILE with --tag", args[0])
	}
	return image.Spec{}, fmt.Errorf("say what to make: postgres, toolbox, or --binary FILE with --tag TAG")
}

func newImageLoadCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "load FILE...",
		Short: "Load images into a cluster",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			for _, file := range args {
				if err := image.Load(cmd.Context(), c, file); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
