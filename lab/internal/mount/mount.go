// Package mount finds and undoes mounts and loop devices.
package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount is one line of the kernel's mount table.
type Mount struct {
	// Point is where it is mounted.
	Point string
	// Root is which part of the file system is mounted; for a device node bound over a file, the device's name.
	Root string
	// Source is what is mounted, such as /dev/loop0.
	Source string
	// Type is the file system's.
	Type string
}

// Table lists this process's mounts in the order they were made.
func Table() ([]Mount, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	return parseTable(string(content)), nil
}

func parseTable(content string) []Mount {
	var mounts []Mount
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		separator := slices.Index(fields, "-")
		if len(fields) < 6 || separator < 0 || len(fields) < separator+3 {
			continue
		}
		mounts = append(mounts, Mount{
			Point:  unescape(fields[4]),
			Root:   unescape(fields[3]),
			Type:   fields[separator+1],
			Source: unescape(fields[separator+2]),
		})
	}
	return mounts
}

// unescape undoes the kernel's octal escapes for space, tab, newline and backslash.
func unescape(field string) string {
	if !strings.Contains(field, `\`) {
		return field
	}
	var out strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if code, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		out.WriteByte(field[i])
	}
	return out.String()
}

// Under lists the mounts at folder and below it.
func Under(folder string) ([]Mount, error) {
	mounts, err := Table()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(mounts, func(m Mount) bool { return !Within(folder, m.Point) }), nil
}

// Within reports whether path is folder or below it.
func Within(folder, path string) bool {
	return path == folder || strings.HasPrefix(path, folder+string(filepath.Separator))
}

// UnmountUnder unmounts everything at folder and below it, last made first, and returns how many. A mount that stays
// busy is detached lazily at the end, so that nothing keeps the name.
func UnmountUnder(folder string) (int, error) {
	count := 0
	for _, flags := range []int{0, unix.MNT_DETACH} {
		// A pass may uncover mounts that were hidden under others.
		for progress := true; progress; {
			mounts, err := Under(folder)
			if err != nil {
				return count, err
			}
			progress = false
			for _, m := range slices.Backward(mounts) {
				if unix.Unmount(m.Point, flags|unix.UMOUNT_NOFOLLOW) == nil {
					count++
					progress = true
				}
			}
		}
	}
	left, err := Under(folder)
	if err != nil {
		return count, err
	}
	if len(left) > 0 {
		return count, fmt.Errorf("%s cannot be unmounted", left[0].Point)
	}
	return count, nil
}

// Loop is a loop device that has a file behind it.
type Loop struct {
	// Device is such as /dev/loop0.
	Device string
	// File is the file behind it, as it was called when it was attached.
	File string
}

// Loops lists the loop devices in use.
func Loops() ([]Loop, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, fmt.Errorf("list loop devices: %w", err)
	}
	var loops []Loop
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // detached meanwhile
		}
		device := filepath.Base(filepath.Dir(filepath.Dir(file)))
		name := strings.TrimSuffix(strings.TrimSpace(string(content)), " (deleted)")
		loops = append(loops, Loop{Device: "/dev/" + device, File: name})
	}
	return loops, nil
}

// DetachLoops detaches the loop devices that match and returns how many. One that something still has open is
// detached by the kernel when that closes it.
func DetachLoops(match func(Loop) bool) (int, error) {
	loops, err := Loops()
	if err != nil {
		return 0, err
	}
	count := 0
	for _, loop := range loops {
		if !match(loop) {
			continue
		}
		if err := detach(loop.Device); err != nil {
			return count, err
		}
		count++
	}
	return count, nil
}

// detach marks a loop device, and the kernel detaches it when it is closed: at once, unless it is open elsewhere.
func detach(device string) error {
	file, err := os.OpenFile(device, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("detach %s: %w", device, err)
	}
	// The mark takes effect at the last close, which is this one unless someone else has it open.
	defer file.Close()
	if err := unix.IoctlSetInt(int(file.Fd()), unix.LOOP_CLR_FD, 0); err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("detach %s: %w", device, err)
	}
	return nil
}
