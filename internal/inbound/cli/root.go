// Package cli is the command line for people: the commands of the program coffer, and how they talk.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
)

// Target is how the user names a cluster.
type Target struct {
	// Kubeconfig is a file; empty means KUBECONFIG or the usual place.
	Kubeconfig string
	// Context of it; empty means the current one.
	Context string
	// Namespace of the Backup extension.
	Namespace string
}

// Installer installs the Backup extension into a cluster.
type Installer interface {
	// Install installs or upgrades, and waits until the extension is ready.
	Install(ctx context.Context, t Target, o InstallOptions) error
	// Uninstall removes the extension. Recovery points, and with them the claim of the blobs, stay.
	Uninstall(ctx context.Context, t Target) error
}

// Config is what the commands need of the outside.
type Config struct {
	// Version of the program.
	Version string
	// ClientFunc makes a client for a cluster.
	ClientFunc func(Target) (client.Client, error)
	// DialFunc connects to a port on the loopback interface of a pod in the target's namespace.
	DialFunc  func(ctx context.Context, t Target, pod string, port int) (net.Conn, error)
	Installer Installer
	// MakeContainerFunc makes the blob container of a location in an object store, if it is missing. The data are those of the Secret that
	// the location names.
	MakeContainerFunc func(ctx context.Context, spec v1alpha1.BackupStorageLocationSpec, data map[string][]byte) (made bool, err error)
	// ServerFunc makes a client of the server of a profile; nothing is called yet.
	ServerFunc func(profile.Profile) (Server, error)
	Profiles   profile.Store
	// ReadSecretFunc reads a line from the terminal that is not shown there.
	ReadSecretFunc func() (string, error)
	In             io.Reader
	Out, Err       io.Writer
	// Terminal says that In and Err are a person's terminal.
	Terminal bool
	// Color says that Out is a terminal of somebody who likes colours.
	Color bool
	// Width is how many columns the terminal that Out is has, for tables to fit it; zero says that it is none, or not known.
	Width int
	// PollInterval is between questions about a job that is waited for; zero is two seconds.
	PollInterval time.Duration
}

// Exit codes of the program.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	// exitUnworkable is for a plan that cannot be carried out as it is, and for a validation of which a check has failed.
	exitUnworkable = 3
)

// Run runs the program with arguments and answers its exit code: 0 if all went well, 1 if something failed, 2 if the
// command line was wrong, 3 if a plan that was shown cannot be carried out as it is, or a check has failed.
func Run(ctx context.Context, c Config, args []string) int {
	root := newRoot(c)
	root.SetArgs(args)
	ran, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(c.Err, "coffer: %v\n", err)
		return exitUsage
	case errors.Is(err, errUnworkable):
		return exitUnworkable
	case errors.Is(err, errShown):
	case refusalText(err, ran) != "":
		_, _ = fmt.Fprintln(c.Err, "coffer: "+refusalText(err, ran))
	default:
		_, _ = fmt.Fprintf(c.Err, "coffer: %s\n", harmless(explain(err).Error()))
	}
	return exitFailed
}

// usageError is a command line that is wrong.
type usageError struct{ error }

// errShown ends the program with a failure that has been shown already.
var errShown = errors.New("failed")

// errUnworkable ends the program once a plan was shown that cannot be carried out as it is, or a check that has failed.
var errUnworkable = errors.New("not to be carried out")

type program struct {
	Config
	target Target
	output string
	// flags are those of commands on a server.
	flags serverFlags
}

func newRoot(c Config) *cobra.Command {
	p := &program{Config: c}
	root := &cobra.Command{
		Use:           "coffer",
		Short:         "Back up and restore Kubernetes clusters",
		Version:       c.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(c.In)
	root.SetOut(c.Out)
	root.SetErr(c.Err)
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.StringVar(&p.target.Kubeconfig, "kubeconfig", "", "kubeconfig file of the cluster (default KUBECONFIG, or ~/.kube/config)")
	flags.StringVar(&p.target.Context, "context", "", "context of the kubeconfig (default the current one)")
	flags.StringVarP(&p.target.Namespace, "namespace", "n", v1alpha1.DefaultNamespace, "namespace of the Backup extension")
	flags.StringVarP(&p.output, "output", "o", "table", "how results are shown: table, json or yaml")
	root.AddCommand(p.newBackup(), p.newRestore(), p.newStorageLocation(), p.newVelero(), p.newExtension())
	root.AddCommand(
		p.newLogin(), p.newLogout(), p.newProfile(), p.newBackupVault(), p.newResourceGuard(), p.newBackupPolicy(), p.newServicePrincipal(), p.newRole(),
		p.newResourceGroup(), p.newSubscription(), p.newRest(),
		p.newCluster(), p.newTrustedAccess(), p.newProtect(),
		p.newBackupInstance(), p.newRecoveryPoint(), p.newJob(), p.newAlert(),
	)
	return root
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short, Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	g.AddCommand(commands...)
	return g
}

// knownCommand is for commands that only hold others: what is left on the line is none of those.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.SuggestionsMinimumDistance == 0 {
		cmd.SuggestionsMinimumDistance = 2 // Zero would suggest nothing.
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usageError{fmt.Errorf("unknown command %q: is `%s %s` meant? See `%s --help`", args[0], cmd.CommandPath(), near[0], cmd.CommandPath())}
	}
	return usageError{fmt.Errorf("unknown command %q; see `%s --help`", args[0], cmd.CommandPath())}
}

// flagError says what is wrong with a flag, and where to read of it.
func flagError(cmd *cobra.Command, err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		kinds := map[string]string{"int": "a whole number", "float64": "a number", "bool": "true or false", "duration": "a time such as 90s or 5m"}
		if kind := kinds[invalid.GetFlag().Value.Type()]; kind != "" {
			err = fmt.Errorf("--%s %q is not %s", invalid.GetFlag().Name, invalid.GetValue(), kind)
		}
	}
	return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
}

// oneName takes exactly one argument, the name of a KIND.
func oneName(kind string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("give one name of a %s: %s", kind, cmd.UseLine())}
		}
		return nil
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q: %s", args[0], cmd.UseLine())}
	}
	return nil
}

func (p *program) client() (client.Client, error) {
	c, err := p.ClientFunc(p.target)
	if err != nil {
		return nil, fmt.Errorf("no cluster to talk to: %w; name one with --kubeconfig or --context", err)
	}
	return c, nil
}

func (p *program) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: p.target.Namespace, Name: name}
}

// explain says what to do about the errors that every command can meet.
func explain(err error) error {
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("the Backup extension is not installed in this cluster (%w); install it with `coffer extension install`", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you are not allowed to do this in the cluster: %w", err)
	}
	return err
}
