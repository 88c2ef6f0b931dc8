package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/coffer-backup/coffer/lab/internal/tool"
)

// accounts are the users of an image that has a shell.
const accounts = "root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999:postgres:/var/lib/postgresql:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"

const groups = "root:x:0:\npostgres:x:999:\nnogroup:x:65534:\n"

// Toolbox is an image with a shell and the usual small programs. An empty tag means the lab's own.
func Toolbox(ctx context.Context, tag string) (Spec, error) {
	entries, err := busybox(ctx)
	if err != nil {
		return Spec{}, err
	}
	if tag == "" {
		tag = "localhost/coffer/toolbox:1"
	}
	resolver, err := resolver(ctx)
	if err != nil {
		return Spec{}, err
	}
	entries = append(entries, resolver...)
	return Spec{Tag: tag, Entries: append(entries, basics()...), Config: v1.Config{
		Cmd:        []string{"/bin/sh"},
		Env:        []string{"PATH=/bin"},
		WorkingDir: "/",
	}}, nil
}

// resolver is what a static program of glibc loads to look up a name: without it, busybox knows addresses only.
func resolver(ctx context.Context) ([]Entry, error) {
	files, err := filepath.Glob("/usr/lib/*-linux-gnu/lib[nr][se]s*.so.2")
	if err != nil {
		return nil, fmt.Errorf("look for the resolver: %w", err)
	}
	files = slices.DeleteFunc(files, func(file string) bool {
		return !slices.Contains([]string{"libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"}, path.Base(file))
	})
	if len(files) == 0 {
		return nil, errors.New("the C library's resolver is not in /usr/lib: pods could not look up names")
	}
	entries, err := closure(ctx, files)
	for _, file := range files {
		entries = append(entries, Entry{Path: file, Mode: 0o644, Source: file})
	}
	return append(entries, Entry{Path: "/etc/nsswitch.conf", Mode: 0o644, Content: []byte("hosts: files dns\n")}), err
}

// basics are what programs expect of any system.
func basics() []Entry {
	return []Entry{
		{Path: "/etc/passwd", Mode: 0o644, Content: []byte(accounts)},
		{Path: "/etc/group", Mode: 0o644, Content: []byte(groups)},
		{Path: "/root", Mode: fs.ModeDir | 0o700},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
	}
}

// busybox is /bin with a static busybox and a link for each program in it.
func busybox(ctx context.Context) ([]Entry, error) {
	program, err := tool.Path("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: install it with `apt-get install busybox-static`", err)
	}
	if err := checkStatic(program); err != nil {
		return nil, fmt.Errorf("%w: install the static one with `apt-get install busybox-static`", err)
	}
	listed, err := tool.Run(ctx, program, "--list")
	if err != nil {
		return nil, fmt.Errorf("list the programs of busybox: %w", err)
	}
	entries := []Entry{{Path: "/bin/busybox", Mode: 0o755, Source: program}}
	for _, name := range strings.Fields(listed) {
		if name != "busybox" {
			entries = append(entries, Entry{Path: "/bin/" + name, Mode: fs.ModeSymlink | 0o777, Link: "busybox"})
		}
	}
	return entries, nil
}
