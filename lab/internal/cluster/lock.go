package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned when another command holds the lock.
var ErrLocked = errors.New("another lab command is at work on it")

// Lock is a lock on a folder. The kernel releases it when the process ends, however it ends, and no file stays behind.
type Lock struct{ folder *os.File }

// TryLock locks a folder, or returns ErrLocked at once.
func TryLock(folder string) (*Lock, error) {
	file, err := os.Open(folder)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", folder, err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		file.Close()
		return nil, ErrLocked
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", folder, err)
	}
	if err := unchanged(file, folder); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", folder, err)
	}
	return &Lock{folder: file}, nil
}

// unchanged makes sure that the folder is still the one that was opened: the previous holder of the lock may have
// removed it in between.
func unchanged(file *os.File, folder string) error {
	now, err := os.Stat(folder)
	if err != nil {
		return err
	}
	opened, err := file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(now, opened) {
		return ErrLocked
	}
	return nil
}

// WaitLock locks a folder, waiting for another holder until ctx ends; then it returns ErrLocked.
func WaitLock(ctx context.Context, folder string) (*Lock, error) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		lock, err := TryLock(folder)
		if !errors.Is(err, ErrLocked) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, ErrLocked
		case <-ticker.C:
		}
	}
}

// Release gives the lock up. It may be called twice.
func (l *Lock) Release() {
	// Closing cannot do worse than leave the release to the end of the process.
	_ = l.folder.Close()
}
