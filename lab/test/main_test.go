//go:build lab

package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shared is the cluster for tests that do not harm it. TestMain sets it up; tests only read it.
var shared struct {
	lab    lab
	images string
	upTime time.Duration
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Geteuid() != 0 || os.Getenv("COFFER_LAB_BIN") == "" {
		fmt.Fprintln(os.Stderr, "the lab's tests need root, and the lab's programs in COFFER_LAB_BIN")
		return 1
	}
	root, err := os.MkdirTemp("/var/lib", "coffer-lab-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(root)
	shared.lab = lab{root: filepath.Join(root, "lab"), name: uniqueName("t")}
	shared.images = filepath.Join(root, "images")
	before, err := readMachine(shared.lab)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := 1
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, "set up the shared cluster:", err)
	} else {
		status = m.Run()
	}
	// Whatever became of the tests, their cluster goes, and everything that they did to it.
	if out, err := shared.lab.run("down"); err != nil {
		fmt.Fprintln(os.Stderr, "take down the shared cluster:", out, err)
		return 1
	}
	if err := shared.lab.checkClean(context.Background(), before); err != nil {
		fmt.Fprintln(os.Stderr, "after the shared cluster:", err)
		return 1
	}
	return status
}

func setUp() error {
	if err := os.MkdirAll(shared.images, 0o755); err != nil {
		return err
	}
	begin := time.Now()
	if out, err := shared.lab.run("up"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	shared.upTime = time.Since(begin)
	for _, kind := range []string{"toolbox", "postgres"} {
		file := imageFile(kind)
		if out, err := shared.lab.run("image", "build", kind, "-o", file); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if out, err := shared.lab.run("image", "load", file); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

func imageFile(kind string) string { return filepath.Join(shared.images, kind+".tar") }

// lab runs the program for one lab folder and cluster.
type lab struct {
	root string
	name string
	// user is whom the program runs as; zero is root.
	user uint32
	// binDir holds the programs; empty means COFFER_LAB_BIN.
	binDir string
}

// uniqueName is a cluster name that no other run of the tests uses.
func uniqueName(prefix string) string { return prefix + strconv.FormatInt(int64(os.Getpid()), 36) }

// newLab returns a lab with a folder of its own, which is ended with the test whatever became of it.
func newLab(t *testing.T, prefix string) lab {
	t.Helper()
	name := uniqueName(prefix)
	root, err := os.MkdirTemp("/var/lib", "coffer-lab-test-")
	if err != nil {
		t.Fatal(err)
	}
	l := lab{root: root, name: name}
	t.Cleanup(func() {
		if out, err := l.run("down", "--all"); err != nil {
			t.Errorf("take down %s: %v: %s", name, err, out)
		}
		os.RemoveAll(root)
	})
	return l
}

// command prepares a run of the program.
func (l lab) command(args ...string) *exec.Cmd {
	binDir := l.binDir
	if binDir == "" {
		binDir = os.Getenv("COFFER_LAB_BIN")
	}
	cmd := exec.Command(filepath.Join(binDir, "lab"), args...)
	cmd.Env = append(os.Environ(), "COFFER_LAB_ROOT="+l.root, "COFFER_LAB_BIN="+binDir)
	if !slices.Contains(args, "--name") {
		cmd.Args = append(cmd.Args, "--name", l.name)
	}
	if l.user != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: l.user, Gid: l.user}}
	}
	return cmd
}

// run returns both outputs. Status 1 is the only failure that the program may end with.
func (l lab) run(args ...string) (string, error) {
	cmd := l.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() != 1 {
		err = fmt.Errorf("unexpected end: %w", err)
	}
	return out.String(), err
}

// must runs the program, which has to succeed.
func (l lab) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := l.run(args...)
	if err != nil {
		t.Fatalf("lab %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// mustRefuse runs the program, which has to fail with one line that has all the texts in it.
func (l lab) mustRefuse(t *testing.T, texts []string, args ...string) {
	t.Helper()
	out, err := l.run(args...)
	if err == nil {
		t.Fatalf("lab %s succeeded: %s", strings.Join(args, " "), out)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("lab %s ended with %v, want status 1", strings.Join(args, " "), err)
	}
	if lines := strings.Count(strings.TrimSpace(out), "\n") + 1; lines != 1 {
		t.Errorf("lab %s said %d lines, want one:\n%s", strings.Join(args, " "), lines, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("lab %s said %q, want %q in it", strings.Join(args, " "), out, text)
		}
	}
}

// eventually polls until the condition returns nil, and fails the test with its last error after the timeout.
func eventually(t *testing.T, timeout time.Duration, condition func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	var err error
	for {
		// An error that is only the end of the time says less than the one before it.
		switch latest := condition(ctx); {
		case latest == nil:
			return
		case ctx.Err() == nil || err == nil:
			err = latest
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %v", timeout, err)
		case <-ticker.C:
		}
	}
}
