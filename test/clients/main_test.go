package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is the program that all tests drive, each in resource groups of its own.
var server running

// running is a coffer-server, and the credential of its administrator.
type running struct {
	URL            string `json:"url"`
	CAFile         string `json:"caFile"`
	TenantID       string `json:"tenantId"`
	SubscriptionID string `json:"subscriptionId"`
	ClientID       string `json:"clientId"`
	ClientSecret   string `json:"clientSecret"`

	program *exec.Cmd
}

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// runTests runs them against a server of their own, which it ends.
func runTests(m *testing.M) (code int, err error) {
	// What HashiCorp's SDK says of each request.
	log.SetOutput(io.Discard)
	folder, err := os.MkdirTemp("", "coffer-clients-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if joined := os.Getenv("COFFER_JOINED_CREDENTIALS"); joined != "" {
		// Of a server that runs elsewhere, which clusters have joined.
		err = server.read(joined)
	} else {
		err = server.launch(folder)
	}
	if err != nil {
		return 0, err
	}
	// As people tell it to Terraform and to the SDKs; it is read at the first use.
	if err := os.Setenv("SSL_CERT_FILE", server.CAFile); err != nil {
		return 0, errors.Join(err, server.stop())
	}
	return m.Run(), server.stop()
}

// findProgram is the coffer-server that hack/test has built, or one that is built now.
func findProgram(ctx context.Context, folder string) (string, error) {
	if built := os.Getenv("COFFER_LAB_BIN"); built != "" {
		return filepath.Join(built, "coffer-server"), nil
	}
	program := filepath.Join(folder, "coffer-server")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/coffer-server")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build coffer-server: %w: %s", err, out)
	}
	return program, nil
}

// launch builds the server, if nobody has, and starts it.
func (r *running) launch(folder string) error {
	program, err := findProgram(context.Background(), folder)
	if err != nil {
		return err
	}
	return r.start(program, filepath.Join(folder, "data"))
}

// read reads where a server is, and its administrator's credential.
func (r *running) read(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, r)
}

// start starts a server with a new data folder, and waits until it says that it listens.
func (r *running) start(program, data string) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	cmd := exec.Command(program, "--data-dir", data, "--listen", ports[0], "--status-listen", ports[1], "--link-listen", "", "--log-level", "error")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.program = cmd
	if err := waitUntilItListens(out); err != nil {
		return errors.Join(err, r.stop())
	}
	if err := r.read(filepath.Join(data, "admin.json")); err != nil {
		return errors.Join(err, r.stop())
	}
	return nil
}

// waitUntilItListens reads what the server prints for people: its last line says what to do next.
func waitUntilItListens(out io.Reader) error {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "next: ") {
			return nil
		}
	}
	return errors.Join(errors.New("coffer-server ended before it listened"), lines.Err())
}

// stop ends the server as an operator does, if it was started here. One that does not end by itself is a failure.
func (r *running) stop() error {
	if r.program == nil {
		return nil
	}
	if err := r.program.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	killer := time.AfterFunc(time.Minute, func() { _ = r.program.Process.Kill() })
	defer killer.Stop()
	return r.program.Wait()
}

// freePorts are addresses that nobody listens on now.
func freePorts(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
