package process

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// endsFirstThread, in the environment, makes the test binary a process whose first thread ends before the others, as
// the threads of a killed program do.
const endsFirstThread = "COFFER_TEST_ENDS_FIRST_THREAD"

func init() {
	if os.Getenv(endsFirstThread) == "" {
		return
	}
	// init runs on the first thread.
	runtime.LockOSThread()
	go func() {
		_, _ = os.Stdout.WriteString("\n")
		// Until it is killed, or its parent is gone.
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
}

// threads is such a process, not started yet.
func threads(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), endsFirstThread+"=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestAProcessIsAliveUntilItsLastThreadHasEnded(t *testing.T) {
	cmd := threads(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	record := Record{PID: cmd.Process.Pid}
	var s stat
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.state != 'Z' {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("the first thread does not end: state %c", s.state)
		}
		if s, err = readStat(record.PID); err != nil {
			t.Fatal(err)
		}
	}
	record.Ticks = s.ticks
	if !record.Alive() {
		t.Error("a process with threads is said to have ended")
	}
	if err := record.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := record.AwaitEnd(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Nobody has waited for it yet: what is left is the zombie of the first thread.
	if s, err = readStat(record.PID); err != nil || s.state != 'Z' || s.threads != 1 {
		t.Errorf("after its end: state %c with %d threads, %v", s.state, s.threads, err)
	}
}

// Programs end thread by thread: whoever starts another in their place needs all of them gone.
func TestKillAllAwaitsTheLastThread(t *testing.T) {
	cmd := threads(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	killed, err := KillAll(t.Context(), func(f Found) bool { return f.PID == cmd.Process.Pid })
	if err != nil || killed != 1 {
		t.Fatalf("KillAll = %d, %v", killed, err)
	}
	if s, err := readStat(cmd.Process.Pid); err == nil && s.running() {
		t.Errorf("it still has %d threads", s.threads)
	}
}
