// Package cgroup makes and removes a control group in every hierarchy, of version 1 or 2.
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coffer-backup/coffer/lab/internal/mount"
)

// hierarchies lists the folders where control group hierarchies are mounted, version 1 and 2.
func hierarchies() (v1, v2 []string, err error) {
	mounts, err := mount.Table()
	if err != nil {
		return nil, nil, err
	}
	for _, m := range mounts {
		switch {
		case m.Root != "/":
			// A container's view of someone else's groups.
		case m.Type == "cgroup":
			v1 = append(v1, m.Point)
		case m.Type == "cgroup2":
			v2 = append(v2, m.Point)
		}
	}
	return v1, v2, nil
}

// Controllers lists the controllers that can be used.
func Controllers() ([]string, error) {
	v1, v2, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var controllers []string
	for _, folder := range v1 {
		// A hierarchy may hold several controllers, as in cpu,cpuacct.
		controllers = append(controllers, strings.Split(filepath.Base(folder), ",")...)
	}
	for _, folder := range v2 {
		content, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
		if err != nil {
			return nil, fmt.Errorf("list controllers: %w", err)
		}
		controllers = append(controllers, strings.Fields(string(content))...)
	}
	return controllers, nil
}

// Create makes the group, and those above it, in every hierarchy. One that exists is no error.
func Create(group string) error {
	v1, v2, err := hierarchies()
	if err != nil {
		return err
	}
	for _, folder := range append(v1, v2...) {
		path := folder
		for part := range strings.SplitSeq(strings.Trim(group, "/"), "/") {
			if slices.Contains(v2, folder) {
				delegate(path)
			}
			path = filepath.Join(path, part)
			if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("create control group: %w", err)
			}
		}
	}
	return nil
}

// delegate lets groups below a version 2 folder use its controllers. One that cannot be is missed by whoever needs
// it, with a better message than could be given here.
func delegate(folder string) {
	content, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	if err != nil {
		return
	}
	for _, controller := range strings.Fields(string(content)) {
		_ = os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
	}
}

// Remove removes the group and all below it from every hierarchy and reports whether there was one. It waits until
// ctx ends for processes that were killed to leave.
func Remove(ctx context.Context, group string) (bool, error) {
	v1, v2, err := hierarchies()
	if err != nil {
		return false, err
	}
	removed := false
	for _, folder := range append(v1, v2...) {
		path := filepath.Join(folder, group)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		removed = true
		if err := removeTree(ctx, path); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func removeTree(ctx context.Context, path string) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := removeOnce(path)
		if err == nil || !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove control group %s: %w", path, err)
		case <-ticker.C:
		}
	}
}

// removeOnce removes a group's folder after those below it. Its files are the kernel's and go with it.
func removeOnce(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read control group: %w", err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeOnce(filepath.Join(path, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove control group %s: %w", path, err)
	}
	return nil
}
