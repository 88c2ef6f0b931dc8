package teardown

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// sysctlRecord is for the machine, and like the settings it holds it does not outlive a boot.
const sysctlRecord = "/run/coffer-lab-sysctl.json"

// sysctls are the settings of the whole machine that a kubelet changes when it starts.
var sysctls = []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"}

// RecordSysctls remembers the machine's settings for the end of its last cluster, unless an earlier one did.
func RecordSysctls() error {
	if _, err := os.Stat(sysctlRecord); err == nil {
		return nil
	}
	values := map[string]string{}
	for _, name := range sysctls {
		if content, err := os.ReadFile(filepath.Join("/proc/sys", name)); err == nil {
			values[name] = string(content)
		}
	}
	content, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("encode kernel settings: %w", err)
	}
	return writeOnce(sysctlRecord, content)
}

// writeOnce writes a file unless it is there: of two clusters that come up at once the first one's counts, for the second may have read
// what the first one's kubelet has changed already.
func writeOnce(path string, content []byte) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temporary.Name())) }()
	if _, err := temporary.Write(content); err != nil {
		return errors.Join(err, temporary.Close())
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	if err := os.Link(temporary.Name(), path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func restoreSysctls() error {
	content, err := os.ReadFile(sysctlRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the recorded kernel settings: %w", err)
	}
	var values map[string]string
	if err := json.Unmarshal(content, &values); err != nil {
		return fmt.Errorf("read the recorded kernel settings: %w", err)
	}
	for name, value := range values {
		path := filepath.Join("/proc/sys", name)
		if now, err := os.ReadFile(path); err == nil && string(now) == value {
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("restore kernel setting %s: %w", name, err)
		}
	}
	return os.Remove(sysctlRecord)
}
