package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/coffer-backup/coffer/lab/internal/component"
	"github.com/coffer-backup/coffer/lab/internal/image"
	"github.com/coffer-backup/coffer/lab/internal/tool"
)

// postgresAccount is the user of the machine that the server runs as, for it refuses to run as root. Debian's package
// makes it.
const postgresAccount = "postgres"

// asPostgres is a command line that runs another as that user, who may pass folders that are closed to others: the lab's
// folder may lie in one. In a namespace of its own, shared memory goes with the processes, however they end.
func asPostgres() []string {
	return []string{"unshare", "--ipc", "--", "setpriv", "--reuid=" + postgresAccount, "--regid=" + postgresAccount, "--clear-groups",
		"--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"}
}

// beforeServer is asPostgres for what runs before the server. In the services' network, `lab service down` finds whatever
// of it outlives a killed `lab service up`: initdb starts others, which write on when it is gone.
func beforeServer(s *Set) []string {
	return append([]string{"nsenter", "--net=" + s.networkPath(), "--"}, asPostgres()...)
}

func postgresData(s *Set) string { return s.Path(Postgres, "data") }

// preparePostgres makes the database, under another name first: a folder that has the final name is complete.
func preparePostgres(ctx context.Context, s *Set) error {
	if _, err := os.Stat(postgresData(s)); err == nil {
		// To the server, a process that was killed runs as long as nobody has waited for its end.
		if err := os.Remove(filepath.Join(postgresData(s), "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("prepare the database: %w", err)
		}
		return nil
	}
	programs, err := image.PostgresPrograms()
	if err != nil {
		return err
	}
	temporary := postgresData(s) + ".new"
	if err := os.RemoveAll(temporary); err != nil {
		return fmt.Errorf("prepare the database: %w", err)
	}
	if err := makeOwned(temporary); err != nil {
		return fmt.Errorf("prepare the database: %w", err)
	}
	initialise := append(beforeServer(s), filepath.Join(programs, "initdb"), "--pgdata="+temporary, "--username="+postgresUser,
		"--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
	if _, err := tool.Run(ctx, initialise[0], initialise[1:]...); err != nil {
		return fmt.Errorf("prepare the database: %w", err)
	}
	alone := append(beforeServer(s), filepath.Join(programs, "postgres"), "--single", "-D", temporary, "postgres")
	if _, err := tool.RunInput(ctx, "CREATE DATABASE "+postgresUser+"\n", alone[0], alone[1:]...); err != nil {
		return fmt.Errorf("prepare the database: %w", err)
	}
	access := "host all " + postgresUser + " 0.0.0.0/0 trust\n"
	if err := os.WriteFile(filepath.Join(temporary, "pg_hba.conf"), []byte(access), 0o600); err != nil {
		return fmt.Errorf("prepare the database: %w", err)
	}
	return os.Rename(temporary, postgresData(s))
}

// makeOwned makes a folder of the server's user.
func makeOwned(folder string) error {
	account, err := user.Lookup(postgresAccount)
	if err != nil {
		return errors.New("the machine has no user " + postgresAccount + ": install PostgreSQL with `apt-get install postgresql`")
	}
	uid, uidErr := strconv.Atoi(account.Uid)
	gid, gidErr := strconv.Atoi(account.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chown(folder, uid, gid)
}

func postgresServer(s *Set, addresses []string) (component.Spec, error) {
	host, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return component.Spec{}, err
	}
	programs, err := image.PostgresPrograms()
	if err != nil {
		return component.Spec{}, err
	}
	command := append(asPostgres(), filepath.Join(programs, "postgres"), "-D", postgresData(s),
		"-c", "listen_addresses="+host, "-c", "port="+port, "-c", "unix_socket_directories=",
		// Its default lies in /dev/shm, which outlives it.
		"-c", "dynamic_shared_memory_type=mmap",
		// A lab that is not there after a power cut has lost nothing.
		"-c", "fsync=off")
	return component.Spec{
		Program: command[0],
		Args:    command[1:],
		Health:  component.Health{Address: addresses[0]},
	}, nil
}
