//go:build lab

package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// inspections list what a cluster could leave behind on the machine.
var inspections = []string{
	"cat /proc/self/mounts",
	"losetup --list --noheadings --output NAME,BACK-FILE",
	"ip netns list",
	"ip -oneline link show",
	"ip -oneline address show",
	"ip route show",
	"nft list ruleset",
	"find /sys/fs/cgroup -type d -name coffer-lab-*",
	"find /run/containerd /run/netns /var/lib/cni /var/lib/kubelet /var/log/containers /var/log/pods /opt/containerd",
}

// settings of the kernel that a cluster could change.
var settings = []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "net/ipv4/ip_forward"}

// machine is the state of this machine, one line per thing.
type machine struct{ lines []string }

// readMachine looks at everything, and at processes that have to do with the lab's folder or cluster.
func readMachine(l lab) (machine, error) {
	var m machine
	for _, command := range inspections {
		fields := strings.Fields(command)
		out, err := exec.Command(fields[0], fields[1:]...).Output()
		var exit *exec.ExitError
		// find complains of folders that do not exist, which is as it should be.
		if err != nil && (fields[0] != "find" || !errors.As(err, &exit)) {
			return m, fmt.Errorf("%s: %w", command, err)
		}
		for line := range strings.Lines(string(out)) {
			m.lines = append(m.lines, fields[0]+": "+strings.TrimSpace(line))
		}
	}
	for _, name := range settings {
		content, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if err != nil {
			return m, err
		}
		m.lines = append(m.lines, "setting: "+name+" "+strings.TrimSpace(string(content)))
	}
	return m, m.readProcesses(l)
}

func (m *machine) readProcesses(l lab) error {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if filepath.Base(folder) == fmt.Sprint(os.Getpid()) {
			continue
		}
		for _, file := range []string{"cmdline", "environ", "cgroup"} {
			content, _ := os.ReadFile(filepath.Join(folder, file))
			if l.concerns(string(content)) {
				command, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
				m.lines = append(m.lines, "process: "+filepath.Base(folder)+" "+strings.ReplaceAll(string(command), "\x00", " "))
				break
			}
		}
	}
	return nil
}

// concerns reports whether a text is about this lab's folder or cluster.
func (l lab) concerns(text string) bool {
	return strings.Contains(text, l.root) || strings.Contains(text, "coffer-lab-"+l.name)
}

// sharedPlaces are used by all clusters of the machine, and their entries do not tell whose they are.
var sharedPlaces = []string{"find: /run/containerd", "find: /run/netns", "find: /var/lib/cni", "find: /var/lib/kubelet", "find: /var/log", "setting: ", "coffer-lab", "/run/netns"}

// leftBehind lists what is there now and was not before. Things that clusters share count only if no other is up.
func (l lab) leftBehind(before machine) ([]string, error) {
	now, err := readMachine(l)
	if err != nil {
		return nil, err
	}
	others, err := filepath.Glob("/run/netns/coffer-lab-*")
	if err != nil {
		return nil, err
	}
	othersUp := slices.ContainsFunc(others, func(path string) bool { return !l.concerns(path) })
	var left []string
	for _, line := range now.lines {
		if slices.Contains(before.lines, line) {
			continue
		}
		shared := slices.ContainsFunc(sharedPlaces, func(place string) bool { return strings.Contains(line, place) })
		if l.concerns(line) || !othersUp || !shared {
			left = append(left, line)
		}
	}
	return left, nil
}

// checkClean waits a moment for what the kernel takes back late, and returns an error that lists what stays.
func (l lab) checkClean(ctx context.Context, before machine) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		left, err := l.leftBehind(before)
		if err != nil || len(left) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		case <-ticker.C:
		}
	}
}

func mustRead(t *testing.T, l lab) machine {
	t.Helper()
	m, err := readMachine(l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (l lab) mustBeClean(t *testing.T, before machine) {
	t.Helper()
	if err := l.checkClean(t.Context(), before); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(l.root, l.name)); err == nil {
		t.Errorf("%s is still there", filepath.Join(l.root, l.name))
	}
}
