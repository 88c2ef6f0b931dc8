// Package pool keeps volumes and snapshots as sparse files that share blocks on a filesystem with reflinks.
//
//	<pool>/<driver name>/volumes/<id>.img      the volume's data
//	<pool>/<driver name>/volumes/<id>.json     its record; the volume exists exactly while this file does
//	<pool>/<driver name>/snapshots/<id>.img    a reflink copy of a volume at one moment
//	<pool>/<driver name>/snapshots/<id>.json
//
// Nothing is kept in memory: every call reads the files, so a process may be killed between any two
// system calls and the next one carries on. Data is in place and durable before its record appears, and
// the record goes before the data does.
package pool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Errors the callers tell apart with errors.Is. The message of the wrapping error names the volume.
var (
	// ErrNotFound says that no volume or snapshot has this id.
	ErrNotFound = errors.New("not found")
	// ErrNoReflink says that the pool's filesystem cannot share blocks between files.
	ErrNoReflink = errors.New("the filesystem has no reflinks; use XFS made with -m reflink=1")
)

// Config says where a driver keeps its volumes.
type Config struct {
	// Dir is the pool; it must exist and be on a filesystem with reflinks.
	Dir string
	// Driver is the name of the CSI driver; drivers that share a pool have a folder each.
	Driver string
}

// Pool is one driver's part of a storage pool. Its methods may be called concurrently; two calls
// that change the same volume or snapshot must not overlap, which is the caller's lock.
type Pool struct {
	volumes   string
	snapshots string
}

// Open makes the driver's folders in the pool and proves that files there can share blocks.
func Open(cfg Config) (*Pool, error) {
	if cfg.Dir == "" || cfg.Driver == "" {
		return nil, errors.New("open pool: a folder and a driver name are needed")
	}
	// The kernel reports the files behind loop devices by their real path.
	dir, err := filepath.EvalSymlinks(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open pool %s: %w", cfg.Dir, err)
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open pool %s: %w", cfg.Dir, err)
	}
	base := filepath.Join(dir, cfg.Driver)
	p := &Pool{volumes: filepath.Join(base, "volumes"), snapshots: filepath.Join(base, "snapshots")}
	for _, sub := range []string{p.volumes, p.snapshots} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return nil, fmt.Errorf("open pool: %w", err)
		}
	}
	if err := probeReflink(base); err != nil {
		return nil, fmt.Errorf("pool %s: %w", dir, err)
	}
	return p, nil
}

// Check reports whether the pool can still be read and written, for a health probe.
func (p *Pool) Check() error {
	for _, dir := range []string{p.volumes, p.snapshots} {
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("check pool: %w", err)
		}
	}
	return nil
}

// Free is the number of bytes that can still be written into the pool. Volumes are sparse, so this is
// not what their sizes leave over.
func (p *Pool) Free() (int64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(p.volumes, &stat); err != nil {
		return 0, fmt.Errorf("read free space of pool %s: %w", p.volumes, err)
	}
	return int64(stat.Bavail) * stat.Bsize, nil
}

// probeReflink clones a one-block file in dir.
func probeReflink(dir string) error {
	source, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return fmt.Errorf("try a reflink: %w", err)
	}
	defer os.Remove(source.Name())
	defer source.Close()
	if _, err := source.Write(make([]byte, 4096)); err != nil {
		return fmt.Errorf("try a reflink: %w", err)
	}
	target := source.Name() + ".clone"
	defer os.Remove(target)
	if err := reflink(source.Name(), target, 0o600, 0); err != nil {
		if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTTY) {
			return ErrNoReflink
		}
		return err
	}
	return nil
}
