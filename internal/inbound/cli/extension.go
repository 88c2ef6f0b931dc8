package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// InstallOptions say how the Backup extension is installed.
type InstallOptions struct {
	// Image is REPOSITORY:TAG; empty means the chart's own.
	Image string
	// Set are values of the chart, each KEY=VALUE as Helm reads them.
	Set []string
	// ValuesFiles are YAML files of values; later ones win, Values win over them, and Set wins over all.
	ValuesFiles []string
	Values      map[string]any
	// Timeout bounds the wait for the extension to be ready.
	Timeout time.Duration
}

func (p *program) newExtension() *cobra.Command {
	return group("extension", "Install and remove the Backup extension of a cluster",
		p.newExtensionInstall(), p.newExtensionUninstall())
}

func (p *program) newExtensionInstall() *cobra.Command {
	var o InstallOptions
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the Backup extension, or upgrade it, and wait until it is ready",
		Example: `  coffer extension install
  coffer extension install --set storageLocation.size=100Gi --set storageLocation.storageClassName=fast
  coffer extension install --values values.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.Installer.Install(cmd.Context(), p.target, o); err != nil {
				return fmt.Errorf("install the Backup extension: %w", err)
			}
			_, err := fmt.Fprintf(p.Out, "The Backup extension is ready in namespace %s.\n", p.target.Namespace)
			return err
		},
	}
	o.bind(cmd.Flags())
	return cmd
}

func (o *InstallOptions) bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.Image, "image", "", "image of the extension, REPOSITORY:TAG (default the chart's)")
	flags.StringArrayVar(&o.Set, "set", nil, "a value of the chart, KEY=VALUE")
	flags.StringArrayVarP(&o.ValuesFiles, "values", "f", nil, "a YAML file of values of the chart")
	flags.DurationVar(&o.Timeout, "timeout", 5*time.Minute, "how long to wait for the extension to be ready")
}

func (p *program) newExtensionUninstall() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove the Backup extension; recovery points, hooks and run objects stay",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				if err := p.confirm("Remove the Backup extension? Recovery points stay."); err != nil {
					return err
				}
			}
			if err := p.Installer.Uninstall(cmd.Context(), p.target); err != nil {
				return fmt.Errorf("remove the Backup extension: %w", err)
			}
			_, err := fmt.Fprintf(p.Out, "The Backup extension is gone from namespace %s; its recovery points and custom resources are kept.\n", p.target.Namespace)
			return err
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
