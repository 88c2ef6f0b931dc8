package sealing

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/secrets/localsecrets"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	ownerOnly  = 0o600
	maxKeyFile = 64 << 10
	// maxKeys bounds how often something that none of them opens is tried.
	maxKeys = 100
)

const keyFileHead = `# Keys with which coffer-server encrypts secrets. The first one seals, and all of them open.
# Keep a copy in a safe place: without them, what they have sealed is lost.
# To change the key, put a new line above the others: head -c 32 /dev/urandom | base64
`

// readKeys reads a key file, in its order.
func readKeys(path string, create bool) ([][32]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the path is the administrator's
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := createKeys(path); err != nil {
			return nil, unusable(path, "cannot be made: %w", err).WithHint("look at the permissions of its folder, and whether its disk is full")
		}
		file, err = os.Open(path) //nolint:gosec // the same
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unusable(path, "is not there").WithHint("put it back from a copy: what it has sealed cannot be read without it")
	}
	if err != nil {
		return nil, unusable(path, "cannot be read: %w", err).WithHint("give it to the user that coffer-server runs as")
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, unusable(path, "cannot be read: %w", err)
	case !info.Mode().IsRegular():
		return nil, unusable(path, "is not a file")
	// Its group may read it: so it is with a Secret that Kubernetes mounts for a user who is not root.
	case info.Mode().Perm()&0o027 != 0:
		return nil, unusable(path, "can be used by others than its owner: its mode is %#o", info.Mode().Perm()).WithHint("run `chmod 600 %s`, and change the key if others may have read it", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return nil, unusable(path, "cannot be read: %w", err)
	}
	return parseKeys(path, text)
}

func parseKeys(path string, text []byte) ([][32]byte, error) {
	if len(text) > maxKeyFile {
		return nil, unusable(path, "has more than %d bytes", maxKeyFile)
	}
	var keys [][32]byte
	number := 0
	for line := range bytes.Lines(text) {
		number++
		word := strings.TrimSpace(string(line))
		if word == "" || strings.HasPrefix(word, "#") {
			continue
		}
		key, err := localsecrets.Base64KeyStd(word)
		if err != nil {
			// What is wrong with it could tell what it is.
			return nil, unusable(path, "has no key on line %d", number).WithHint("a key is 32 random bytes in base64: head -c 32 /dev/urandom | base64")
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, unusable(path, "has %d keys: 1 to %d are possible", len(keys), maxKeys).
			WithHint("put it back from a copy; or delete it to have a new key made: what the old one has sealed is then lost")
	}
	return keys, nil
}

// createKeys makes a key file, whole and durable, unless another process was first.
func createKeys(path string) (err error) {
	key, err := localsecrets.NewRandomKey()
	if err != nil {
		return err
	}
	// Its mode is 0600.
	file, err := os.CreateTemp(filepath.Dir(path), ".key-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	_, err = file.WriteString(keyFileHead + base64.StdEncoding.EncodeToString(key[:]) + "\n")
	if err := errors.Join(err, file.Chmod(ownerOnly), file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func unusable(path, format string, args ...any) *coffer.Error {
	return coffer.Errorf(coffer.CodeEncryptionKeysUnusable, "the key file %s "+format, append([]any{path}, args...)...)
}
