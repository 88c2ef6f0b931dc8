// Package pool keeps the storage pool: an XFS with reflinks in a sparse file, which holds the volumes of all clusters.
package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/mount"
	"github.com/coffer-backup/coffer/lab/internal/tool"
)

// size is what the pool can grow to. The file takes only the room that volumes use, and gives it back.
const size = 64 << 30

// Ensure makes the pool and mounts it where it is not. The caller holds the lock of the root.
func Ensure(ctx context.Context, root cluster.Root) error {
	mounted, err := isMounted(root)
	if err != nil || mounted {
		return err
	}
	if _, err := os.Stat(root.PoolImage()); errors.Is(err, fs.ErrNotExist) {
		if err := format(ctx, root.PoolImage()); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(root.Pool(), 0o700); err != nil {
		return fmt.Errorf("create the storage pool: %w", err)
	}
	// mount asks the kernel to detach the loop device together with the mount.
	if _, err := tool.Run(ctx, "mount", "-t", "xfs", "-o", "loop,discard", root.PoolImage(), root.Pool()); err != nil {
		return fmt.Errorf("mount the storage pool: %w", err)
	}
	return nil
}

func isMounted(root cluster.Root) (bool, error) {
	mounts, err := mount.Under(root.Pool())
	if err != nil {
		return false, err
	}
	for _, m := range mounts {
		if m.Point == root.Pool() {
			return true, nil
		}
	}
	return false, nil
}

// format makes the file system under another name first: a file that has the final name is complete.
func format(ctx context.Context, image string) error {
	temporary := image + ".new"
	file, err := os.Create(temporary)
	if err != nil {
		return fmt.Errorf("create the storage pool: %w", err)
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		return fmt.Errorf("create the storage pool: %w", err)
	}
	if _, err := tool.Run(ctx, "mkfs.xfs", "-q", "-f", "-m", "reflink=1", temporary); err != nil {
		return fmt.Errorf("format the storage pool: %w", err)
	}
	if err := os.Rename(temporary, image); err != nil {
		return fmt.Errorf("create the storage pool: %w", err)
	}
	return nil
}

// Remove unmounts and deletes the pool and every volume in it, and reports whether there was one. The caller holds
// the lock of the root, and no cluster uses the pool.
func Remove(root cluster.Root) (bool, error) {
	// Volumes first: their devices keep the pool busy.
	volumes, err := mount.DetachLoops(func(l mount.Loop) bool { return mount.Within(root.Pool(), l.File) })
	if err != nil {
		return false, err
	}
	unmounted, err := mount.UnmountUnder(root.Pool())
	if err != nil {
		return false, err
	}
	// Detached with the mount, unless its maker was killed before it was mounted.
	images, err := mount.DetachLoops(func(l mount.Loop) bool { return l.File == root.PoolImage() })
	if err != nil {
		return false, err
	}
	removed := volumes+unmounted+images > 0
	for _, path := range []string{root.PoolImage(), root.PoolImage() + ".new", root.Pool()} {
		err := os.Remove(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("delete the storage pool: %w", err)
		}
		removed = removed || err == nil
	}
	return removed, nil
}
