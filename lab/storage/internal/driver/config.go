// Package driver is the lab's CSI driver, whose volumes are files of a pool behind loop devices.
//
// It keeps nothing in memory: what is staged and published is read from the kernel's mount table and loop
// devices at every call, so that the driver may be killed at any point and started again.
package driver

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/coffer-backup/coffer/lab/storage/internal/pool"
)

// Config is what a driver needs.
type Config struct {
	// Name is the CSI driver name, such as lab.csi.coffer.dev.
	Name string
	// NodeID is the id of this node; it must be unique in the cluster.
	NodeID string
	// Pool is the storage pool, shared with other drivers and clusters.
	Pool string
	// NoSnapshots leaves out everything about snapshots.
	NoSnapshots bool
	// Version is what the driver reports as its version; "" is reported as "lab".
	Version string
	// Logger gets a line per failed call; nil discards.
	Logger *slog.Logger
	// NowFunc is the clock; nil is the real one.
	NowFunc func() time.Time
}

// Driver implements the CSI identity, controller and node services. Its methods may be called concurrently.
type Driver struct {
	identityServer
	controllerServer
	nodeServer
}

// services is what the three services share.
type services struct {
	Config
	pool  *pool.Pool
	locks *locks
}

// New opens the pool and returns the driver.
func New(cfg Config) (*Driver, error) {
	// The CSI specification's rule for names.
	if !regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`).MatchString(cfg.Name) {
		return nil, fmt.Errorf("driver name %q: it must be up to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit", cfg.Name)
	}
	if cfg.NodeID == "" {
		return nil, errors.New("node id: it must not be empty")
	}
	if cfg.Version == "" {
		cfg.Version = "lab"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.NowFunc == nil {
		cfg.NowFunc = time.Now
	}
	volumes, err := pool.Open(pool.Config{Dir: cfg.Pool, Driver: cfg.Name})
	if err != nil {
		return nil, err
	}
	shared := &services{Config: cfg, pool: volumes, locks: newLocks()}
	return &Driver{
		identityServer:   identityServer{services: shared},
		controllerServer: controllerServer{services: shared},
		nodeServer:       nodeServer{services: shared},
	}, nil
}
