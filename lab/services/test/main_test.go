//go:build lab

package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// environment is what "lab service env" says, without what all names begin with. TestMain sets it; tests only read it.
var environment map[string]string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Geteuid() != 0 || os.Getenv("COFFER_LAB_BIN") == "" {
		fmt.Fprintln(os.Stderr, "the tests of services need root, and the lab's programs in COFFER_LAB_BIN")
		return 1
	}
	root, err := os.MkdirTemp("/var/lib", "coffer-lab-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(root)
	status := 1
	if err := setUp(root); err != nil {
		fmt.Fprintln(os.Stderr, "set up the services:", err)
	} else {
		status = m.Run()
	}
	if out, err := lab(root, "service", "down"); err != nil {
		fmt.Fprintln(os.Stderr, "take down the services:", out, err)
		return 1
	}
	return status
}

func setUp(root string) error {
	if out, err := lab(root, "service", "up", "azurite", "s3", "gcs", "fault"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	out, err := lab(root, "service", "env")
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	environment = map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export COFFER_SERVICE_"), "=")
		environment[name] = strings.Trim(value, "'")
	}
	return nil
}

func lab(root string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(os.Getenv("COFFER_LAB_BIN"), "lab"), args...)
	cmd.Env = append(os.Environ(), "COFFER_LAB_ROOT="+root)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// eachWay runs a test against a store itself, and through the fault proxy.
func eachWay(t *testing.T, store string, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("directly", func(t *testing.T) { test(t, environment[store]) })
	t.Run("through the proxy", func(t *testing.T) { test(t, environment["FAULT_"+store]) })
}

// key has what a name may have and a proxy may spoil.
const key = "folder/with space/a+b%2Fc=d&é~'(1)!*.txt"

// content does not compress, and is larger than any part that clients upload at once here.
func content() []byte {
	return bytes.Repeat([]byte("0123456789abcdef"), 600_000)
}
