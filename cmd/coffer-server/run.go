package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/history"
	"github.com/coffer-backup/coffer/internal/decide/quota"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
	"github.com/coffer-backup/coffer/internal/flow/lifecycle"
	"github.com/coffer-backup/coffer/internal/flow/runner"
	"github.com/coffer-backup/coffer/internal/flow/scheduler"
	"github.com/coffer-backup/coffer/internal/flow/tiering"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/internal/inbound/arm"
	"github.com/coffer-backup/coffer/internal/inbound/identity"
	"github.com/coffer-backup/coffer/internal/outbound/clusterclient"
	"github.com/coffer-backup/coffer/internal/outbound/link"
	"github.com/coffer-backup/coffer/internal/outbound/metadb"
	"github.com/coffer-backup/coffer/internal/outbound/sealing"
)

// run starts the server, and serves until ctx ends.
func run(ctx context.Context, o options, out io.Writer) error {
	log, err := newLogger(o.logLevel)
	if err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(o.dataDir, 0o700); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	release, err := lockFolder(o.dataDir)
	if err != nil {
		return fmt.Errorf("--data-dir %s: %w", o.dataDir, err)
	}
	defer release()
	if err := o.checkDatabase(); err != nil {
		return fmt.Errorf("--data-dir %s: %w", o.dataDir, err)
	}
	sealer, err := openSealer(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = sealer.Close() }()
	db, err := openDatabase(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	s, err := newService(ctx, o, db, sealer, log)
	if err != nil {
		return err
	}
	listeners, err := s.listen(ctx, o)
	if err != nil {
		return err
	}
	s.greet(out, o, listeners[0].Addr())
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(running, listeners) })
	group.Go(func() error { s.histories.Run(running); return nil })
	group.Go(func() error { s.clusters.run(running); return nil })
	group.Go(func() error { s.clusters.consents.Run(running); return nil })
	group.Go(func() error { s.clusters.locations.Run(running); return nil })
	group.Go(func() error { s.runner.Run(running); return nil })
	group.Go(func() error { s.scheduler.Run(running); return nil })
	group.Go(func() error { s.lifecycle.Run(running); return nil })
	group.Go(func() error { s.tiering.Run(running); return nil })
	group.Go(func() error { s.clusters.replicas.Run(running); return nil })
	err = group.Wait()
	s.unlink(ctx)
	return err
}

func (o options) check() error {
	switch {
	case o.dataDir == "":
		return errors.New("--data-dir is not given: name a folder that the server keeps its files in")
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key go together: give both, or none for the server's own certificate")
	case strings.HasSuffix(o.url, "/"):
		return errors.New("--url: write it without a slash at its end, for paths are put after it")
	case (o.oidc.issuer == "") != (o.oidc.audience == ""):
		return errors.New("--oidc-issuer and --oidc-audience go together")
	}
	return o.checkLink()
}

// openSealer opens the encryption key: one in a file is made at the first start of a server of its own. One that is shared by several
// is made by whoever runs them.
func openSealer(ctx context.Context, o options) (*sealing.Sealer, error) {
	switch {
	case strings.Contains(o.encryptionKey, "://"):
		return sealing.Open(ctx, sealing.Config{Services: []string{o.encryptionKey}})
	case o.encryptionKey != "":
		return sealing.Open(ctx, sealing.Config{KeyFile: o.encryptionKey})
	case o.database != "":
		return nil, errors.New("--encryption-key is not given: a database that servers share needs a key that they share; `head -c 32 /dev/urandom | base64` makes one")
	}
	file := filepath.Join(o.dataDir, "encryption.key")
	if err := takeBack(file); err != nil {
		return nil, err
	}
	_, err := os.Stat(filepath.Join(o.dataDir, databaseFile))
	// A new key would open nothing of a database that is there.
	return sealing.Open(ctx, sealing.Config{KeyFile: file, Create: errors.Is(err, os.ErrNotExist)})
}

const databaseFile = "coffer.db"

// checkDatabase refuses a data folder whose database has gone. A new one in its place would be empty, with another administrator in the file of the
// first, and what is in a write-ahead log alone would be lost.
func (o options) checkDatabase() error {
	name, err := filepath.Abs(filepath.Join(o.dataDir, databaseFile))
	if err != nil || o.database != "" {
		return err
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	why := ""
	file := filepath.Join(filepath.Dir(name), administratorFile)
	if c, err := readCredential(file, os.ReadFile); err == nil && c.TenantID != "" {
		why = file + " is of its administrator"
	}
	if log, err := os.Stat(name + "-wal"); err == nil && log.Size() > 0 {
		why = name + "-wal has what was written to it last"
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("the database %s is not there, and there was one: %s. Put it back, with its -wal file if that was moved, too; to begin anew without all that it knows, name another folder", name, why)
}

func openDatabase(ctx context.Context, o options) (*metadb.Database, error) {
	switch {
	case o.database == "":
		return metadb.OpenSQLite(ctx, metadb.SQLite{File: filepath.Join(o.dataDir, databaseFile)})
	case strings.HasPrefix(o.database, "postgres://"), strings.HasPrefix(o.database, "postgresql://"):
		return metadb.OpenPostgres(ctx, metadb.Postgres{URL: o.database})
	}
	return nil, errors.New("--database: give postgres://USER:PASSWORD@HOST/NAME, or nothing for SQLite in the data folder")
}

// service is the server before it listens.
type service struct {
	db     *metadb.Database
	log    *slog.Logger
	tenant vault.Tenant
	own    *vault.Authority
	tls    *tls.Config
	url    string
	// hosts are the names and addresses of the server's own certificate, the first of which it is known by.
	hosts    []string
	clusters clusters
	handler  http.Handler
	keeper   *vault.Keeper
	registry *prometheus.Registry
	// runner, scheduler, lifecycle, histories and tiering do what nobody has to ask for.
	runner    *runner.Runner
	scheduler *scheduler.Scheduler
	lifecycle *lifecycle.Lifecycle
	histories *lifecycle.Histories
	tiering   *tiering.Tiering
}

func newService(ctx context.Context, o options, db *metadb.Database, sealer *sealing.Sealer, log *slog.Logger) (*service, error) {
	s := &service{db: db, log: log, registry: prometheus.NewRegistry()}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	access, err := vault.NewAccess(vault.AccessConfig{Database: db, Sealer: sealer, NowFunc: time.Now, Random: rand.Reader})
	if err != nil {
		return nil, err
	}
	if s.tenant, err = vault.EnsureTenant(ctx, access); err != nil {
		return nil, err
	}
	if s.own, err = vault.OpenAuthority(ctx, db, sealer, time.Now); err != nil {
		return nil, err
	}
	if err := s.secure(o); err != nil {
		return nil, err
	}
	if err := s.ensureAdministrator(ctx, o, access); err != nil {
		return nil, err
	}
	tokens, err := identity.New(ctx, identity.Config{
		Database: db, Sealer: sealer, Tenant: s.tenant.ID, PublicURL: s.url, Audiences: []string{s.url}, Issuers: o.oidc.issuers(),
		NowFunc: time.Now, Random: rand.Reader, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	pairs, err := decide.ParsePairs(o.regionPairs)
	if err != nil {
		return nil, fmt.Errorf("--region-pairs: %w", err)
	}
	quotas, err := quota.Parse(o.quotas)
	if err != nil {
		return nil, fmt.Errorf("--quotas: %w", err)
	}
	policies := o.limits(log)
	s.keeper = &vault.Keeper{
		DB: db, Now: time.Now, NewID: newID, NewObjectID: newObjectID, Kinds: kinds(sealer, s.tenant.ID, policies), Policies: policies, Quotas: quotas, Pairs: pairs, Day: o.day(),
	}
	if s.clusters, err = s.newClusters(ctx, o, sealer); err != nil {
		return nil, err
	}
	kept, err := history.Parse(o.histories)
	if err != nil {
		return nil, fmt.Errorf("--histories: %w", err)
	}
	s.histories = lifecycle.NewHistories(lifecycle.HistoriesConfig{
		Keeper: s.keeper, Kept: kept, Mine: s.clusters.replicas.Mine, Log: log, NowFunc: time.Now, Observe: newHistoryMetrics(s.registry),
	})
	api := arm.New(arm.Config{
		Keeper: s.keeper, Jobs: s.newJobs(), Joining: s.clusters.joining, Consents: s.clusters.consents, Links: s.clusters, Replicas: s.passOn(s.clusters),
		Access: access, Authenticate: tokens.Authenticate, Tenant: s.tenant.ID, URL: o.url, Log: log, NewID: newID,
		Observe: newMetrics(s.registry).observe,
	})
	document, err := api.OpenAPI()
	if err != nil {
		return nil, err
	}
	metadata := arm.Metadata(api.Base)
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case identity.Serves(r.URL.Path):
			tokens.ServeHTTP(w, r)
		case strings.EqualFold(strings.Trim(r.URL.Path, "/"), "metadata/endpoints"):
			metadata.ServeHTTP(w, r)
		case r.URL.Path == "/openapi.json" && r.Method == http.MethodGet:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(document)
		default:
			api.ServeHTTP(w, r)
		}
	})
	return s, nil
}

// newJobs makes the jobs of vaults, and who carries them out.
func (s *service) newJobs() *vault.Jobs {
	jobs := &vault.Jobs{Keeper: s.keeper, Clusters: s.clusters.hub, Runs: func(session catalogue.ClusterSession, identity string) vault.Runs {
		return clusterclient.New(session, identity)
	}}
	mine := s.clusters.replicas.Mine
	s.runner = runner.New(runner.Config{Jobs: jobs, Mine: mine, Log: s.log, NowFunc: time.Now})
	jobs.Wake = s.runner.Wake
	s.scheduler = scheduler.New(scheduler.Config{Jobs: jobs, Mine: mine, Log: s.log, NowFunc: time.Now, Observe: newScheduleMetrics(s.registry).observe})
	s.lifecycle = lifecycle.New(lifecycle.Config{Jobs: jobs, Mine: mine, Log: s.log, NowFunc: time.Now})
	// There is no vault tier yet: of what is to be copied there, that is said.
	s.tiering = tiering.New(tiering.Config{Jobs: jobs, Mine: mine, Log: s.log, NowFunc: time.Now})
	return jobs
}

// limits are those of policies, which tests have no time for.
func (o options) limits(log *slog.Logger) retention.Limits {
	if !o.shortPolicies {
		return retention.Limits{}
	}
	log.Warn("policies by the minute are taken: this server is for tests")
	return retention.Minutes()
}

// day is how long a day of soft delete lasts; 0 is a day.
func (o options) day() time.Duration {
	if o.shortPolicies {
		return time.Second
	}
	return 0
}

// kinds are all types of resources that the server keeps.
func kinds(sealer catalogue.Sealer, tenant string, policies retention.Limits) vault.Kinds {
	return vault.NewKinds(
		vault.SubscriptionKind(tenant), vault.GroupKind(), vault.StorageKind(),
		vault.ClusterKind(tenant), vault.BindingKind(), vault.ExtensionKind(sealer, tenant),
		vault.BackupVaultKind(tenant), vault.PolicyKind(policies), vault.InstanceKind(), vault.DeletedInstanceKind(), vault.DeletedVaultKind(), vault.GuardKind(), vault.GuardProxyKind(),
	)
}

func newID() string { return uuid.NewString() }

func newObjectID() string { return catalogue.MintObjectID(uuid.New()) }

func (o oidcOptions) issuers() []identity.Issuer {
	if o.issuer == "" {
		return nil
	}
	return []identity.Issuer{{
		URL: o.issuer, Audiences: []string{o.audience}, ObjectIDClaim: o.objectIDClaim, NameClaim: o.nameClaim, GroupsClaim: o.groupsClaim,
	}}
}

// secure chooses the certificate, and by which url clients reach the server.
func (s *service) secure(o options) error {
	hosts := o.hostnames
	if len(hosts) == 0 {
		hosts = []string{"localhost", "127.0.0.1", "::1"}
		if name, err := os.Hostname(); err == nil && name != "localhost" {
			hosts = append(hosts, name)
		}
	}
	s.hosts = slices.Concat(hosts, []string{replicaHost})
	if host, _, err := net.SplitHostPort(o.linkAddress(hosts)); err == nil && !slices.Contains(hosts, host) {
		s.hosts = append(s.hosts, host)
	}
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.own.Serve(s.hosts), NextProtos: []string{"h2", "http/1.1"}}
	if o.tlsCert != "" {
		given := &certificateFile{cert: o.tlsCert, key: o.tlsKey, log: s.log, now: time.Now}
		if _, err := given.get(nil); err != nil {
			return fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		s.tls.GetCertificate = s.byReplicas(given.get)
	} else if err := writeFile(filepath.Join(o.dataDir, authorityFile), s.own.PEM, 0o644); err != nil {
		return err
	}
	s.url = o.url
	if s.url == "" {
		_, port, err := net.SplitHostPort(o.listen)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		s.url = "https://" + net.JoinHostPort(hosts[0], port)
	}
	return nil
}

// listen opens all addresses that the server has; the first is that of clients.
func (s *service) listen(ctx context.Context, o options) (all []listener, err error) {
	hub := s.clusters.hub
	for _, l := range []struct {
		flag, address string
		tls           *tls.Config
		server        *http.Server
	}{
		{"listen", o.listen, s.tls, newHTTPServer(s.handler, s.log)},
		{"status-listen", o.statusListen, nil, newHTTPServer(statusHandler(s.registry, s.db.Ping), s.log)},
		{"link-listen", o.link.listen, link.TLS(s.own.Certificate(), s.own.Serve(s.hosts)), hub.Server()},
	} {
		if l.address == "" && l.flag != "listen" {
			continue
		}
		opened, err := listen(ctx, l.flag, l.address, l.tls, l.server)
		if err != nil {
			for _, other := range all {
				err = errors.Join(err, other.Close())
			}
			return nil, err
		}
		all = append(all, opened)
	}
	return all, nil
}

// greet says where the server listens, and what to do next.
func (s *service) greet(out io.Writer, o options, address net.Addr) {
	fmt.Fprintf(out, "coffer-server %s listens on https://%s, as %s\n", version, address, s.url)
	if address := o.linkAddress(s.hosts); address != "" {
		fmt.Fprintf(out, "clusters join at %s\n", address)
	}
	fmt.Fprintf(out, "tenant %s, first subscription %s\n", s.tenant.ID, s.tenant.Subscription)
	file := filepath.Join(o.dataDir, administratorFile)
	if _, err := os.Stat(file); err == nil {
		fmt.Fprintf(out, "next: coffer login --credentials %s\n", file)
	}
}
