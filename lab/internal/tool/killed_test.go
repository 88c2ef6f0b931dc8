package tool

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pidFile tells the test's own program, run again, to run a program that writes its process id there and goes on.
const pidFile = "COFFER_LAB_TOOL_PID_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(pidFile); file != "" {
		_, _ = Run(context.Background(), "sh", "-c", "echo $$ > "+file+".new; mv "+file+".new "+file+"; exec sleep 60")
		return
	}
	os.Exit(m.Run())
}

func TestAProgramGoesWithWhoeverRunsIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), pidFile+"="+file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	await(t, "the program runs", func() bool {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	await(t, "the program is gone", func() bool {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || strings.Contains(string(stat), ") Z ")
	})
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick, end := time.NewTicker(10*time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
