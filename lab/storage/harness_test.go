//go:build lab

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/coffer-backup/coffer/lab/storage/internal/mount"
)

const (
	// asProgram makes the test binary behave as lab-storage.
	asProgram = "LAB_STORAGE_TEST_AS_PROGRAM"
	// tempPrefix, followed by the process id, begins the name of every test's folder.
	tempPrefix = "lab-storage-test-"
	testName   = "test.csi.coffer.dev"
	mebibyte   = int64(1) << 20
	gibibyte   = int64(1) << 30
	// waitLimit bounds waits for what normally takes milliseconds.
	waitLimit = 20 * time.Second
)

// TestMain runs the tests between two sweeps: what a killed run left is removed before, and what this run
// leaves is removed and reported after.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the lab's storage tests mount filesystems: run them as root")
		os.Exit(1)
	}
	if _, err := sweep(abandoned); err != nil {
		fmt.Fprintln(os.Stderr, "sweep before the tests:", err)
		os.Exit(1)
	}
	code := m.Run()
	left, err := sweep(func(dir string) bool {
		return strings.HasPrefix(filepath.Base(dir), tempPrefix+strconv.Itoa(os.Getpid())+"-")
	})
	if err != nil || len(left) > 0 {
		fmt.Fprintln(os.Stderr, "left behind by the tests:", left, err)
		code = 1
	}
	os.Exit(code)
}

// sweep removes the test folders that mineFunc picks, with their mounts and loop devices, and names them.
func sweep(mineFunc func(dir string) bool) ([]string, error) {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), tempPrefix+"*"))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, dir := range dirs {
		if !mineFunc(dir) {
			continue
		}
		found = append(found, dir)
		if err := sweepDir(dir); err != nil {
			return found, err
		}
	}
	return found, nil
}

// abandoned reports whether the process that made a test folder is gone: nobody holds the folder's lock.
func abandoned(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// hold takes a test folder's lock until the test ends.
func hold(t testing.TB, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
}

func sweepDir(dir string) error {
	table, err := mount.ReadTable()
	if err != nil {
		return err
	}
	var problems []error
	for i := len(table) - 1; i >= 0; i-- {
		if strings.HasPrefix(table[i].Point, dir+"/") && !strings.HasPrefix(table[i].Point, dir+"/pool") {
			problems = append(problems, mount.Unmount(table[i].Point))
		}
	}
	for _, device := range loopsUnder(dir) {
		if err := exec.Command("losetup", "-d", device).Run(); err != nil {
			problems = append(problems, fmt.Errorf("detach %s: %w", device, err))
		}
	}
	problems = append(problems, mount.Unmount(filepath.Join(dir, "pool")), os.RemoveAll(dir))
	return errors.Join(problems...)
}

// loopsUnder returns the loop devices of volumes in the pool of a test's folder.
func loopsUnder(dir string) []string {
	var devices []string
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, file := range files {
		if backing, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(backing), dir+"/pool/") {
			devices = append(devices, "/dev/"+strings.Split(file, "/")[3])
		}
	}
	return devices
}

// newDir makes a folder with a pool, an XFS with reflinks of the test's own, at dir/pool. When the test
// ends it fails if a loop device is left, and everything is removed in any case.
func newDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", tempPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		t.Fatal(err)
	}
	dir, err = filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	hold(t, dir)
	t.Cleanup(func() {
		if left := loopsUnder(dir); len(left) > 0 {
			t.Errorf("loop devices left: %v", left)
		}
		if err := sweepDir(dir); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	image, point := filepath.Join(dir, "pool.img"), filepath.Join(dir, "pool")
	mustRun(t, "truncate", "-s", "8G", image)
	mustRun(t, "mkfs.xfs", "-q", "-m", "reflink=1", image)
	if err := os.Mkdir(point, 0o755); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "mount", "-o", "loop", image, point)
	return dir
}

// process is a lab-storage driver running as a process of its own.
type process struct {
	t       testing.TB
	command *exec.Cmd
	exited  chan error
	dir     string
	args    []string

	csi.IdentityClient
	csi.ControllerClient
	csi.NodeClient
}

// startDriver starts a driver on the pool in dir and waits until it answers. It is stopped when the test ends.
func startDriver(t testing.TB, dir string, extra ...string) *process {
	t.Helper()
	p := &process{t: t, dir: dir}
	p.args = append([]string{"driver", "--driver-name", testName, "--endpoint", "unix://" + p.socket(),
		"--pool", filepath.Join(dir, "pool"), "--node-id", "node-1", "--kubelet-registration-dir", filepath.Join(dir, "registry")}, extra...)
	conn, err := grpc.NewClient("unix://"+p.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	p.IdentityClient, p.ControllerClient, p.NodeClient = csi.NewIdentityClient(conn), csi.NewControllerClient(conn), csi.NewNodeClient(conn)
	p.start()
	t.Cleanup(func() {
		conn.Close()
		p.stop()
	})
	return p
}

func (p *process) socket() string { return filepath.Join(p.dir, "csi.sock") }
func (p *process) registration() string {
	return filepath.Join(p.dir, "registry", testName+"-reg.sock")
}

func (p *process) start() {
	p.t.Helper()
	p.command = exec.Command(os.Args[0], p.args...)
	p.command.Env = append(os.Environ(), asProgram+"=1")
	// Should the tests be killed, their drivers go with them; the next run sweeps up the rest.
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.command.Stdout, p.command.Stderr = p.t.Output(), p.t.Output()
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.exited = make(chan error, 1)
	go func() { p.exited <- p.command.Wait() }()
	// A refused connection would make the client pause for a second.
	eventually(p.t, "the driver listens", func() bool {
		conn, err := net.Dial("unix", p.socket())
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	ctx, cancel := context.WithTimeout(p.t.Context(), waitLimit)
	defer cancel()
	if _, err := p.Probe(ctx, &csi.ProbeRequest{}, grpc.WaitForReady(true)); err != nil {
		p.t.Fatalf("driver does not answer: %v", err)
	}
}

// kill ends the driver as a crash would.
func (p *process) kill() {
	p.t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	if err := <-p.exited; err == nil {
		p.t.Error("the driver ended by itself before it was killed")
	}
	p.command = nil
}

// stop asks the driver to end and fails the test if it does not do so without error.
func (p *process) stop() {
	p.t.Helper()
	if p.command == nil {
		return
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Error(err)
	}
	select {
	case err := <-p.exited:
		if err != nil {
			p.t.Errorf("driver ended with: %v", err)
		}
	case <-time.After(waitLimit):
		p.t.Error("driver does not stop")
		p.kill()
		return
	}
	p.command = nil
}

func mustRun(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// eventually polls until done holds.
func eventually(t testing.TB, what string, doneFunc func() bool) {
	t.Helper()
	deadline := time.After(waitLimit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !doneFunc() {
		select {
		case <-deadline:
			t.Fatalf("did not happen in %s: %s", waitLimit, what)
		case <-tick.C:
		}
	}
}
