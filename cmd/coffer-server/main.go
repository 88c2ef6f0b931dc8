// Command coffer-server is the Backup vault's service: the API of Azure Resource Manager, and what it knows.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // Schedules have time zones, also where the image has none.

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "coffer-server:", err)
		os.Exit(1)
	}
}

// options are the flags. A configuration file may give them, too.
type options struct {
	config        string
	dataDir       string
	database      string
	listen        string
	statusListen  string
	url           string
	hostnames     []string
	tlsCert       string
	tlsKey        string
	encryptionKey string
	// adminCredential is the file of a credential that was prepared for the first administrator.
	adminCredential string
	logLevel        string
	shortPolicies   bool
	// regionPairs are paired regions of one's own.
	regionPairs []string
	// quotas bound what there may be.
	quotas []string
	// histories say for how long is kept what has been.
	histories []string
	oidc      oidcOptions
	link      linkOptions
}

// oidcOptions are those of an issuer of tokens beside the server itself.
type oidcOptions struct {
	issuer, audience                      string
	objectIDClaim, nameClaim, groupsClaim string
}

func newCommand() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:   "coffer-server --data-dir DIR",
		Short: "Serve Backup vaults to clients of Azure Resource Manager",
		Long: `Serve Backup vaults to clients of Azure Resource Manager: Terraform, SDKs, az rest and coffer.

The first start makes a database, a certificate authority, a key that secrets are encrypted with, and one administrator, whose
credential is written to DIR/admin.json. Back up DIR, or the database and the encryption key: one is nothing without the other.`,
		Version: version, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := readConfig(cmd.Flags(), o.config); err != nil {
				return err
			}
			return run(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	flags := root.Flags()
	flags.StringVar(&o.config, "config", "", "YAML file with values of these flags by their names; a flag that is given goes before it")
	flags.StringVar(&o.dataDir, "data-dir", "", "folder that the server keeps its files in; it is made if it is missing")
	flags.StringVar(&o.database, "database", "", "postgres://USER:PASSWORD@HOST/NAME of a database that several replicas may share (default SQLite in the data folder)")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8443", "address and port for clients, by TLS")
	flags.StringVar(&o.statusListen, "status-listen", "127.0.0.1:8444", "address and port for /healthz, /readyz and /metrics, in the clear; empty for nowhere")
	flags.StringVar(&o.link.listen, "link-listen", "127.0.0.1:8445", "address and port for the connectors of clusters, by TLS with the server's own certificate; empty for nowhere")
	flags.StringVar(&o.link.address, "link-address", "", "HOST:PORT that connectors are told to dial (default the first hostname and the port of --link-listen)")
	flags.StringVar(&o.link.replicaURL, "replica-url", "", "https url that other replicas reach this one by, for requests that need a cluster that is linked to it (default --url)")
	flags.StringSliceVar(&o.link.kubeconfigNetworks, "kubeconfig-networks", nil, "networks, such as 10.20.0.0/16, of API servers that this server may dial by kubeconfigs of clusters' owners; special addresses such as 127.0.0.1 only by a network of nothing else (default none: clusters join by their connectors)")
	flags.StringVar(&o.url, "url", "", "https url that clients reach the server by, the same for all replicas; tokens are issued in its name (default the first hostname and the port of --listen)")
	flags.StringSliceVar(&o.hostnames, "hostname", nil, "name or address that is to be in the server's own certificate (default localhost, 127.0.0.1, ::1 and this machine's name)")
	flags.StringVar(&o.tlsCert, "tls-cert", "", "PEM file with a certificate, and those between it and its authority, instead of the server's own")
	flags.StringVar(&o.tlsKey, "tls-key", "", "PEM file with its key")
	flags.StringVar(&o.encryptionKey, "encryption-key", "", "file of keys, or url of a key service, that secrets are encrypted with (default DIR/encryption.key, made at the first start)")
	flags.StringVar(&o.adminCredential, "admin-credential", "", "file made by coffer-server new-credential, with what the first administrator is to have; once used, it may be put away (default one that is made, in DIR/admin.json)")
	flags.StringVar(&o.oidc.issuer, "oidc-issuer", "", "url of an OpenID Connect issuer whose tokens are taken, too")
	flags.StringVar(&o.oidc.audience, "oidc-audience", "", "audience that its tokens must have")
	flags.StringVar(&o.oidc.objectIDClaim, "oidc-object-id-claim", "", "claim that role assignments name, which people must not be able to choose: oid for Entra (default sub)")
	flags.StringVar(&o.oidc.nameClaim, "oidc-name-claim", "", "claim with the name for people (default preferred_username, or name)")
	flags.StringVar(&o.oidc.groupsClaim, "oidc-groups-claim", "", "claim with the groups (default groups)")
	flags.StringSliceVar(&o.regionPairs, "region-pairs", nil, "paired regions of your own, each REGION=REGION: a GeoRedundant vault with cross-region restore restores to clusters of its region's pair (default Azure's, which these go before)")
	flags.StringSliceVar(&o.quotas, "quotas", nil, "how many there may be: aks for those of AKS Backup, or on-demand-backups=N and restores=N (of an instance on a day, by UTC), namespaces=N (of an instance), instances=N, policies=N (of a vault); a later one goes before (default none)")
	flags.StringSliceVar(&o.histories, "histories", nil, "for how long is kept what has been, each KIND=DURATION of seven days or more, or KIND=0 for ever: audit-log, jobs (that have ended), operations, slots, alerts (that are closed), meter (default audit-log=P2Y,jobs=P180D,operations=P7D,slots=P400D,alerts=P90D,meter=P1098D)")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.BoolVar(&o.shortPolicies, "short-policies", false, "for tests: take policies that back up by the minute, and keep for minutes; a day of soft delete is a second")
	if err := flags.MarkHidden("short-policies"); err != nil {
		panic(err)
	}
	root.AddCommand(newAdminCredentialCommand(), newNewCredentialCommand())
	return root
}

func newLogger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", level)
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}
