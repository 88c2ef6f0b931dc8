package image

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
)

const architecture = runtime.GOARCH

// Binary is an image of one static program.
type Binary struct {
	// File is the program on this machine.
	File string
	// Tag is the image's full name.
	Tag string
	// User is the numeric user and, after a colon, group that the program runs as. Empty means root.
	User string
	// Extra are further files and folders, each SOURCE:DESTINATION.
	Extra []string
	// Env are environment entries.
	Env []string
}

// Spec describes the image: the program at the top, a /tmp, and whatever else was asked for.
func (b Binary) Spec() (Spec, error) {
	if err := checkStatic(b.File); err != nil {
		return Spec{}, err
	}
	target := "/" + filepath.Base(b.File)
	entries := []Entry{
		{Path: target, Mode: 0o755, Source: b.File},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
	}
	for _, extra := range b.Extra {
		source, destination, ok := strings.Cut(extra, ":")
		if !ok || !path.IsAbs(destination) {
			return Spec{}, fmt.Errorf("%q is not SOURCE:/DESTINATION", extra)
		}
		added, err := tree(source, path.Clean(destination))
		if err != nil {
			return Spec{}, err
		}
		entries = append(entries, added...)
	}
	return Spec{Tag: b.Tag, Entries: entries, Config: v1.Config{
		Entrypoint: []string{target},
		User:       b.User,
		Env:        append([]string{"PATH=/"}, b.Env...),
		WorkingDir: "/",
	}}, nil
}

// Pause is the image of a pod's sandbox, made of the lab's own program.
func Pause(binDir string) (Spec, error) {
	return Binary{File: filepath.Join(binDir, "lab-pause"), Tag: cluster.PauseImage, User: "65535:65535"}.Spec()
}

func checkStatic(file string) error {
	program, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("%s is not a Linux program: %w", file, err)
	}
	defer program.Close()
	for _, header := range program.Progs {
		if header.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is %w", file, ErrNotStatic)
		}
	}
	return nil
}

// tree lists a file, or a folder with all in it, as entries at destination. They belong to root and keep their modes.
func tree(source, destination string) ([]Entry, error) {
	var entries []Entry
	err := filepath.WalkDir(source, func(file string, item fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(source, file)
		if err != nil {
			return err
		}
		info, err := item.Info()
		if err != nil {
			return err
		}
		entry := Entry{Path: path.Join(destination, filepath.ToSlash(relative)), Mode: info.Mode() & (fs.ModePerm | fs.ModeDir | fs.ModeSymlink)}
		switch {
		case entry.Mode&fs.ModeSymlink != 0:
			if entry.Link, err = os.Readlink(file); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			entry.Source = file
		case !info.IsDir():
			return nil // sockets and the like cannot be put into an image
		}
		if entry.Path != "/" {
			entries = append(entries, entry)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read files for the image: %w", err)
	}
	return entries, nil
}
