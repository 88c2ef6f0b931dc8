package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/component"
	"github.com/coffer-backup/coffer/lab/internal/forward"
	"github.com/coffer-backup/coffer/lab/internal/network"
	"github.com/coffer-backup/coffer/lab/internal/tool"
)

// busyWait is how long a command waits for another one on the same services.
const busyWait = 30 * time.Second

// UpConfig is the services to bring up.
type UpConfig struct {
	Root   cluster.Root
	BinDir string
	Names  []string
	// Timeout is how long it may take.
	Timeout time.Duration
	// Progress gets one line per service.
	Progress io.Writer
}

// Up brings services up, or starts them again with the data they have, and returns when they work. One that works
// already is left alone. If one does not come up, nothing is left of those that were not there before.
func Up(ctx context.Context, cfg UpConfig) error {
	wanted, err := cfg.check()
	if err != nil {
		return err
	}
	lock, err := lockFolder(ctx, cfg.Root)
	if err != nil {
		return err
	}
	defer lock.Release()
	limited, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	set, err := ensure(limited, cfg)
	if err != nil {
		return err
	}
	fresh := slices.DeleteFunc(wanted, func(k kind) bool { return set.has(k) })
	err = set.start(limited, cfg.Names, cfg.Progress)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	// Also when the caller has interrupted it.
	if _, downErr := set.removeEach(context.WithoutCancel(ctx), fresh); downErr != nil {
		return fmt.Errorf("%w\nand taking it down again: %w", err, downErr)
	}
	return err
}

// check finds, before anything is made, what stands in the way.
func (cfg UpConfig) check() ([]kind, error) {
	var wanted []kind
	for _, name := range cfg.Names {
		k, err := find(name)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, k)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("services need root: run it as root")
	}
	for _, k := range wanted {
		for _, program := range []string{"lab", k.program} {
			if info, err := os.Stat(filepath.Join(cfg.BinDir, program)); err != nil || (!info.IsDir() && info.Mode()&0o111 == 0) {
				return nil, fmt.Errorf("the program %s of the service %s is not in %s: build it with `hack/build lab coffer-server services`, or name the folder with --bin-dir or COFFER_LAB_BIN", program, k.name, cfg.BinDir)
			}
		}
	}
	for program, pkg := range map[string]string{"ip": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux", "nft": "nftables"} {
		if _, err := tool.Path(program); err != nil {
			return nil, fmt.Errorf("%s is missing: install it with `apt-get install %s`", program, pkg)
		}
	}
	return wanted, nil
}

// lockFolder makes the services' folder and locks it.
func lockFolder(ctx context.Context, root cluster.Root) (*cluster.Lock, error) {
	folder := root.Dir(cluster.ServicesName)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("create the services' folder: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, busyWait)
	defer cancel()
	lock, err := cluster.WaitLock(ctx, folder)
	if errors.Is(err, cluster.ErrLocked) || errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("services: %w: wait until it is done, or end it, and try again", cluster.ErrLocked)
	}
	return lock, err
}

// ensure returns the set of the folder, which it makes if there is none.
func ensure(ctx context.Context, cfg UpConfig) (*Set, error) {
	set, err := Load(cfg.Root)
	switch {
	case errors.Is(err, ErrNone):
		set = &Set{root: cfg.Root, HostPorts: map[string]int{}}
	case err != nil:
		return nil, err
	case !network.Exists(set.Namespace()):
		return nil, errors.New("the services that were up are gone, as after a restart of the machine: remove what is left with `lab service down`")
	default:
		set.BinDir = cfg.BinDir
		return set, nil
	}
	if left, err := network.Namespaces(ctx, cfg.Root, cluster.ServicesName); err != nil || len(left) > 0 {
		return nil, errors.Join(errors.New("a part of earlier services is left: remove it with `lab service down`"), err)
	}
	set.BinDir = cfg.BinDir
	if err := set.create(ctx); err != nil {
		// Also when the caller has interrupted it.
		_, downErr := removeAll(context.WithoutCancel(ctx), cfg.Root)
		return nil, errors.Join(err, downErr)
	}
	return set, nil
}

// create makes the folders and the network, and then the record.
func (s *Set) create(ctx context.Context) (err error) {
	for _, folder := range []string{"log", "run"} {
		if err := os.MkdirAll(s.Path(folder), 0o755); err != nil {
			return fmt.Errorf("create the services' folder: %w", err)
		}
	}
	if s.Index, err = network.CreateServices(ctx, s.root); err != nil {
		return err
	}
	return s.save()
}

// start starts what does not run of the services, and waits until they work.
func (s *Set) start(ctx context.Context, names []string, progress io.Writer) error {
	var wanted []kind
	for _, name := range names {
		k, err := find(name)
		if err != nil {
			return err
		}
		if err := s.choosePorts(k); err != nil {
			return err
		}
		wanted = append(wanted, k)
	}
	if err := s.save(); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, k := range wanted {
		all.Go(func() error {
			begin := time.Now()
			if err := s.startOne(ctx, k); err != nil {
				return err
			}
			_, err := fmt.Fprintf(progress, "%5.1fs  %s works\n", time.Since(begin).Seconds(), k.name)
			return err
		})
	}
	return all.Wait()
}

// choosePorts gives the service the ports of the host that it keeps as long as it is there.
func (s *Set) choosePorts(k kind) error {
	if s.has(k) {
		return nil
	}
	free, err := forward.FreePorts(len(k.endpoints))
	if err != nil {
		return err
	}
	for i, e := range k.endpoints {
		s.HostPorts[e.name] = free[i]
	}
	return nil
}

func (s *Set) startOne(ctx context.Context, k kind) error {
	for _, folder := range k.folders {
		if err := os.MkdirAll(s.Path(k.name, folder), 0o755); err != nil {
			return fmt.Errorf("create the folder of %s: %w", k.name, err)
		}
	}
	server, forwarder, err := k.components(s)
	if err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	record, err := component.Load(s, server.Name)
	if err != nil {
		return err
	}
	if k.prepare != nil && !record.Alive() {
		if err := k.prepare(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	for _, spec := range []component.Spec{server, forwarder} {
		if _, err := component.Start(s, spec); err != nil && !errors.Is(err, component.ErrRunning) {
			return err
		}
		if err := component.WaitHealthy(ctx, s, spec); err != nil {
			return err
		}
	}
	return nil
}
