package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxSmallFile bounds what is read of a file that a person has written.
const maxSmallFile = 64 << 10

// readSecretFile reads a small file, which others than its owner and group must not be able to use. Its group may read it: so it is
// with a Secret that Kubernetes mounts for a user who is not root.
func readSecretFile(name string) ([]byte, error) {
	file, err := os.Open(name) //nolint:gosec // The administrator names it.
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a file")
	case info.Mode().Perm()&0o027 != 0:
		return nil, fmt.Errorf("it can be used by others than its owner, its mode is %#o: run `chmod 600` on it, and make another if others may have read it", info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSmallFile+1))
	if err == nil && len(text) > maxSmallFile {
		err = fmt.Errorf("it has more than %d bytes", maxSmallFile)
	}
	return text, err
}

// takeBack takes from a file what a cluster gave to its group. Kubernetes lets the group of a pod write to all files of a volume that
// it mounts for it (fsGroup), when it meets the volume for the first time or its folder has changed.
func takeBack(name string) error {
	info, err := os.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// What everybody may use was not the cluster's doing: whoever looks at the file next refuses it.
	if err != nil || info.Mode().Perm()&0o007 != 0 || info.Mode().Perm()&0o020 == 0 {
		return err
	}
	return os.Chmod(name, 0o600)
}

// lockFile lies in a data folder while a server uses it.
const lockFile = "lock"

// lockFolder takes a data folder for this process: a second server would write its own address into the files of the first. The system
// lets go of it when the process ends, however that is.
func lockFolder(folder string) (release func(), err error) {
	file, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // The administrator names it.
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(file, maxHolder))
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("another coffer-server uses it already, as process %s: end that one first, or name another folder", strings.TrimSpace(string(holder)))
		}
		return nil, errors.Join(err, file.Close())
	}
	_ = file.Truncate(0)
	_, _ = fmt.Fprintln(file, os.Getpid()) // For people.
	return func() { _ = file.Close() }, nil
}

// maxHolder is how long the number of a process is at most.
const maxHolder = 20

// writeFile writes a file as a whole: after a crash it is the old one or the new one.
func writeFile(name string, text []byte, mode os.FileMode) (err error) {
	if has(name, text, mode) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// has says whether a file is as it is to be: then a server can be started though its disk is full.
func has(name string, text []byte, mode os.FileMode) bool {
	info, err := os.Lstat(name)
	if err != nil || info.Mode() != mode || info.Size() != int64(len(text)) {
		return false
	}
	there, err := os.ReadFile(name) //nolint:gosec // It is in the data folder.
	return err == nil && bytes.Equal(there, text)
}

// certificateRetried is how soon a certificate is looked at again: one that has changed, or could not be read.
const certificateRetried = 10 * time.Second

// certificateFile is a certificate that somebody else renews: it is read again when it has changed.
type certificateFile struct {
	cert, key string
	log       *slog.Logger
	now       func() time.Time

	mu sync.Mutex // guards all below
	// changed is when the file that is loaded was, and tried when it was looked at last.
	changed, tried time.Time
	loaded         *tls.Certificate
}

func (c *certificateFile) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := c.now().Sub(c.tried); c.loaded != nil && age >= 0 && age < certificateRetried {
		return c.loaded, nil
	}
	c.tried = c.now()
	err := c.load()
	switch {
	case err != nil && c.loaded == nil:
		return nil, err
	case err != nil:
		// While it is being replaced, the one before serves; where that is not the reason, it will end.
		c.log.Error("the certificate has changed and cannot be read: the one before is served", "cert", c.cert, "key", c.key, "error", err)
	}
	return c.loaded, nil
}

// load reads the certificate if it is another one than before.
func (c *certificateFile) load() error {
	info, err := os.Stat(c.cert)
	if err != nil || c.loaded != nil && info.ModTime().Equal(c.changed) {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.loaded, c.changed = &pair, info.ModTime()
	return nil
}
