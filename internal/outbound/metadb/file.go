package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// ownerOnly is the mode of a database's file; SQLite gives it to those beside it as well.
const ownerOnly = 0o600

// prepareFile makes the file of a database if it is missing, and refuses one that cannot be used safely. Its mode is tightened. there says whether
// it is still the file of that name: SQLite goes on with one that was moved or deleted, and what is written to it then would be found by nobody.
func prepareFile(path string) (there func() error, err error) {
	refuse := func(why error, hint string) (func() error, error) {
		return nil, coffer.Errorf(coffer.CodeDatabaseUnavailable, "the catalogue's database %s cannot be opened: %w", path, why).WithHint("%s", hint)
	}
	folder := filepath.Dir(path)
	switch name, err := networkFileSystem(folder); {
	case err != nil:
		return refuse(err, "make the folder, or name another with --data-dir")
	case name != "":
		return refuse(fmt.Errorf("its folder is on a network file system (%s), where SQLite's locks do not hold and what is written may be lost", name),
			"name a folder on a disk of this machine with --data-dir, or use PostgreSQL with --database")
	}
	_, missing := os.Lstat(path)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, ownerOnly) //nolint:gosec // the path is the administrator's
	if err != nil {
		return refuse(err, "look at the permissions of the file and its folder, and whether its file system is mounted read-only")
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return refuse(errors.Join(errors.New("it is not a file"), err), "name another folder with --data-dir")
	}
	if err := file.Chmod(ownerOnly); err != nil {
		return refuse(err, "give the file to the user that coffer-server runs as")
	}
	there = func() error {
		if now, err := os.Stat(path); err != nil || !os.SameFile(info, now) {
			return unavailable("the file of the catalogue's database %s was moved, deleted or replaced while it is in use", path).
				WithHint("put it back; or end coffer-server, and start it with the file that it is to use")
		}
		return nil
	}
	if !errors.Is(missing, os.ErrNotExist) {
		return there, nil
	}
	return there, syncFolder(folder)
}

// syncFolder makes the name of a new file durable.
func syncFolder(folder string) error {
	opened, err := os.Open(folder) //nolint:gosec // the path is the administrator's
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

// fileLock lets one process at a time migrate a file. The system releases it when its holder ends, however that is.
type fileLock struct {
	path string
	file *os.File
}

// SessionLock waits for the lock.
func (l *fileLock) SessionLock(ctx context.Context, _ *sql.Conn) error {
	file, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, ownerOnly)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			l.file = file
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return errors.Join(fmt.Errorf("lock %s: %w", l.path, err), file.Close())
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), file.Close())
		case <-ticker.C:
		}
	}
}

// SessionUnlock releases it.
func (l *fileLock) SessionUnlock(context.Context, *sql.Conn) error {
	return l.file.Close()
}
