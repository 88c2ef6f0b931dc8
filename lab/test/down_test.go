//go:build lab

package test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDownOfNothingSucceeds(t *testing.T) {
	l := newLab(t, "n")
	for range 2 {
		if out := l.must(t, "down"); !strings.Contains(out, "nothing") {
			t.Errorf("down said %q", out)
		}
	}
}

// signalAt runs a command and sends it a signal when it has printed a line with the text, or after the time.
func (l lab) signalAt(t *testing.T, signal syscall.Signal, text string, after time.Duration, args ...string) {
	t.Helper()
	cmd := l.command(args...)
	output, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if text == "" {
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Signal(signal) })
		defer timer.Stop()
	}
	seen := text == ""
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if text != "" && strings.Contains(lines.Text(), text) {
			seen = true
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
		}
	}
	// It ends by the signal or, told to end, with an error; which of them is for the caller to see.
	_ = cmd.Wait()
	if !seen {
		t.Fatalf("lab %s never said %q", strings.Join(args, " "), text)
	}
}

func TestDownAfterUpWasKilledHalfway(t *testing.T) {
	points := []string{"network namespace", "storage pool", "certificates", "containerd", "etcd", "kube-apiserver", "kubelet", "snapshot kinds", "node"}
	for _, point := range points {
		t.Run("after "+point, func(t *testing.T) { killedUp(t, point, 0) })
	}
	for _, after := range []time.Duration{5 * time.Millisecond, 60 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond} {
		t.Run("after "+after.String(), func(t *testing.T) { killedUp(t, "", after) })
	}
}

func killedUp(t *testing.T, point string, after time.Duration, flags ...string) {
	l := newLab(t, "k")
	before := mustRead(t, l)
	l.signalAt(t, syscall.SIGKILL, point, after, append([]string{"up"}, flags...)...)
	if _, err := os.Stat(filepath.Join(l.root, l.name)); err == nil {
		if out, err := l.run("up"); err == nil || !strings.Contains(out, "lab down") {
			t.Errorf("up over the remains: %v: %s", err, out)
		}
	}
	l.must(t, "down")
	l.mustBeClean(t, before)
	if entries, err := os.ReadDir(l.root); err == nil && len(entries) > 0 {
		t.Errorf("the lab folder still has %v", entries)
	}
}

func TestAnInterruptedUpCleansUpItself(t *testing.T) {
	l := newLab(t, "i")
	before := mustRead(t, l)
	l.signalAt(t, syscall.SIGINT, "containerd", 0, "up")
	l.mustBeClean(t, before)
}

func TestDownAfterEverythingWasKilledAndTheRecordsLost(t *testing.T) {
	l := newLab(t, "w")
	before := mustRead(t, l)
	l.must(t, "up")
	l.must(t, "image", "load", imageFile("toolbox"))
	c := newClient(t, l, "wreck")
	c.mustClaim(t, claim("files", "320Mi"))
	c.mustClaim(t, claim("raw", "50Mi", block))
	c.mustRun(t, pod("box", withVolume("files", "Filesystem"), withVolume("raw", "Block")))
	c.mustExec(t, "box", "sh", "-c", "sleep 100000 < /dev/data > /data/open 2>&1 & echo started")
	for _, component := range []string{"kubelet", "containerd", "csi-driver", "kube-apiserver", "etcd"} {
		l.must(t, "kill", component)
	}
	for _, record := range []string{"cluster.json", "run/kube-proxy.json", "run/forwarder.json", "kubeconfig"} {
		if err := os.Remove(filepath.Join(l.root, l.name, record)); err != nil {
			t.Fatal(err)
		}
	}
	l.must(t, "down")
	l.mustBeClean(t, before)
	if entries, err := os.ReadDir(l.root); err == nil && len(entries) > 0 {
		t.Errorf("the lab folder still has %v", entries)
	}
	l.must(t, "down")
}

// brokenPrograms is a folder with the lab's programs, of which one gives a reason and fails.
func brokenPrograms(t *testing.T, name string) string {
	t.Helper()
	folder := t.TempDir()
	programs, err := filepath.Glob(filepath.Join(os.Getenv("COFFER_LAB_BIN"), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		if err := os.Symlink(program, filepath.Join(folder, filepath.Base(program))); err != nil {
			t.Fatal(err)
		}
	}
	broken := filepath.Join(folder, name)
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho the reason for this\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestAClusterThatDoesNotComeUpSaysWhyAndGoes(t *testing.T) {
	l := newLab(t, "f")
	broken := brokenPrograms(t, "coredns")
	before := mustRead(t, l)
	out, err := l.run("up", "--bin-dir", broken)
	if err == nil || !strings.Contains(out, "coredns ended") || !strings.Contains(out, "coredns | the reason for this") {
		t.Errorf("up with a broken coredns: %v: %s", err, out)
	}
	l.mustBeClean(t, before)

	if out, err = l.run("up", "--bin-dir", broken, "--keep"); err == nil || !strings.Contains(out, "lab down") {
		t.Errorf("up --keep with a broken coredns: %v: %s", err, out)
	}
	if got := l.state(t, "coredns"); got != "dead" {
		t.Errorf("coredns is %s", got)
	}
	if got := l.state(t, "etcd"); got != "running" {
		t.Errorf("etcd of the kept cluster is %s", got)
	}
	l.must(t, "down")
	l.mustBeClean(t, before)
}

// publicPrograms is a copy of the programs that everybody may run: the checkout may be in root's own folder.
func publicPrograms(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "coffer-lab-bin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lab", "lab-kubernetes", "lab-storage"} {
		from := filepath.Join(os.Getenv("COFFER_LAB_BIN"), name)
		if out, err := exec.Command("cp", "--reflink=auto", from, folder).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v: %s", from, err, out)
		}
	}
	return folder
}

func TestControlPlaneOnlyNeedsNoRoot(t *testing.T) {
	folder, err := os.MkdirTemp("/tmp", "coffer-lab-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	const nobody = 65534
	if err := os.Chown(folder, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	l := lab{root: filepath.Join(folder, "lab"), name: uniqueName("c"), user: nobody, binDir: publicPrograms(t)}
	before := mustRead(t, l)
	t.Cleanup(func() { l.must(t, "down", "--all") })
	begin := time.Now()
	l.must(t, "up", "--control-plane-only")
	t.Logf("up in %s", time.Since(begin).Round(time.Second/10))
	c := newClient(t, l, "some")
	if _, err := c.dynamic.Resource(snapshots).Namespace(c.namespace).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("the snapshot kinds are not there: %v", err)
	}
	components := l.components(t)
	if len(components) != 3 {
		t.Errorf("the components are %v, want three", components)
	}
	for _, component := range components {
		info, err := os.Stat(fmt.Sprintf("/proc/%d", component.PID))
		if err != nil {
			t.Fatal(err)
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != nobody {
			t.Errorf("%s runs as user %d", component.Name, uid)
		}
	}
	restart := l.mustKill(t, "kube-apiserver")
	restart()
	l.mustRefuse(t, []string{"root", "--control-plane-only"}, "up", "--name", uniqueName("d"))
	l.must(t, "down")
	l.mustBeClean(t, before)
}
