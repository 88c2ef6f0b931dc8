package image

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/coffer-backup/coffer/lab/internal/tool"
)

//go:embed postgres-entrypoint.sh
var postgresEntrypoint []byte

// postgresUser is the user and group of the server, as in other PostgreSQL images.
const postgresUser = 999

// postgresPrograms are those that the image has.
var postgresPrograms = []string{"initdb", "pg_basebackup", "pg_ctl", "pg_dump", "pg_isready", "pg_restore", "pgbench", "postgres", "psql"}

// skippedLibraries would bring in a compiler.
const skippedLibraries = "llvmjit"

// Postgres is an image of this machine's own PostgreSQL, of the newest version that is installed. It is installed
// where there is none. An empty tag means localhost/coffer/postgres with the major version.
func Postgres(ctx context.Context, tag string) (Spec, error) {
	version, err := postgresVersion(ctx)
	if err != nil {
		return Spec{}, err
	}
	home := "/usr/lib/postgresql/" + version
	if tag == "" {
		tag = "localhost/coffer/postgres:" + version
	}
	entries, err := postgresFiles(ctx, version, home)
	if err != nil {
		return Spec{}, err
	}
	shell, err := busybox(ctx)
	if err != nil {
		return Spec{}, err
	}
	for _, entry := range append(shell, basics()...) {
		// As on the machine, /bin is /usr/bin: what comes from there needs one place.
		entry.Path = strings.Replace(entry.Path, "/bin/", "/usr/bin/", 1)
		entries = append(entries, entry)
	}
	for _, name := range postgresPrograms {
		entries = append(entries, Entry{Path: "/usr/bin/" + name, Mode: fs.ModeSymlink | 0o777, Link: path.Join(home, "bin", name)})
	}
	return Spec{Tag: tag, Entries: entries, Config: v1.Config{
		Entrypoint:   []string{"/entrypoint"},
		Cmd:          []string{"postgres"},
		User:         fmt.Sprintf("%d:%d", postgresUser, postgresUser),
		Env:          []string{"PATH=/usr/bin", "LANG=C.UTF-8", "PGDATA=/var/lib/postgresql/data/pgdata"},
		WorkingDir:   "/",
		StopSignal:   "SIGINT",
		ExposedPorts: map[string]struct{}{"5432/tcp": {}},
	}}, nil
}

// postgresFiles are the programs, everything they need to run, and the folders they write to.
func postgresFiles(ctx context.Context, version, home string) ([]Entry, error) {
	entries := []Entry{
		{Path: "/entrypoint", Mode: 0o755, Content: postgresEntrypoint},
		{Path: "/bin", Mode: fs.ModeSymlink | 0o777, Link: "usr/bin"},
		{Path: "/lib", Mode: fs.ModeSymlink | 0o777, Link: "usr/lib"},
		{Path: "/lib64", Mode: fs.ModeSymlink | 0o777, Link: "usr/lib64"},
	}
	for _, folder := range []string{"/var/lib/postgresql", "/var/lib/postgresql/data", "/var/run/postgresql"} {
		entries = append(entries, Entry{Path: folder, Mode: fs.ModeDir | 0o755, UID: postgresUser, GID: postgresUser})
	}
	var programs []string
	for _, name := range postgresPrograms {
		programs = append(programs, path.Join(home, "bin", name))
	}
	plugins, err := filepath.Glob(path.Join(home, "lib", "*.so"))
	if err != nil {
		return nil, fmt.Errorf("list PostgreSQL's libraries: %w", err)
	}
	plugins = slices.DeleteFunc(plugins, func(file string) bool { return strings.HasPrefix(path.Base(file), skippedLibraries) })
	programs = append(programs, plugins...)
	for _, file := range programs {
		entries = append(entries, Entry{Path: file, Mode: 0o755, Source: file})
	}
	libraries, err := closure(ctx, programs)
	if err != nil {
		return nil, err
	}
	entries = append(entries, libraries...)
	for _, folder := range []string{"/usr/share/postgresql/" + version, "/usr/lib/locale/C.utf8", "/usr/share/zoneinfo"} {
		files, err := data(folder)
		if err != nil {
			return nil, err
		}
		entries = append(entries, files...)
	}
	return entries, nil
}

// data lists a folder's files. Links are followed, since they may lead out of the folder.
func data(folder string) ([]Entry, error) {
	entries, err := tree(folder, folder)
	if err != nil {
		return nil, err
	}
	var kept []Entry
	for _, entry := range entries {
		if strings.Contains(entry.Path, "/man/") || strings.HasSuffix(entry.Path, "/man") {
			continue
		}
		if entry.Mode&fs.ModeSymlink != 0 {
			target, err := filepath.EvalSymlinks(entry.Path)
			info, statErr := os.Stat(entry.Path)
			if err != nil || statErr != nil || !info.Mode().IsRegular() {
				continue
			}
			entry = Entry{Path: entry.Path, Mode: info.Mode().Perm(), Source: target}
		}
		kept = append(kept, entry)
	}
	return kept, nil
}

// closure lists the shared libraries that files need, each under the name it is asked for by. A file whose libraries
// are not installed is an optional part, and left with what there is.
func closure(ctx context.Context, files []string) ([]Entry, error) {
	out, err := tool.Run(ctx, "ldd", files...)
	if err != nil {
		return nil, fmt.Errorf("find the libraries of PostgreSQL: %w", err)
	}
	paths := map[string]string{}
	for line := range strings.Lines(out) {
		for _, field := range strings.Fields(line) {
			if !strings.HasPrefix(field, "/lib") && !strings.HasPrefix(field, "/usr/lib") || strings.HasSuffix(field, ":") {
				continue
			}
			source, err := filepath.EvalSymlinks(field)
			if err != nil {
				return nil, fmt.Errorf("find the library %s: %w", field, err)
			}
			target := field
			if !strings.HasPrefix(field, "/usr/") {
				target = "/usr" + field
			}
			paths[target] = source
		}
	}
	var entries []Entry
	for target, source := range paths {
		if !slices.Contains(files, target) {
			entries = append(entries, Entry{Path: target, Mode: 0o755, Source: source})
		}
	}
	return entries, nil
}

// PostgresPrograms is the folder with this machine's PostgreSQL, of the newest version that is installed.
func PostgresPrograms() (string, error) {
	version, err := installedPostgres()
	if err == nil && version == "" {
		err = errors.New("PostgreSQL is missing: install it with `apt-get install postgresql`")
	}
	return path.Join("/usr/lib/postgresql", version, "bin"), err
}

// postgresVersion is the newest major version that is installed, after installing it if there is none.
func postgresVersion(ctx context.Context) (string, error) {
	version, err := installedPostgres()
	if err != nil || version != "" {
		return version, err
	}
	if os.Geteuid() != 0 {
		return "", errors.New("PostgreSQL is missing: install it with `apt-get install postgresql` as root")
	}
	if err := installPostgres(ctx); err != nil {
		return "", err
	}
	if version, err = installedPostgres(); err == nil && version == "" {
		err = errors.New("PostgreSQL is still missing after its installation")
	}
	return version, err
}

func installedPostgres() (string, error) {
	servers, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL: %w", err)
	}
	newest := 0
	for _, server := range servers {
		if version, err := strconv.Atoi(path.Base(path.Dir(path.Dir(server)))); err == nil {
			newest = max(newest, version)
		}
	}
	if newest == 0 {
		return "", nil
	}
	return strconv.Itoa(newest), nil
}

// installPostgres installs the Debian package, but no server: only its files are wanted.
func installPostgres(ctx context.Context) error {
	const folder, file = "/etc/postgresql-common", "/etc/postgresql-common/createcluster.conf"
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("prepare the installation of PostgreSQL: %w", err)
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(file, []byte("create_main_cluster = false\n"), 0o644); err != nil {
			return fmt.Errorf("prepare the installation of PostgreSQL: %w", err)
		}
	}
	if _, err := tool.Run(ctx, "apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", "postgresql"); err != nil {
		return fmt.Errorf("install PostgreSQL: %w", err)
	}
	return nil
}
