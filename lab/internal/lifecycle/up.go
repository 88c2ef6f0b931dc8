// Package lifecycle brings clusters up and ends them, in order.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/coffer-backup/coffer/lab/internal/cgroup"
	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/component"
	"github.com/coffer-backup/coffer/lab/internal/config"
	"github.com/coffer-backup/coffer/lab/internal/forward"
	"github.com/coffer-backup/coffer/lab/internal/image"
	"github.com/coffer-backup/coffer/lab/internal/network"
	"github.com/coffer-backup/coffer/lab/internal/pki"
	"github.com/coffer-backup/coffer/lab/internal/pool"
	"github.com/coffer-backup/coffer/lab/internal/preflight"
	"github.com/coffer-backup/coffer/lab/internal/teardown"
)

// UpConfig is a cluster to bring up.
type UpConfig struct {
	preflight.Request
	// Keep leaves a cluster that did not come up, for a look at it.
	Keep bool
	// Timeout is how long it may take.
	Timeout time.Duration
	// Progress gets one line per step.
	Progress io.Writer
}

// ProblemsError holds everything that preflight found.
type ProblemsError []preflight.Problem

// Error is one line per problem.
func (e ProblemsError) Error() string {
	text := ""
	for i, problem := range e {
		if i > 0 {
			text += "\n"
		}
		text += problem.String()
	}
	return text
}

// Up brings a cluster up and returns it when it can be used. If that does not work, nothing of it is left, unless it
// was asked to be kept. The error is a ProblemsError if it was not even begun.
func Up(ctx context.Context, cfg UpConfig) (*cluster.Cluster, error) {
	if problems := preflight.Check(ctx, cfg.Request); len(problems) > 0 {
		return nil, ProblemsError(problems)
	}
	c, lock, err := claim(cfg)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	limited, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	if err = bringUp(limited, c, newProgress(cfg.Progress)); err == nil {
		return c, nil
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if cfg.Keep {
		return nil, fmt.Errorf("%w\nwhat there is of it is kept; end it with `lab down --name %s`", err, c.Name)
	}
	// Also when the caller has interrupted it.
	if _, downErr := removeCluster(context.WithoutCancel(ctx), teardown.Target{Root: c.Root(), Name: c.Name, Foreign: c.Mode == cluster.ControlPlaneOnly}); downErr != nil {
		return nil, fmt.Errorf("%w\nand taking it down again: %w", err, downErr)
	}
	return nil, err
}

// claim takes the name and the ports.
func claim(cfg UpConfig) (*cluster.Cluster, *cluster.Lock, error) {
	c := cluster.Cluster{Name: cfg.Name, Mode: cfg.Mode, BinDir: cfg.BinDir, HostPort: cfg.HostPort, NodeCount: cfg.Nodes, Created: time.Now().UTC().Truncate(time.Second)}
	free, err := forward.FreePorts(4)
	if err != nil {
		return nil, nil, err
	}
	if c.HostPort == 0 {
		c.HostPort = free[0]
	}
	c.Ports = cluster.FixedPorts()
	if c.Mode == cluster.ControlPlaneOnly {
		c.Ports = cluster.Ports{APIServer: c.HostPort, Etcd: free[1], EtcdPeer: free[2], ControllerManager: free[3]}
	}
	created, lock, err := cfg.Root.Create(c)
	if errors.Is(err, cluster.ErrExists) {
		return nil, nil, fmt.Errorf("cluster %s is already being brought up", cfg.Name)
	}
	return created, lock, err
}

func bringUp(ctx context.Context, c *cluster.Cluster, progress *progress) error {
	if c.Mode == cluster.Full {
		if err := prepareMachine(ctx, c, progress); err != nil {
			return err
		}
	}
	if err := pki.Write(c, time.Now()); err != nil {
		return err
	}
	if c.Mode == cluster.Full {
		for _, node := range c.Nodes() {
			if err := prepareNode(c, node); err != nil {
				return err
			}
		}
		spec, err := image.Pause(c.BinDir)
		if err != nil {
			return err
		}
		if _, err = image.Build(spec, pauseFile(c)); err != nil {
			return err
		}
	}
	progress.step("certificates and configuration")
	return startAll(ctx, c, progress)
}

// prepareMachine makes what the cluster needs from the machine: network, control group, storage pool.
func prepareMachine(ctx context.Context, c *cluster.Cluster, progress *progress) error {
	if err := teardown.RecordSysctls(); err != nil {
		return err
	}
	index, err := network.Create(ctx, c)
	if err != nil {
		return err
	}
	c.Index = index
	if err := c.Save(); err != nil {
		return err
	}
	for _, node := range c.Nodes() {
		progress.step("network namespace %s, node %s", node.Namespace(), node.IP())
		if err := cgroup.Create(node.Cgroup()); err != nil {
			return err
		}
	}
	lock, err := lockRoot(ctx, c.Root())
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := pool.Ensure(ctx, c.Root()); err != nil {
		return err
	}
	progress.step("storage pool %s", c.Root().Pool())
	return nil
}

// prepareNode writes a node's files.
func prepareNode(c *cluster.Cluster, n cluster.Node) error {
	if err := makeFolders(n.Path("run"), n.Path("kubelet", "plugins", component.DriverName), n.Path("kubelet", "plugins", component.DriverNameNoSnap), n.RegistrationDir()); err != nil {
		return err
	}
	if err := config.Write(c, n); err != nil {
		return err
	}
	// Pods that follow mounts in the kubelet's folder need it to pass them on, whatever the machine's root does.
	if err := unix.Mount(n.KubeletDir(), n.KubeletDir(), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the kubelet's folder: %w", err)
	}
	if err := unix.Mount("", n.KubeletDir(), "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("share mounts in the kubelet's folder: %w", err)
	}
	return nil
}

func pauseFile(c *cluster.Cluster) string { return c.Path("pause.tar") }

// early are the components that the API server, or nothing, is needed for, beside the container runtimes. The others
// start once it answers: their retries would only make them slower.
var early = map[string]bool{component.Etcd: true, component.APIServer: true, component.Forwarder: true}

func startAll(ctx context.Context, c *cluster.Cluster, progress *progress) error {
	runtimes := map[string]cluster.Node{}
	for _, node := range c.Nodes() {
		runtimes[node.Suffixed(component.Containerd)] = node
	}
	var late []component.Spec
	first, firstCtx := errgroup.WithContext(ctx)
	for _, spec := range component.All(c) {
		node, isRuntime := runtimes[spec.Name]
		if !isRuntime && !early[spec.Name] {
			late = append(late, spec)
			continue
		}
		first.Go(func() error {
			if err := startAndWait(firstCtx, c, spec, progress); err != nil {
				return err
			}
			if isRuntime {
				return image.LoadNode(firstCtx, node, pauseFile(c))
			}
			return nil
		})
	}
	if err := first.Wait(); err != nil {
		return err
	}
	return waitReady(ctx, c, late, progress)
}
