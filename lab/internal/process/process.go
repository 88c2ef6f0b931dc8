// Package process starts detached processes and finds them again, safe against reused process ids.
package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Command is a process to start.
type Command struct {
	Program string
	Args    []string
	// Env is added to a minimal environment.
	Env []string
	// Network is the file of the network namespace to run in; empty means the caller's.
	Network string
	// Log receives both outputs; it is appended to.
	Log string
	// Files become descriptors 3, 4 and so on.
	Files []*os.File
}

// Record identifies a started process. Ticks is its start time in clock ticks after boot: a process id
// that was reused has another.
type Record struct {
	PID     int       `json:"pid"`
	Ticks   uint64    `json:"ticks"`
	Started time.Time `json:"started"`
}

// Start starts a process in a session of its own, so that it outlives the caller and its terminal.
func Start(command Command) (Record, error) {
	log, err := os.OpenFile(command.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return Record{}, fmt.Errorf("open the log: %w", err)
	}
	defer log.Close()
	argv := append([]string{command.Program}, command.Args...)
	if command.Network != "" {
		// nsenter becomes the program, so the process id stays. "ip netns exec" would give it a private /sys without
		// the control group mounts.
		argv = append([]string{"nsenter", "--net=" + command.Network, "--"}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // It outlives whoever starts it.
	cmd.Env = append([]string{"PATH=" + SearchPath, "HOME=/nonexistent", "LANG=C.UTF-8"}, command.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = command.Files
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Record{}, err
	}
	record := Record{PID: cmd.Process.Pid, Started: time.Now().UTC().Truncate(time.Millisecond)}
	stat, err := readStat(record.PID)
	if err != nil {
		return Record{}, fmt.Errorf("read the start time of process %d: %w", record.PID, err)
	}
	record.Ticks = stat.ticks
	// Not waited for on purpose: it outlives this program. A zombie counts as dead (Alive).
	return record, cmd.Process.Release()
}

// SearchPath is where the lab's processes look for programs, whatever the caller's PATH is.
const SearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Alive reports whether the recorded process still runs.
func (r Record) Alive() bool {
	stat, err := readStat(r.PID)
	return err == nil && stat.running() && stat.ticks == r.Ticks
}

// Kill ends the recorded process at once. A process that is already gone is no error.
func (r Record) Kill() error {
	// The process is held by its descriptor while its identity is checked, so that a reused id is never hit.
	handle, err := os.FindProcess(r.PID)
	if err != nil {
		return nil
	}
	defer func() { _ = handle.Release() }()
	if !r.Alive() {
		return nil
	}
	if err := handle.Kill(); err != nil && r.Alive() {
		return fmt.Errorf("kill process %d: %w", r.PID, err)
	}
	return nil
}

// Memory is what a process occupies. Proportional divides shared pages among those who share them.
type Memory struct {
	Resident     int64 `json:"rssBytes"`
	Proportional int64 `json:"pssBytes"`
}

// Add adds what another process occupies.
func (m *Memory) Add(other Memory) {
	m.Resident += other.Resident
	m.Proportional += other.Proportional
}

// Memory reads what the recorded process occupies; zero if it is gone.
func (r Record) Memory() Memory {
	if !r.Alive() {
		return Memory{}
	}
	return memoryOf(r.PID)
}

func memoryOf(pid int) Memory {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return Memory{}
	}
	var memory Memory
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "Rss:":
			memory.Resident = kib << 10
		case "Pss:":
			memory.Proportional = kib << 10
		}
	}
	return memory
}

type stat struct {
	state   byte
	threads int
	ticks   uint64
}

// running says whether any thread of the process is left. The first of several that were killed is a zombie at once,
// while the others still hold the process's files and ports.
func (s stat) running() bool { return s.state != 'Z' && s.state != 'X' || s.threads > 1 }

func readStat(pid int) (stat, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(content))
}

// parseStat reads the state and start time of a /proc/PID/stat line. The command name before them may hold
// spaces and parentheses, so counting begins after the last parenthesis.
func parseStat(line string) (stat, error) {
	end := strings.LastIndexByte(line, ')')
	fields := strings.Fields(line[end+1:])
	if end < 0 || len(fields) < 20 {
		return stat{}, fmt.Errorf("unexpected process state %q", line)
	}
	threads, err := strconv.Atoi(fields[17])
	if err != nil {
		return stat{}, fmt.Errorf("unexpected process state %q: %w", line, err)
	}
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("unexpected process state %q: %w", line, err)
	}
	return stat{state: fields[0][0], threads: threads, ticks: ticks}, nil
}

// AwaitEnd waits until the recorded process is gone.
func (r Record) AwaitEnd(ctx context.Context) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for r.Alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of process %d: %w", r.PID, ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}
