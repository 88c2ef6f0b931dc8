// Package mount mounts filesystems and device nodes and answers, from the kernel's table, what is mounted where.
package mount

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Entry is one line of the kernel's mount table.
type Entry struct {
	// Device is the device number of the mounted filesystem.
	Device uint64
	// Root is the folder or file of that filesystem which is mounted, "/" for all of it.
	Root string
	// Point is where it is mounted.
	Point string
	// ReadOnly says whether this mount (not the filesystem) is read-only.
	ReadOnly bool
}

// Table is the kernel's mount table in the order of mounting.
type Table []Entry

// ReadTable reads the mount table of this process's mount namespace.
func ReadTable() (Table, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mount table: %w", err)
	}
	defer f.Close()
	return parseTable(f)
}

func parseTable(r io.Reader) (Table, error) {
	var table Table
	scanner := bufio.NewScanner(r)
	// Overlay mounts with many layers have very long lines.
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		entry, err := parseEntry(scanner.Text())
		if err != nil {
			return nil, err
		}
		table = append(table, entry)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read mount table: %w", err)
	}
	return table, nil
}

// parseEntry reads a line such as "36 35 7:0 / /mnt/a rw,noatime shared:1 - xfs /dev/loop0 rw".
func parseEntry(line string) (Entry, error) {
	fields := strings.Fields(line)
	if len(fields) < 6 {
		return Entry{}, fmt.Errorf("read mount table: line %q has too few fields", line)
	}
	major, minor, ok := strings.Cut(fields[2], ":")
	majorNumber, err1 := strconv.ParseUint(major, 10, 32)
	minorNumber, err2 := strconv.ParseUint(minor, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return Entry{}, fmt.Errorf("read mount table: device %q is not major:minor", fields[2])
	}
	entry := Entry{
		Device: unix.Mkdev(uint32(majorNumber), uint32(minorNumber)),
		Root:   unescape(fields[3]),
		Point:  unescape(fields[4]),
	}
	for option := range strings.SplitSeq(fields[5], ",") {
		entry.ReadOnly = entry.ReadOnly || option == "ro"
	}
	return entry, nil
}

// unescape undoes the octal escapes the kernel writes for space, tab, newline and backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// At returns what is visible at point: the last mount there.
func (t Table) At(point string) (Entry, bool) {
	for i := len(t) - 1; i >= 0; i-- {
		if t[i].Point == point {
			return t[i], true
		}
	}
	return Entry{}, false
}

// Uses returns the mounts of the block device at node: its filesystem wherever that is mounted, and the
// device node itself where it is bind-mounted.
func (t Table) Uses(node string) ([]Entry, error) {
	var stat unix.Stat_t
	if err := unix.Stat(node, &stat); err != nil {
		return nil, fmt.Errorf("find mounts of %s: %w", node, err)
	}
	var uses []Entry
	for _, entry := range t {
		if entry.Device == stat.Rdev || path.Base(entry.Root) == path.Base(node) && isDevice(entry.Point, stat.Rdev) {
			uses = append(uses, entry)
		}
	}
	return uses, nil
}

// isDevice reports whether a node of the block device is at path.
func isDevice(path string, device uint64) bool {
	var stat unix.Stat_t
	err := unix.Stat(path, &stat)
	return err == nil && stat.Mode&unix.S_IFMT == unix.S_IFBLK && stat.Rdev == device
}

// Bind mounts source, a folder or a device node, at target, which must exist.
func Bind(source, target string, readOnly bool) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}
	if !readOnly {
		return nil
	}
	// A bind mount becomes read-only in a second step.
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return errors.Join(fmt.Errorf("make %s read-only: %w", target, err), Unmount(target))
	}
	return nil
}

// Unmount takes away everything mounted at point itself. Nothing mounted there, or no such point, is not an
// error; a mount in use is.
func Unmount(point string) error {
	for {
		table, err := ReadTable()
		if err != nil {
			return err
		}
		if _, mounted := table.At(point); !mounted {
			return nil
		}
		if err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
}
