package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/component"
	"github.com/coffer-backup/coffer/lab/internal/process"
	"github.com/coffer-backup/coffer/lab/internal/teardown"
)

// patience is how long a killed process may take to be gone.
const patience = 30 * time.Second

// Down ends services of a lab folder and removes their data; with no names, all of them, and everything that they ever
// made. It goes by what is there, so it may be repeated and follow anything. It reports whether there was anything.
func Down(ctx context.Context, root cluster.Root, names ...string) (bool, error) {
	var wanted []kind
	for _, name := range names {
		k, err := find(name)
		if err != nil {
			return false, err
		}
		wanted = append(wanted, k)
	}
	if _, err := os.Stat(root.Dir(cluster.ServicesName)); err == nil {
		lock, err := lockFolder(ctx, root)
		if err != nil {
			return false, err
		}
		defer lock.Release()
	}
	if len(names) == 0 {
		return removeAll(ctx, root)
	}
	set, err := Load(root)
	if errors.Is(err, ErrNone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return set.removeEach(ctx, wanted)
}

func removeAll(ctx context.Context, root cluster.Root) (bool, error) {
	found, err := teardown.Cluster(ctx, teardown.Target{Root: root, Name: cluster.ServicesName})
	// The root folder goes when nothing else is in it.
	_ = os.Remove(string(root))
	return found, err
}

// removeEach ends some services, and the network with the last.
func (s *Set) removeEach(ctx context.Context, kinds []kind) (bool, error) {
	found := false
	for _, k := range kinds {
		one, err := s.remove(ctx, k)
		if err != nil {
			return found, fmt.Errorf("%s: %w", k.name, err)
		}
		found = found || one
	}
	if len(s.HostPorts) > 0 {
		return found, nil
	}
	last, err := removeAll(ctx, s.root)
	return found || last, err
}

// remove ends one service and forgets it.
func (s *Set) remove(ctx context.Context, k kind) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	killed, err := process.KillAll(ctx, s.belongs(k))
	if err != nil {
		return true, err
	}
	known := s.has(k)
	for _, path := range []string{s.Path(k.name), component.RecordPath(s, k.name), component.RecordPath(s, k.forwarder()), s.Log(k.name), s.Log(k.forwarder())} {
		if err := os.RemoveAll(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true, fmt.Errorf("delete its files: %w", err)
		}
	}
	for _, e := range k.endpoints {
		delete(s.HostPorts, e.name)
	}
	return killed > 0 || known, s.save()
}

// belongs recognises the processes of one service: by their mark, or by working in its folder, since a database server
// writes over its environment.
func (s *Set) belongs(k kind) func(process.Found) bool {
	marker, folder := k.marker(s), s.Path(k.name)
	return func(p process.Found) bool { return p.HasEnvironment(marker) || p.WorksIn(folder) }
}

// Kill ends the processes of one service at once, and leaves its data.
func Kill(ctx context.Context, root cluster.Root, name string) error {
	k, err := find(name)
	if err != nil {
		return err
	}
	set, err := Load(root)
	if err != nil && !errors.Is(err, ErrNone) {
		return err
	}
	killed := 0
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if killed, err = process.KillAll(ctx, set.belongs(k)); err != nil {
			return err
		}
	}
	if killed == 0 {
		return fmt.Errorf("the service %s is not running: start it with `lab service up %s`", name, name)
	}
	return nil
}
