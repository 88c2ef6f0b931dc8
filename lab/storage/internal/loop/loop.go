// Package loop attaches files to loop devices and finds the devices again in the kernel's own records.
package loop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	sysBlock = "/sys/block"
	// deletedSuffix is what the kernel appends to the name of a backing file that was removed.
	deletedSuffix = " (deleted)"
	// sectorSize is fixed so that a volume formatted on one machine fits every other.
	sectorSize = 512
	// attachAttempts bounds how often a free device may be snatched away by another process.
	attachAttempts = 64
)

// Device is a loop device.
type Device struct {
	// Path is the device node, such as /dev/loop3.
	Path string
}

// Find returns the loop devices that file is attached to, those of a removed file of that name included.
// There is normally one or none.
func Find(file string) ([]Device, error) {
	names, err := filepath.Glob(filepath.Join(sysBlock, "loop*"))
	if err != nil {
		return nil, fmt.Errorf("find loop devices of %s: %w", file, err)
	}
	var devices []Device
	for _, name := range names {
		backing, err := os.ReadFile(filepath.Join(name, "loop", "backing_file"))
		if err != nil {
			// The attribute is there only while a file is attached, and may go away between the two calls.
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
				continue
			}
			return nil, fmt.Errorf("find loop devices of %s: %w", file, err)
		}
		if strings.TrimSuffix(strings.TrimSuffix(string(backing), "\n"), deletedSuffix) == file {
			devices = append(devices, Device{Path: filepath.Join("/dev", filepath.Base(name))})
		}
	}
	return devices, nil
}

// Attach returns the loop device of file, attaching the file to a free one if there is none yet. Other
// processes may call it for the same file at the same time: all get the same device. The device bypasses
// the page cache where the filesystem allows it, so that what is written to it is in the file at once.
func Attach(file string) (Device, error) {
	// A file of its own holds the lock: the loop device keeps the file it is given open, and with it
	// any lock on that, for as long as it is attached.
	lock, err := os.Open(file)
	if err != nil {
		return Device{}, fmt.Errorf("attach %s: %w", file, err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return Device{}, fmt.Errorf("attach %s: lock: %w", file, err)
	}
	devices, err := Find(file)
	if err != nil {
		return Device{}, err
	}
	if len(devices) > 0 {
		return devices[0], nil
	}
	return attachToFree(file)
}

func attachToFree(file string) (Device, error) {
	backing, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return Device{}, fmt.Errorf("attach %s: %w", file, err)
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return Device{}, fmt.Errorf("attach %s: %w", file, err)
	}
	defer control.Close()
	for range attachAttempts {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return Device{}, fmt.Errorf("attach %s: find a free loop device: %w", file, err)
		}
		device := Device{Path: fmt.Sprintf("/dev/loop%d", number)}
		err = device.configure(backing)
		if errors.Is(err, unix.EBUSY) {
			continue
		}
		if err != nil {
			return Device{}, fmt.Errorf("attach %s to %s: %w", file, device.Path, err)
		}
		return device, nil
	}
	return Device{}, fmt.Errorf("attach %s: no loop device stayed free: %w", file, unix.EBUSY)
}

func (d Device) configure(backing *os.File) error {
	f, err := os.OpenFile(d.Path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Size: sectorSize}
	// The kernel quietly leaves this out if the file cannot be read and written directly.
	config.Info.Flags = unix.LO_FLAGS_DIRECT_IO
	copy(config.Info.File_name[:len(config.Info.File_name)-1], backing.Name())
	return unix.IoctlLoopConfigure(int(f.Fd()), &config)
}

// Detach lets go of the file. A device that is in use is detached by the kernel when its last user
// closes it. A device without a file is not an error.
func (d Device) Detach() error {
	f, err := os.Open(d.Path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENXIO) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("detach %s: %w", d.Path, err)
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), unix.LOOP_CLR_FD, 0); err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("detach %s: %w", d.Path, err)
	}
	return nil
}

// Refresh gives the device the size its file has now.
func (d Device) Refresh() error {
	f, err := os.Open(d.Path)
	if err != nil {
		return fmt.Errorf("refresh size of %s: %w", d.Path, err)
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), unix.LOOP_SET_CAPACITY, 0); err != nil {
		return fmt.Errorf("refresh size of %s: %w", d.Path, err)
	}
	return nil
}

// Number is the device number, by which the kernel's mount table refers to the device.
func (d Device) Number() (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(d.Path, &stat); err != nil {
		return 0, fmt.Errorf("device number of %s: %w", d.Path, err)
	}
	return stat.Rdev, nil
}
