// Package tool runs the machine's own programs and says what they said when they fail.
package tool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/coffer-backup/coffer/lab/internal/process"
)

// ErrMissing is returned by Path for a program that is not installed.
var ErrMissing = errors.New("not installed")

// Path finds a program in the system's folders and in the caller's PATH. Administrators' folders count also when
// the caller's PATH leaves them out. An absolute path is returned as it is.
func Path(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, folder := range append(filepath.SplitList(process.SearchPath), filepath.SplitList(os.Getenv("PATH"))...) {
		candidate := filepath.Join(folder, name)
		if info, err := os.Stat(candidate); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, ErrMissing)
}

// Run runs a program to its end and returns its standard output. The error holds what it wrote to standard error. If this
// process is killed meanwhile, the program is too: nothing else would know of it.
func Run(ctx context.Context, name string, args ...string) (string, error) {
	return RunInput(ctx, "", name, args...)
}

// RunInput is Run with something to read on standard input.
func RunInput(ctx context.Context, input, name string, args ...string) (string, error) {
	path, err := Path(name)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader(input)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// The kernel takes the death of the thread that started it for that of the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		said := strings.Join(strings.Fields(stderr.String()), " ")
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, said)
	}
	return stdout.String(), nil
}
