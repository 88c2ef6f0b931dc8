package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"coffer": main})
}

func TestScripts(t *testing.T) {
	server := filepath.Join(t.TempDir(), "coffer-server")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", server, "../coffer-server").CombinedOutput(); err != nil {
		t.Fatalf("build coffer-server: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir: "../../test/scripts",
		Setup: func(env *testscript.Env) error {
			env.Setenv("COFFER_CONFIG_DIR", filepath.Join(env.WorkDir, "config"))
			env.Values[serversKey{}] = &servers{binary: server, stops: map[string]func(){}}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"server": serverCommand, "field": fieldCommand, "capture": captureCommand, "owe": oweCommand, "meter": meterCommand, "slot": slotCommand,
		},
	})
}

// servers are those of one script, by their data folders.
type servers struct {
	binary string
	stops  map[string]func()
}

type serversKey struct{}

// serverCommand is `server start DIR`, which starts a server with this data folder on a free port, and `server stop DIR`.
func serverCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: server start|stop DIR")
	}
	all := ts.Value(serversKey{}).(*servers)
	if args[0] == "stop" {
		all.stops[args[1]]()
		return
	}
	var failed error
	// Between two programs a free port can be taken.
	for range 5 {
		stop, err := startServer(all.binary, ts.MkAbs(args[1]))
		if err == nil {
			all.stops[args[1]] = stop
			ts.Defer(stop)
			return
		}
		failed = errors.Join(failed, err)
	}
	ts.Fatalf("start a server: %v", failed)
}

// startServer starts a server, and waits until it says that it listens.
func startServer(binary, dir string) (stop func(), err error) {
	port, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := port.Addr().String()
	if err := port.Close(); err != nil {
		return nil, err
	}
	log, err := os.CreateTemp(filepath.Dir(dir), "server-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "--data-dir", dir, "--listen", address, "--status-listen", "", "--link-listen", "", "--log-level", "warn")
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	stop = func() {
		cancel()
		_ = cmd.Wait() // It was killed.
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, "listens on") {
		stop()
		said, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("it says %q, %w: %s", line, err, said)
	}
	return stop, nil
}

// fieldCommand is `field FILE NAME VARIABLE`: the text of a JSON file's field, as a variable, and in a file of that name.
func fieldCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: field FILE NAME VARIABLE")
	}
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &object))
	text, ok := object[args[1]].(string)
	if !ok {
		ts.Fatalf("%s has no text %s", args[0], args[1])
	}
	ts.Setenv(args[2], text)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(text+"\n"), 0o600))
}

// captureCommand is `capture VARIABLE`: what was printed last, as a variable.
func captureCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: capture VARIABLE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}
