package component

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/process"
)

// ErrRunning is returned when a component that should be started already runs.
var ErrRunning = errors.New("already running")

// Start starts a component and records its process. It returns ErrRunning if it runs already.
func Start(place Place, spec Spec) (process.Record, error) {
	if record, err := Load(place, spec.Name); err != nil {
		return record, err
	} else if record.Alive() {
		return record, fmt.Errorf("%s is %w as process %d", spec.Name, ErrRunning, record.PID)
	}
	command := process.Command{
		Program: spec.Program,
		Args:    spec.Args,
		Env:     spec.Env,
		Network: spec.Network,
		Log:     place.Log(spec.Name),
	}
	for _, port := range spec.Listen {
		socket, err := listen(port)
		if err != nil {
			return process.Record{}, fmt.Errorf("start %s: %w", spec.Name, err)
		}
		defer socket.Close()
		command.Files = append(command.Files, socket)
	}
	record, err := process.Start(command)
	if err != nil {
		return record, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	content, err := json.Marshal(record)
	if err != nil {
		return record, fmt.Errorf("record %s: %w", spec.Name, err)
	}
	return record, cluster.WriteFile(RecordPath(place, spec.Name), content, 0o644)
}

// listen opens a listening socket on the host's loopback and returns its file.
func listen(port int) (*os.File, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	return listener.(*net.TCPListener).File()
}

// Load reads the record of a component's process; the zero record, which is not alive, if it was never started.
func Load(place Place, name string) (process.Record, error) {
	var record process.Record
	content, err := os.ReadFile(RecordPath(place, name))
	if errors.Is(err, fs.ErrNotExist) {
		return record, nil
	}
	if err != nil {
		return record, fmt.Errorf("read the record of %s: %w", name, err)
	}
	if err := json.Unmarshal(content, &record); err != nil {
		return record, fmt.Errorf("read the record of %s: %w", name, err)
	}
	return record, nil
}

// RecordPath is the file that the record of a component's process is in.
func RecordPath(place Place, name string) string { return place.Path("run", name+".json") }

// WaitHealthy waits until a component works. It returns an error as soon as its process dies, and when ctx ends.
func WaitHealthy(ctx context.Context, place Place, spec Spec) error {
	record, err := Load(place, spec.Name)
	if err != nil {
		return err
	}
	probe, err := newProbe(spec)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if !record.Alive() {
			return Fault(place, spec.Name, nil)
		}
		failure := probe(ctx)
		if failure == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return Fault(place, spec.Name, fmt.Errorf("not healthy: %w", failure))
		case <-ticker.C:
		}
	}
}

// logLines is how much of a failed component's log is worth showing.
const logLines = 10

// FaultError says which component is at fault. Its log may be gone by the time the error is shown, so the end of it
// is in the error.
type FaultError struct {
	Component string
	// Cause is nil if the component's process ended.
	Cause error
	// Lines are the last of its log.
	Lines []string
}

// Fault makes an error that blames a component.
func Fault(place Place, name string, cause error) *FaultError {
	return &FaultError{Component: name, Cause: cause, Lines: lastLines(place.Log(name), logLines)}
}

// Error names the component and what is wrong with it.
func (e *FaultError) Error() string {
	if e.Cause == nil {
		return e.Component + " ended unexpectedly"
	}
	return e.Component + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *FaultError) Unwrap() error { return e.Cause }

func lastLines(path string, count int) []string {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return lines[max(0, len(lines)-count):]
}
