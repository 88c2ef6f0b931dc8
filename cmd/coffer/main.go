// Command coffer is the command line of Coffer.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/deploy/charts"
	"github.com/coffer-backup/coffer/internal/inbound/cli"
	"github.com/coffer-backup/coffer/internal/outbound/blob/location"
	"github.com/coffer-backup/coffer/internal/outbound/blob/object"
	"github.com/coffer-backup/coffer/internal/outbound/helm"
	"github.com/coffer-backup/coffer/internal/outbound/portforward"
)

// version is set by the linker.
var version = "dev"

func main() {
	width, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		width = 0 // It is no terminal.
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, cli.Config{
		Version:           version,
		ClientFunc:        newClient,
		DialFunc:          dial,
		Installer:         installer{&helm.Installer{Chart: charts.Extension, Folder: charts.ExtensionFolder, Log: quiet()}},
		MakeContainerFunc: makeContainer,
		ServerFunc:        newServer,
		Profiles:          profiles(),
		ReadSecretFunc:    readSecret,
		In:                os.Stdin,
		Out:               os.Stdout,
		Err:               os.Stderr,
		Terminal:          term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		Color:             term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		Width:             width,
	}, os.Args[1:])
	stop()
	os.Exit(code)
}

// quiet keeps the libraries' own messages from a person's terminal, but for errors.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

func clientConfig(t cli.Target) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = t.Kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: t.Context}).ClientConfig()
}

// dial connects to a port of a pod.
func dial(ctx context.Context, t cli.Target, pod string, port int) (net.Conn, error) {
	config, err := clientConfig(t)
	if err != nil {
		return nil, err
	}
	return portforward.Dial(ctx, config, t.Namespace, pod, port)
}

func newClient(t cli.Target) (client.Client, error) {
	config, err := clientConfig(t)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, rbacv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register types: %w", err)
		}
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// makeContainer makes the blob container of a location in an object store, if it is missing.
func makeContainer(ctx context.Context, spec v1alpha1.BackupStorageLocationSpec, data map[string][]byte) (bool, error) {
	stores := location.Opener{SecretFunc: func(context.Context, string) (map[string][]byte, error) { return data, nil }}
	container, done, err := stores.Open(ctx, spec)
	if err != nil {
		return false, err
	}
	defer done()
	store, ok := container.(*object.Container)
	if !ok {
		return false, fmt.Errorf("containers of provider %s are not made from outside of a cluster", spec.Provider)
	}
	return store.Make(ctx)
}

// installer lets the command line install with Helm.
type installer struct{ helm *helm.Installer }

// Install implements cli.Installer.
func (i installer) Install(ctx context.Context, t cli.Target, o cli.InstallOptions) error {
	options := helmOptions(t)
	options.Image, options.Set, options.ValuesFiles, options.Values, options.Timeout = o.Image, o.Set, o.ValuesFiles, o.Values, o.Timeout
	return i.helm.Install(ctx, options)
}

// Uninstall implements cli.Installer.
func (i installer) Uninstall(ctx context.Context, t cli.Target) error {
	return i.helm.Uninstall(ctx, helmOptions(t))
}

func helmOptions(t cli.Target) helm.Options {
	flags := genericclioptions.NewConfigFlags(false)
	flags.Namespace = &t.Namespace
	if t.Kubeconfig != "" {
		flags.KubeConfig = &t.Kubeconfig
	}
	if t.Context != "" {
		flags.Context = &t.Context
	}
	return helm.Options{Getter: flags, Namespace: t.Namespace}
}
