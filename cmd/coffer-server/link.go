package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/internal/inbound/arm"
	"github.com/coffer-backup/coffer/internal/outbound/kubeconfig"
	"github.com/coffer-backup/coffer/internal/outbound/link"
	"github.com/coffer-backup/coffer/internal/outbound/sealing"
)

// linkOptions are those of the links of clusters, and of other replicas.
type linkOptions struct {
	listen, address, replicaURL string
	// kubeconfigNetworks are those of API servers that this server may dial.
	kubeconfigNetworks []string
}

// unlinkTime is how long it may take to end all links and to record that.
const unlinkTime = 10 * time.Second

// replicaHost is the name by which replicas know each other: only the server's own authority makes certificates of it, whatever certificate
// clients are shown.
const replicaHost = "replica.coffer.invalid"

// clusters are the use cases of clusters, and what they need.
type clusters struct {
	hub *link.Hub
	// pool has the clusters that this server dials; nil if it dials none.
	pool      *kubeconfig.Pool
	joining   *vault.Joining
	consents  *vault.Consents
	locations *vault.Locations
	replicas  *vault.Replicas
}

// Session implements catalogue.Clusters.
func (c clusters) Session(ctx context.Context, cluster catalogue.ID) (catalogue.ClusterSession, error) {
	return c.hub.Session(ctx, cluster)
}

// Linked implements catalogue.Clusters.
func (c clusters) Linked() []catalogue.ID { return c.hub.Linked() }

// Close implements arm.Links: it ends the way to a cluster, whichever that is.
func (c clusters) Close(cluster catalogue.ID) {
	c.hub.Close(cluster)
	if c.pool != nil {
		c.pool.Close(cluster)
	}
}

// run dials clusters until ctx ends.
func (c clusters) run(ctx context.Context) {
	if c.pool != nil {
		c.pool.Run(ctx)
	}
}

func (o options) checkLink() error {
	if o.link.replicaURL != "" && (!strings.HasPrefix(o.link.replicaURL, "https://") || strings.HasSuffix(o.link.replicaURL, "/")) {
		return errors.New("--replica-url: write it as https://HOST:PORT, without a slash at its end")
	}
	if _, err := o.link.networks(); err != nil {
		return err
	}
	for flag, value := range map[string]string{"link-listen": o.link.listen, "link-address": o.link.address} {
		if _, _, err := net.SplitHostPort(value); value != "" && err != nil {
			return fmt.Errorf("--%s: %w", flag, err)
		}
	}
	return nil
}

// linkAddress is what connectors are told: empty if they cannot dial this server.
func (o options) linkAddress(hosts []string) string {
	if o.link.address != "" || o.link.listen == "" {
		return o.link.address
	}
	_, port, err := net.SplitHostPort(o.link.listen)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(hosts[0], port)
}

// bracketed is a url whose host may be an address of IPv6 as Kubernetes gives it, without brackets.
func bracketed(url string) string {
	host, port := strings.TrimPrefix(url, "https://"), ""
	if at := strings.LastIndexByte(host, ':'); at >= 0 {
		host, port = host[:at], host[at+1:]
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "https://" + net.JoinHostPort(host, port)
	}
	return url
}

// newClusters makes the use cases of clusters.
func (s *service) newClusters(ctx context.Context, o options, sealer *sealing.Sealer) (c clusters, err error) {
	name, err := replicaName(o.dataDir)
	if err != nil {
		return c, err
	}
	log := s.log.With("replica", name)
	config := vault.JoiningConfig{
		Database: s.db, Sealer: sealer, Authority: s.own, NowFunc: time.Now, Random: rand.Reader,
		Address: o.linkAddress(s.hosts), Hosts: s.hosts, Replica: name, Log: log,
	}
	dialer, err := o.link.dialer()
	if err != nil {
		return c, err
	}
	links := link.Config{Log: log, NowFunc: time.Now}
	if dialer != nil {
		config.AskFunc = dialer.Ask
	}
	if c.joining, err = vault.NewJoining(config); err != nil {
		return c, err
	}
	if dialer != nil {
		if c.pool, err = kubeconfig.NewPool(kubeconfig.PoolConfig{Dialer: dialer, Keeper: c.joining, Log: log}); err != nil {
			return c, err
		}
		links.Others = c.pool
	}
	links.Keeper = c.joining
	if c.hub, err = link.New(links); err != nil {
		return c, err
	}
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coffer_server_links", Help: "Clusters that are linked to this replica.",
	}, func() float64 { return float64(c.hub.Count()) }))
	c.consents, err = vault.NewConsents(vault.ConsentsConfig{Database: s.db, Clusters: c.hub, NowFunc: time.Now, Log: log})
	if err != nil {
		return c, err
	}
	c.locations, err = vault.NewLocations(vault.LocationsConfig{Database: s.db, Clusters: c.hub, NowFunc: time.Now, Log: log})
	if err != nil {
		return c, err
	}
	c.replicas, err = vault.NewReplicas(vault.ReplicasConfig{
		Database: s.db, Joining: c.joining, Clusters: c.hub, Close: c.Close, URL: cmp.Or(bracketed(o.link.replicaURL), s.url), NowFunc: time.Now, Log: log,
	})
	if err != nil {
		return c, err
	}
	return c, c.replicas.Begin(ctx)
}

// passOn is how requests reach the replica that has the link they need.
func (s *service) passOn(c clusters) arm.Replicas {
	return arm.Replicas{
		Elsewhere: c.replicas.Elsewhere,
		Transport: &http.Transport{
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: s.own.Pool(), ServerName: replicaHost},
			TLSHandshakeTimeout:   headerTime,
			ResponseHeaderTimeout: writeTime, IdleConnTimeout: idleTime, MaxIdleConnsPerHost: 16,
		},
	}
}

// byReplicas serves the server's own certificate to other replicas, where clients are shown another one.
func (s *service) byReplicas(others func(*tls.ClientHelloInfo) (*tls.Certificate, error)) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	own := s.own.Serve(s.hosts)
	return func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if h.ServerName == replicaHost {
			return own(h)
		}
		return others(h)
	}
}

// unlink ends all links, once requests that need them have ended. What cannot be recorded of that is by the next start, or by another replica.
func (s *service) unlink(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlinkTime)
	defer cancel()
	// All at once: then there is nothing left to record of each.
	if err := errors.Join(s.clusters.replicas.End(ctx), s.clusters.hub.Shutdown(ctx)); err != nil {
		s.log.Warn("it is not recorded that links have ended", "error", err)
	}
}

// replicaFile has the name of this replica, which is drawn at its first start.
const replicaFile = "replica"

var replicaForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,80}[a-z0-9])?$`)

// replicaName is what this replica is called among all that share a database: this machine's name and something random.
func replicaName(folder string) (string, error) {
	file := filepath.Join(folder, replicaFile)
	text, err := os.ReadFile(file) //nolint:gosec // The administrator names the folder.
	if name := strings.TrimSpace(string(text)); err == nil && replicaForm.MatchString(name) {
		return name, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	var random [4]byte
	if _, err := io.ReadFull(rand.Reader, random[:]); err != nil {
		return "", err
	}
	host = strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(host[:min(len(host), 63)])), "-")
	name := fmt.Sprintf("%s-%x", cmp.Or(host, "replica"), random)
	return name, writeFile(file, []byte(name+"\n"), 0o600)
}
