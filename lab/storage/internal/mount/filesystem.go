package mount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The filesystems a volume can have.
const (
	XFS  = "xfs"
	Ext4 = "ext4"
)

// ErrOffline says that a filesystem can only be grown while it is not mounted.
var ErrOffline = errors.New("an ext4 filesystem grows online only with CAP_SYS_RESOURCE, which this machine withholds; " +
	"it grows the next time it is staged (restart its pod), or use csi.storage.k8s.io/fstype: xfs")

// Supported reports whether fsType is a filesystem a volume can have.
func Supported(fsType string) bool { return fsType == XFS || fsType == Ext4 }

// Detect returns the type of the filesystem or other known content on the device, "" if there is none.
func Detect(ctx context.Context, device string) (string, error) {
	// A low-level probe, since the cache would report what was there before.
	out, err := exec.CommandContext(ctx, "blkid", "-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "value", device).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("detect filesystem on %s: %w", device, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Format makes a filesystem on the device. With zeroed the device is known to hold nothing but zeros, which
// saves writing them again.
func Format(ctx context.Context, device, fsType string, zeroed bool) error {
	switch fsType {
	case XFS:
		return run(ctx, "mkfs.xfs", "-q", "-f", "-K", device)
	case Ext4:
		options := "nodiscard"
		if zeroed {
			options += ",assume_storage_prezeroed=1"
		}
		return run(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-E", options, device)
	default:
		return fmt.Errorf("format %s: filesystem %q is not supported, only %s and %s", device, fsType, XFS, Ext4)
	}
}

// Mount mounts the filesystem on the device at point with further mount options.
func Mount(ctx context.Context, device, point, fsType string, options []string) error {
	options = slices.Clone(options)
	if fsType == XFS {
		// A restored volume has the UUID of its source, which may be mounted at the same time.
		options = append(options, "nouuid")
	}
	args := []string{"-t", fsType}
	if len(options) > 0 {
		args = append(args, "-o", strings.Join(options, ","))
	}
	return run(ctx, "mount", append(args, device, point)...)
}

// GrowOffline makes the filesystem on the unmounted device fill it. It does nothing for a filesystem that
// already does, or that grows without privileges once mounted.
func GrowOffline(ctx context.Context, device, fsType string) error {
	if fsType != Ext4 {
		return nil
	}
	if full, err := ext4Fills(device); err != nil || full {
		return err
	}
	// resize2fs insists on a check first, which also replays the journal of a crash-consistent copy.
	// Exit code 1 says that errors were found and all of them corrected.
	err := run(ctx, "e2fsck", "-f", "-p", device)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return err
	}
	return run(ctx, "resize2fs", device)
}

// GrowOnline makes the filesystem of the device, mounted at point, fill the device. The error wraps
// ErrOffline if that cannot be done while it is mounted.
func GrowOnline(ctx context.Context, device, point, fsType string) error {
	if fsType == XFS {
		return run(ctx, "xfs_growfs", "-d", point)
	}
	full, err := ext4Fills(device)
	if err != nil || full {
		return err
	}
	able, err := hasResourceCapability()
	if err != nil {
		return err
	}
	if !able {
		return fmt.Errorf("grow %s: %w", device, ErrOffline)
	}
	return run(ctx, "resize2fs", device)
}

// hasResourceCapability reports whether this process has CAP_SYS_RESOURCE, without which the kernel refuses
// to grow a mounted ext4.
func hasResourceCapability() (bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false, fmt.Errorf("read own capabilities: %w", err)
	}
	return data[unix.CAP_SYS_RESOURCE/32].Effective&(1<<(unix.CAP_SYS_RESOURCE%32)) != 0, nil
}

// run runs a program; the error carries what it printed.
func run(ctx context.Context, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Env = append(os.Environ(), "LC_ALL=C")
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, strings.Join(strings.Fields(string(out)), " "))
	}
	return nil
}
