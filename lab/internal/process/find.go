package process

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Found is a running process. Its methods read what they say at the time of the call and return the zero
// value once the process is gone.
type Found struct{ Record }

// Command is the process's name.
func (f Found) Command() string { return strings.TrimSpace(f.read("comm")) }

// InCgroup reports whether the process is in a control group or below it.
func (f Found) InCgroup(group string) bool {
	for line := range strings.Lines(f.read("cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && (parts[2] == group || strings.HasPrefix(parts[2], group+"/")) {
			return true
		}
	}
	return false
}

// HasEnvironment reports whether the process was started with an environment entry.
func (f Found) HasEnvironment(entry string) bool {
	for _, have := range strings.Split(f.read("environ"), "\x00") {
		if have == entry {
			return true
		}
	}
	return false
}

// InNetwork reports whether the process is in the network namespace with this inode.
func (f Found) InNetwork(inode uint64) bool {
	var status unix.Stat_t
	err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", f.PID), &status)
	return err == nil && inode != 0 && status.Ino == inode
}

// WorksIn reports whether the process's working directory is a folder or below it.
func (f Found) WorksIn(folder string) bool {
	directory, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", f.PID))
	return err == nil && (directory == folder || strings.HasPrefix(directory, folder+"/"))
}

// Memory reads what the process occupies.
func (f Found) Memory() Memory { return memoryOf(f.PID) }

func (f Found) read(file string) string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", f.PID, file))
	if err != nil {
		return ""
	}
	return string(content)
}

// Find lists the running processes that match, never the caller itself.
func Find(match func(Found) bool) ([]Found, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []Found
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		stat, err := readStat(pid)
		if err != nil || !stat.running() {
			continue
		}
		if candidate := (Found{Record{PID: pid, Ticks: stat.ticks}}); match(candidate) {
			found = append(found, candidate)
		}
	}
	return found, nil
}

// KillAll kills every process that matches until none is left, including those that appear meanwhile.
// It returns how many it killed, and an error naming the ones that would not die before ctx ended.
func KillAll(ctx context.Context, match func(Found) bool) (int, error) {
	seen := map[Record]bool{}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		found, err := Find(match)
		if err != nil {
			return len(seen), err
		}
		// What dies has no environment any more to match by.
		for record := range seen {
			if record.Alive() && !slices.Contains(found, Found{record}) {
				found = append(found, Found{record})
			}
		}
		if len(found) == 0 {
			return len(seen), nil
		}
		for _, f := range found {
			if err := f.Kill(); err != nil {
				return len(seen), err
			}
			seen[f.Record] = true
		}
		select {
		case <-ctx.Done():
			return len(seen), fmt.Errorf("process %d (%s) does not die: %w", found[0].PID, found[0].Command(), ctx.Err())
		case <-ticker.C:
		}
	}
}
