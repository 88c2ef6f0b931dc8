package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Store is a folder of profiles: profiles/NAME.json for each, and a file that names the current one. Writing replaces a file as a
// whole, so that several programs may use a folder at the same time.
type Store struct {
	// Dir is made when something is written. An empty one is an error of every method.
	Dir string
}

func (s Store) check() error {
	if s.Dir == "" {
		return errors.New("there is no folder for profiles: set COFFER_CONFIG_DIR, or HOME")
	}
	return nil
}

// checkNamed is check, and CheckName.
func (s Store) checkNamed(name string) error {
	if err := s.check(); err != nil {
		return err
	}
	return CheckName(name)
}

const (
	suffix      = ".json"
	currentFile = "current"
	// maxFile bounds what is read.
	maxFile = 1 << 20
)

func (s Store) file(name string) string { return filepath.Join(s.Dir, "profiles", name+suffix) }

// Load reads a profile. One that others can read, or change, is refused. The error wraps ErrNone if there is none.
func (s Store) Load(name string) (Profile, error) {
	p := Profile{Name: name}
	if err := s.checkNamed(name); err != nil {
		return p, err
	}
	text, err := readPrivate(s.file(name))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return p, fmt.Errorf("there is no profile %s (%w)", name, ErrNone)
	case err != nil:
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("the profile %s cannot be read: %s: %w; delete it with `coffer profile delete %s`", name, s.file(name), err, name)
	}
	return p, nil
}

// readPrivate reads a file that nobody else may touch.
func readPrivate(name string) ([]byte, error) {
	f, err := os.Open(name) //nolint:gosec // The name was checked.
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// Windows keeps files of a person's folder from others by other means.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s is open to others (mode %04o), and holds credentials; close it with `chmod 600 %s`, and make a new secret if somebody may have read it", name, mode, name)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than a profile can be", name)
	}
	return text, err
}

// Save writes a profile.
func (s Store) Save(p Profile) error {
	if err := s.checkNamed(p.Name); err != nil {
		return err
	}
	text, err := json.MarshalIndent(p, "", "  ") //nolint:gosec // It is a file of secrets, for its owner only.
	if err != nil {
		return err
	}
	return WritePrivate(s.file(p.Name), append(text, '\n'))
}

// WritePrivate writes a file that only its owner can read, as a whole: after a crash it is the old one or the new one. Its folder is
// made if it is missing.
func WritePrivate(name string, text []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	// CreateTemp makes it with owner-only permissions.
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}

// Delete deletes a profile. If it was the current one, there is none.
func (s Store) Delete(name string) error {
	if err := s.checkNamed(name); err != nil {
		return err
	}
	err := os.Remove(s.file(name))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no profile %s (%w)", name, ErrNone)
	}
	if current, _ := s.Current(); err == nil && current == name {
		err = os.Remove(filepath.Join(s.Dir, currentFile))
	}
	return err
}

// Names are those of all profiles, in order.
func (s Store) Names() ([]string, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(s.Dir, "profiles"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if name, is := strings.CutSuffix(e.Name(), suffix); is && CheckName(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// Current is the name of the profile that is used if none is named; empty is none.
func (s Store) Current() (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(s.Dir, currentFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(text)), err
}

// Use makes a profile the current one.
func (s Store) Use(name string) error {
	if _, err := s.Load(name); err != nil {
		return err
	}
	return WritePrivate(filepath.Join(s.Dir, currentFile), []byte(name+"\n"))
}
