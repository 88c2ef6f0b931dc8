//go:build lab

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine is what a cluster could leave behind, one line per thing.
type machine struct {
	lines []string
	// kernel are settings, which must be the same rather than only not more.
	kernel string
}

func readMachine(t *testing.T, l lab) machine {
	t.Helper()
	var m machine
	for _, command := range []string{
		"cat /proc/self/mounts",
		"losetup --list --noheadings --output NAME,BACK-FILE",
		"ip netns list",
		"ip -oneline link show",
		"ip -oneline address show",
		"ip route show",
		"nft list ruleset",
		"find /sys/fs/cgroup -type d -name coffer-lab-*",
		"find /run/containerd /run/netns /var/lib/cni /var/lib/kubelet /var/log/containers /var/log/pods /var/lib/containerd /opt/containerd",
	} {
		fields := strings.Fields(command)
		// find says so where a folder does not exist, which is fine.
		out, err := exec.Command(fields[0], fields[1:]...).Output()
		if err != nil && fields[0] != "find" {
			t.Fatalf("%s: %v", command, err)
		}
		for line := range strings.Lines(string(out)) {
			m.lines = append(m.lines, fields[0]+": "+strings.TrimSpace(line))
		}
	}
	m.lines = append(m.lines, processes(t, l)...)
	for _, name := range []string{"vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "net/ipv4/ip_forward"} {
		content, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if err != nil {
			t.Fatal(err)
		}
		m.kernel += fmt.Sprintf("%s=%s ", name, strings.TrimSpace(string(content)))
	}
	return m
}

// processes lists those that mention the lab's folder or cluster in any way.
func processes(t *testing.T, l lab) []string {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, folder := range folders {
		if filepath.Base(folder) == fmt.Sprint(os.Getpid()) {
			continue
		}
		for _, file := range []string{"cmdline", "environ", "cgroup"} {
			content, _ := os.ReadFile(filepath.Join(folder, file))
			if text := string(content); strings.Contains(text, l.root) || strings.Contains(text, "coffer-lab-"+l.name+"/") {
				command, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
				found = append(found, "process: "+strings.ReplaceAll(string(command), "\x00", " "))
				break
			}
		}
	}
	return found
}

// mustBeAsBefore fails the test for each thing that was not there before. Things of other labs, which come and go on
// their own, do not count; a thing without a name of its own does.
func mustBeAsBefore(t *testing.T, l lab, before machine) {
	t.Helper()
	after := readMachine(t, l)
	for _, line := range after.lines {
		if slices.Contains(before.lines, line) {
			continue
		}
		ours := strings.Contains(line, l.root) || strings.Contains(line, l.name)
		if !ours && (strings.Contains(line, "coffer-lab") || strings.Contains(line, "lab-storage-test") || othersRun()) {
			continue
		}
		t.Errorf("left behind: %s", line)
	}
	if !othersRun() && after.kernel != before.kernel {
		t.Errorf("kernel settings are %s, were %s", after.kernel, before.kernel)
	}
	if _, err := os.Stat(filepath.Join(l.root, l.name)); err == nil {
		t.Errorf("%s is still there", filepath.Join(l.root, l.name))
	}
}
