// Package filesystem keeps a blob container in a folder.
//
// A blob is written to a temporary file first, synced, and then linked to its name, which fails if the name is
// taken: so a blob appears whole or not at all, and never replaces another. The folder is opened once and all paths
// are resolved below it, so that no key and no symbolic link leads out of it.
package filesystem

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// temporary is the folder of unfinished files. A key cannot lead there.
const temporary = ".coffer-tmp"

// Container is a coffer.Container.
type Container struct {
	root *os.Root
	name string
}

// Open opens the folder name below root. Both must exist: a folder that is made when it is missed would hide that a
// volume is not mounted. Unfinished files that a crash left more than a day ago are removed.
func Open(root, name string) (*Container, error) {
	if !fs.ValidPath(name) || strings.Contains(name, "/") || strings.HasPrefix(name, ".") {
		return nil, coffer.Errorf(coffer.CodeInvalid, "container %q is not a plain folder name", name)
	}
	folder, err := os.OpenRoot(path.Join(root, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, coffer.Errorf(coffer.CodeLocationNotReady, "blob container %q does not exist: there is no folder %s", name, path.Join(root, name)).
			WithHint("create the folder, or mount the volume that holds it")
	case err != nil:
		return nil, coffer.Errorf(coffer.CodeLocationNotReady, "blob container %q cannot be opened: %w", name, err).
			WithHint("check the permissions of %s", path.Join(root, name))
	}
	c := &Container{root: folder, name: name}
	c.sweep()
	return c, nil
}

// Close releases the folder.
func (c *Container) Close() error { return c.root.Close() }

// Create makes the folder of a new, empty container. One that exists is no error.
func Create(root, name string) error {
	if err := os.MkdirAll(path.Join(root, name), 0o750); err != nil {
		return fmt.Errorf("create blob container %s: %w", name, err)
	}
	return nil
}

func (c *Container) sweep() {
	entries, err := fs.ReadDir(c.root.FS(), temporary)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = c.root.Remove(path.Join(temporary, e.Name()))
		}
	}
}

// Put implements coffer.Container.
func (c *Container) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if err := check(key); err != nil {
		return 0, err
	}
	if _, err := c.root.Lstat(key); err == nil {
		return 0, c.fail("put", key, coffer.ErrBlobExists)
	}
	temp := path.Join(temporary, rand.Text())
	n, err := c.write(ctx, temp, r)
	defer func() { _ = c.root.Remove(temp) }()
	if err != nil {
		return 0, c.fail("put", key, err)
	}
	if err := c.link(temp, key); err != nil {
		return 0, c.fail("put", key, err)
	}
	return n, nil
}

func (c *Container) write(ctx context.Context, temp string, r io.Reader) (int64, error) {
	if err := c.root.MkdirAll(temporary, 0o750); err != nil {
		return 0, err
	}
	f, err := c.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, &contextReader{ctx: ctx, r: r})
	if err == nil {
		err = f.Sync()
	}
	return n, errors.Join(err, f.Close())
}

// link gives a finished file its name. A concurrent Delete may prune the folder in between, hence the second try.
func (c *Container) link(temp, key string) error {
	folder := path.Dir(key)
	var err error
	for range 2 {
		if err = c.root.MkdirAll(folder, 0o750); err != nil {
			return err
		}
		if err = c.root.Link(temp, key); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return coffer.ErrBlobExists
	}
	if err != nil {
		return err
	}
	return c.syncUpwards(folder)
}

func (c *Container) syncUpwards(folder string) error {
	for {
		f, err := c.root.Open(folder)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		if folder == "." {
			return nil
		}
		folder = path.Dir(folder)
	}
}

// Get implements coffer.Container.
func (c *Container) Get(_ context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := check(key); err != nil {
		return nil, err
	}
	f, err := c.root.Open(key)
	if err != nil {
		return nil, c.fail("get", key, notFound(err))
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(c.fail("get", key, err), f.Close())
	}
	if length < 0 {
		return f, nil
	}
	return &limitedFile{Reader: io.LimitReader(f, length), Closer: f}, nil
}

// Stat implements coffer.Container.
func (c *Container) Stat(_ context.Context, key string) (coffer.BlobInfo, error) {
	if err := check(key); err != nil {
		return coffer.BlobInfo{}, err
	}
	info, err := c.root.Stat(key)
	if err != nil {
		return coffer.BlobInfo{}, c.fail("stat", key, notFound(err))
	}
	if info.IsDir() {
		return coffer.BlobInfo{}, c.fail("stat", key, coffer.ErrBlobNotFound)
	}
	return coffer.BlobInfo{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

// List implements coffer.Container.
func (c *Container) List(ctx context.Context, prefix string) iter.Seq2[coffer.BlobInfo, error] {
	return func(yield func(coffer.BlobInfo, error) bool) {
		found, err := c.collect(ctx, prefix)
		if err != nil {
			yield(coffer.BlobInfo{}, c.fail("list", prefix, err))
			return
		}
		for _, info := range found {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// collect walks the folder that the prefix leads into. A file or folder that vanishes on the way was deleted.
func (c *Container) collect(ctx context.Context, prefix string) ([]coffer.BlobInfo, error) {
	top := "."
	if i := strings.LastIndex(prefix, "/"); i >= 0 {
		top = prefix[:i]
	}
	if !fs.ValidPath(top) {
		return nil, fmt.Errorf("prefix %q is not a plain relative path", prefix)
	}
	var found []coffer.BlobInfo
	err := fs.WalkDir(c.root.FS(), top, func(key string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case entry.IsDir() && key == temporary:
			return fs.SkipDir
		case !entry.Type().IsRegular() || !strings.HasPrefix(key, prefix):
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		found = append(found, coffer.BlobInfo{Key: key, Size: info.Size(), Modified: info.ModTime()})
		return nil
	})
	slices.SortFunc(found, func(a, b coffer.BlobInfo) int { return strings.Compare(a.Key, b.Key) })
	return found, err
}

// Top implements coffer.TopLister. Hidden names are the file system's own: those of unfinished blobs, of snapshots.
func (c *Container) Top(_ context.Context) ([]string, error) {
	entries, err := fs.ReadDir(c.root.FS(), ".")
	if err != nil {
		return nil, c.fail("list", ".", err)
	}
	var found []string
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			found = append(found, e.Name()+"/")
		default:
			found = append(found, e.Name())
		}
	}
	return found, nil
}

// Delete implements coffer.Container. Folders that become empty are removed with the blob.
func (c *Container) Delete(_ context.Context, key string) error {
	if err := check(key); err != nil {
		return err
	}
	if err := c.root.Remove(key); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return c.fail("delete", key, err)
	}
	folder := path.Dir(key)
	for folder != "." && c.root.Remove(folder) == nil {
		folder = path.Dir(folder)
	}
	if err := c.syncUpwards(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c.fail("delete", key, err)
	}
	return nil
}

func check(key string) error {
	if err := coffer.CheckBlobKey(key); err != nil {
		return err
	}
	if key == temporary || strings.HasPrefix(key, temporary+"/") {
		return coffer.Errorf(coffer.CodeInvalid, "blob key %q is in the folder of unfinished blobs", key)
	}
	return nil
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return coffer.ErrBlobNotFound
	}
	return err
}

// fail names the container and gives the refusals of the file system that a person must act on their code.
func (c *Container) fail(doing, key string, err error) error {
	switch {
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return coffer.Errorf(coffer.CodeLocationNotReady, "%s %s in blob container %q: %w", doing, key, c.name, err).
			WithHint("the extension must be allowed to write there; for restores only, set readOnly on the BackupStorageLocation")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return coffer.Errorf(coffer.CodeLocationNotReady, "%s %s in blob container %q: %w", doing, key, c.name, err).
			WithHint("make room on the volume, or delete recovery points that are not needed")
	}
	return fmt.Errorf("%s %s in blob container %q: %w", doing, key, c.name, err)
}

type limitedFile struct {
	io.Reader
	io.Closer
}

type contextReader struct {
	ctx context.Context //nolint:containedctx // lives as long as one Put
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
