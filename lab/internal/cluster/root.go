package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const (
	poolFolder = "pool"
	recordFile = "cluster.json"
)

// ErrNotFound is returned for a cluster that has no record.
var ErrNotFound = errors.New("no such cluster")

// ErrExists is returned when a cluster's folder is already there.
var ErrExists = errors.New("the cluster already exists")

// Root is the lab's folder: one folder per cluster, and the storage pool they share.
type Root string

// Pool is where the storage pool is mounted.
func (r Root) Pool() string { return filepath.Join(string(r), poolFolder) }

// PoolImage is the file that holds the storage pool.
func (r Root) PoolImage() string { return r.Pool() + ".img" }

// Dir is the folder of the cluster called name.
func (r Root) Dir(name string) string { return filepath.Join(string(r), name) }

// Planned is a cluster as it would be, for who wants to know where its files will be.
func (r Root) Planned(name string, nodes int) *Cluster {
	return &Cluster{Name: name, Mode: Full, NodeCount: nodes, root: string(r)}
}

// Create claims the folder of a new cluster and writes its record. It returns ErrExists if the folder is there.
// The claim is held until the lock is released.
func (r Root) Create(c Cluster) (*Cluster, *Lock, error) {
	if err := ValidateName(c.Name); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(string(r), 0o755); err != nil {
		return nil, nil, fmt.Errorf("create the lab's folder: %w", err)
	}
	c.root = string(r)
	if err := os.Mkdir(c.Dir(), 0o755); errors.Is(err, fs.ErrExist) {
		return nil, nil, ErrExists
	} else if err != nil {
		return nil, nil, fmt.Errorf("create the cluster's folder: %w", err)
	}
	lock, err := TryLock(c.Dir())
	if err != nil {
		return nil, nil, err
	}
	for _, folder := range []string{"log", "run", "pki", "kubeconfigs"} {
		if err := os.Mkdir(c.Path(folder), 0o755); err != nil {
			lock.Release()
			return nil, nil, fmt.Errorf("create the cluster's folder: %w", err)
		}
	}
	if err := c.Save(); err != nil {
		lock.Release()
		return nil, nil, err
	}
	return &c, lock, nil
}

// Load reads the record of a cluster. It returns ErrNotFound if there is none.
func (r Root) Load(name string) (*Cluster, error) {
	if err := ValidateName(name); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filepath.Join(r.Dir(name), recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of cluster %s: %w", name, err)
	}
	c := &Cluster{root: string(r)}
	if err := json.Unmarshal(content, c); err != nil {
		return nil, fmt.Errorf("read the record of cluster %s: %w", name, err)
	}
	return c, nil
}

// Names lists every cluster that has a folder, sorted, also when its record is lost.
func (r Root) Names() ([]string, error) {
	entries, err := os.ReadDir(string(r))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && ValidateName(entry.Name()) == nil {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Save writes the cluster's record. A reader sees the old one or the new one, never a part.
func (c *Cluster) Save() error {
	content, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the record of cluster %s: %w", c.Name, err)
	}
	return WriteFile(c.Path(recordFile), append(content, '\n'), 0o644)
}

// WriteFile writes a file through a temporary name, so that it is never seen half-written.
func WriteFile(path string, content []byte, mode os.FileMode) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
