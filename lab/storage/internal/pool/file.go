package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tempSuffix marks a file that is not in place yet. The name is the final one plus this suffix, so that
// a retry after a kill overwrites the remains instead of adding to them.
const tempSuffix = ".tmp"

// newSparse puts an empty file of the size at path.
func newSparse(path string, size int64) error {
	return place(path, 0o600, func(f *os.File) error {
		if err := f.Truncate(size); err != nil {
			return fmt.Errorf("set size of %s: %w", path, err)
		}
		return nil
	})
}

// reflink puts a copy of source at target that shares all of source's blocks, grown to size if that is
// more. Everything written to source through its file or loop device before the call is in the copy.
// The kernel holds off writers during the clone, so the copy is source at one moment.
func reflink(source, target string, perm fs.FileMode, size int64) error {
	from, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("open %s to clone it: %w", source, err)
	}
	defer from.Close()
	if err := from.Sync(); err != nil {
		return fmt.Errorf("flush %s before cloning it: %w", source, err)
	}
	return place(target, perm, func(f *os.File) error {
		if err := unix.IoctlFileClone(int(f.Fd()), int(from.Fd())); err != nil {
			return fmt.Errorf("clone %s to %s: %w", source, target, err)
		}
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("size of %s: %w", target, err)
		}
		if info.Size() >= size {
			return nil
		}
		if err := f.Truncate(size); err != nil {
			return fmt.Errorf("grow %s: %w", target, err)
		}
		return nil
	})
}

// place fills a temporary file and moves it to path, durably: after an error or a kill path is as it was.
func place(path string, perm fs.FileMode, fill func(*os.File) error) error {
	temp := path + tempSuffix
	if err := removeFile(temp); err != nil {
		return err
	}
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return fmt.Errorf("create %s: %w", temp, err)
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return errors.Join(err, removeFile(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("put %s in place: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

func writeRecord(path string, record any) error {
	data, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return place(path, 0o600, func(f *os.File) error {
		_, err := f.Write(append(data, '\n'))
		return err
	})
}

func readRecord(path string, record any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, record); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// remove takes the record away first, so that a kill in between leaves data nobody lists rather than a
// volume without data. A missing file is not an error.
func remove(dir, id string) error {
	record := filepath.Join(dir, id+".json")
	image := filepath.Join(dir, id+".img")
	if err := removeFile(record); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	for _, path := range []string{image, image + tempSuffix, record + tempSuffix} {
		if err := removeFile(path); err != nil {
			return err
		}
	}
	return nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("flush folder %s: %w", dir, err)
	}
	return nil
}

// listIDs returns the ids that have a record in dir, in order.
func listIDs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, entry := range entries {
		name := entry.Name()
		if filepath.Ext(name) != ".json" {
			continue
		}
		if id := name[:len(name)-len(".json")]; IsID(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
