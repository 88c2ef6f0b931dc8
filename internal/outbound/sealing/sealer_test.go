package sealing

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/driver"
	"gocloud.dev/secrets/localsecrets"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func mustOpen(t *testing.T, c Config) *Sealer {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustSeal(t *testing.T, s *Sealer, purpose, plain string) []byte {
	t.Helper()
	sealed, err := s.Seal(t.Context(), purpose, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	if len(plain) > 3 && bytes.Contains(sealed, []byte(plain)) {
		t.Fatalf("%q lies in what is sealed", plain)
	}
	return sealed
}

func keyLine(n byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{n}, 32)) + "\n"
}

func newKeyFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(text), ownerOnly); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatIsSealedIsOpenedForItsPurposeOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	s, again := mustOpen(t, Config{KeyFile: path, Create: true}), mustOpen(t, Config{KeyFile: path})
	for _, purpose := range []string{"a", "ab", "", "client secret /subscriptions/s", "\x00\x00\x00\x01a"} {
		for _, plain := range []string{"", "a", "b", "very secret", strings.Repeat("x", 1<<20)} {
			sealed := mustSeal(t, s, purpose, plain)
			for _, opener := range []*Sealer{s, again} {
				if got, err := opener.Open(t.Context(), purpose, sealed); err != nil || string(got) != plain {
					t.Fatalf("%q for %q is opened as %q (%v)", plain, purpose, got, err)
				}
				for _, other := range []string{"b", "abc", "A", purpose + "x", "client secret"} {
					if got, err := opener.Open(t.Context(), other, sealed); err == nil {
						t.Errorf("%q sealed for %q is opened for %q as %q", plain, purpose, other, got)
					}
				}
			}
		}
	}
	if bytes.Equal(mustSeal(t, s, "a", "same"), mustSeal(t, s, "a", "same")) {
		t.Error("the same is sealed alike twice")
	}
}

func TestWhatWasChangedIsRefused(t *testing.T) {
	path := newKeyFile(t, keyLine(1))
	sealed := mustSeal(t, mustOpen(t, Config{KeyFile: path}), "p", "very secret")
	// One that has to unwrap the data key.
	s := mustOpen(t, Config{KeyFile: path})
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if got, err := s.Open(t.Context(), "p", changed); err == nil {
			t.Errorf("with byte %d changed, it is opened as %q", i, got)
		}
		if got, err := s.Open(t.Context(), "p", sealed[:i]); err == nil {
			t.Errorf("cut at %d, it is opened as %q", i, got)
		}
	}
	if _, err := s.Open(t.Context(), "p", append(bytes.Clone(sealed), 0)); err == nil {
		t.Error("with a byte more, it is opened")
	}
}

func TestTheFirstKeySealsAndAllOpen(t *testing.T) {
	old := newKeyFile(t, keyLine(1))
	both := newKeyFile(t, "# a new one\n\n  "+keyLine(2)+"# an old one\r\n"+strings.TrimSpace(keyLine(1))+"\r\n")
	recent := newKeyFile(t, strings.TrimSpace(keyLine(2)))
	before := mustSeal(t, mustOpen(t, Config{KeyFile: old}), "p", "before")
	after := mustSeal(t, mustOpen(t, Config{KeyFile: both}), "p", "after")
	for _, c := range []struct {
		name, file    string
		before, after bool
	}{
		{"the old key", old, true, false}, {"both", both, true, true}, {"the new key", recent, false, true},
	} {
		s := mustOpen(t, Config{KeyFile: c.file})
		for what, sealed := range map[string][]byte{"before": before, "after": after} {
			got, err := s.Open(t.Context(), "p", sealed)
			want := what == "before" && c.before || what == "after" && c.after
			if (err == nil) != want || want && string(got) != what {
				t.Errorf("with %s, what was sealed %s is %q (%v)", c.name, what, got, err)
			}
			if err != nil && !strings.Contains(err.Error(), "none of the keys") {
				t.Errorf("the error is %v", err)
			}
		}
	}
}

func TestAKeyFileIsMadeOnceAndForItsOwnerOnly(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "keys")
	if _, err := Open(t.Context(), Config{KeyFile: path}); coffer.CodeOf(err) != coffer.CodeEncryptionKeysUnusable {
		t.Errorf("a key file that is not there: %v", err)
	}
	var all sync.WaitGroup
	sealed := make([][]byte, 8)
	for i := range sealed {
		all.Go(func() {
			s, err := Open(t.Context(), Config{KeyFile: path, Create: true})
			if err == nil {
				sealed[i], err = s.Seal(t.Context(), "p", []byte("x"))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s := mustOpen(t, Config{KeyFile: path, Create: true})
	for _, one := range sealed {
		if _, err := s.Open(t.Context(), "p", one); err != nil {
			t.Error(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != ownerOnly {
		t.Errorf("its mode is %v (%v)", info.Mode(), err)
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Errorf("the folder has %v (%v)", files, err)
	}
}

func TestAKeyFileThatIsNotSafeIsRefused(t *testing.T) {
	for mode, possible := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o440: true, 0o640: true, 0o644: false, 0o604: false, 0o660: false, 0o602: false, 0o601: false, 0o777: false,
	} {
		path := newKeyFile(t, keyLine(1))
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), Config{KeyFile: path, Create: true})
		if (err == nil) != possible {
			t.Errorf("mode %#o: %v", mode, err)
		}
		if err != nil && (coffer.CodeOf(err) != coffer.CodeEncryptionKeysUnusable || !strings.Contains(err.Error(), "chmod 600")) {
			t.Errorf("mode %#o: %v", mode, err)
		}
		if err == nil {
			_ = s.Close()
		}
	}
}

func TestAKeyFileWithoutKeysIsRefusedAndNeverReplaced(t *testing.T) {
	const secret = "c2VjcmV0"
	for name, text := range map[string]string{
		"nothing": "", "comments": "# a\n\n#b\n", "a short key": secret, "a long key": strings.Repeat(secret, 20), "no base64": "ä" + keyLine(1),
		"two keys on a line": strings.TrimSpace(keyLine(1)) + " " + keyLine(2), "a good key and a bad one": keyLine(1) + secret,
		"too many": strings.Repeat(keyLine(1), maxKeys+1), "too much": strings.Repeat("#\n", maxKeyFile), "binary": "\x00\xff",
	} {
		t.Run(name, func(t *testing.T) {
			path := newKeyFile(t, text)
			_, err := Open(t.Context(), Config{KeyFile: path, Create: true})
			if coffer.CodeOf(err) != coffer.CodeEncryptionKeysUnusable || strings.Contains(err.Error(), secret) {
				t.Errorf("it is %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != text {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
	if _, err := Open(t.Context(), Config{KeyFile: t.TempDir(), Create: true}); coffer.CodeOf(err) != coffer.CodeEncryptionKeysUnusable {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Open(t.Context(), Config{}); coffer.CodeOf(err) != coffer.CodeInvalid {
		t.Errorf("no key at all: %v", err)
	}
}

// service is a KMS that encrypts as little as the smallest does.
type service struct {
	driver.Keeper
	key   *secrets.Keeper
	calls int
	err   error
	code  gcerrors.ErrorCode
}

func newService(n byte) *service { return &service{key: localsecrets.NewKeeper([32]byte{n})} }

func (s *service) Encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	if s.calls++; s.err != nil {
		return nil, s.err
	}
	if len(plain) > 190 {
		return nil, errors.New("too long")
	}
	return s.key.Encrypt(ctx, plain)
}

func (s *service) Decrypt(ctx context.Context, sealed []byte) ([]byte, error) {
	if s.calls++; s.err != nil {
		return nil, s.err
	}
	plain, err := s.key.Decrypt(ctx, sealed)
	if err != nil {
		s.code = gcerrors.InvalidArgument
	}
	return plain, err
}

func (s *service) Close() error                       { return nil }
func (s *service) ErrorAs(error, any) bool            { return false }
func (s *service) ErrorCode(error) gcerrors.ErrorCode { return s.code }
func (s *service) wrapper() wrapper                   { return wrapper{keeper: secrets.NewKeeper(s), service: "test"} }
func fileKey(n byte) wrapper                          { return wrapper{keeper: localsecrets.NewKeeper([32]byte{n})} }
func mustNew(t *testing.T, keys ...wrapper) *Sealer {
	t.Helper()
	s, err := newSealer(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAServiceIsAskedOnceForEachDataKey(t *testing.T) {
	kms := newService(1)
	sealer, opener := mustNew(t, kms.wrapper()), mustNew(t, kms.wrapper())
	for range 10 {
		sealed := mustSeal(t, sealer, "p", strings.Repeat("long", 1000))
		if _, err := opener.Open(t.Context(), "p", sealed); err != nil {
			t.Fatal(err)
		}
	}
	if kms.calls != 3 {
		t.Errorf("the service was asked %d times, want 3: for each sealer's data key, and to unwrap one", kms.calls)
	}
	for range 2 * maxUnwrapped {
		sealed := mustSeal(t, mustNew(t, fileKey(1)), "p", "x")
		if _, err := opener.Open(t.Context(), "p", sealed); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(opener.unwrapped); n > maxUnwrapped {
		t.Errorf("%d data keys are remembered", n)
	}
}

func TestKeysMoveFromAFileToAServiceAndBack(t *testing.T) {
	kms := newService(1)
	file := mustSeal(t, mustNew(t, fileKey(2)), "p", "by the file")
	service := mustSeal(t, mustNew(t, kms.wrapper(), fileKey(2)), "p", "by the service")
	for name, s := range map[string]*Sealer{"the service first": mustNew(t, kms.wrapper(), fileKey(2)), "the file first": mustNew(t, fileKey(2), kms.wrapper())} {
		for want, sealed := range map[string][]byte{"by the file": file, "by the service": service} {
			if got, err := s.Open(t.Context(), "p", sealed); err != nil || string(got) != want {
				t.Errorf("%s: %q (%v), want %q", name, got, err, want)
			}
		}
	}
	if _, err := mustNew(t, fileKey(2)).Open(t.Context(), "p", service); err == nil {
		t.Error("the file opens what the service sealed")
	}
}

func TestAServiceThatDoesNotAnswerIsWorthAnotherTry(t *testing.T) {
	kms := newService(1)
	sealed := mustSeal(t, mustNew(t, kms.wrapper()), "p", "x")
	s := mustNew(t, kms.wrapper(), fileKey(2))
	kms.err, kms.code = errors.New("no route"), gcerrors.Unknown
	_, err := s.Open(t.Context(), "p", sealed)
	if coffer.CodeOf(err) != coffer.CodeDatabaseUnavailable || coffer.Final(err) {
		t.Errorf("it is %v", err)
	}
	if _, err := newSealer(t.Context(), []wrapper{kms.wrapper()}); coffer.CodeOf(err) != coffer.CodeDatabaseUnavailable || coffer.Final(err) {
		t.Errorf("at the start, it is %v", err)
	}
	// What the file has sealed is opened all the same.
	if _, err := s.Open(t.Context(), "p", mustSeal(t, mustNew(t, fileKey(2)), "p", "x")); err != nil {
		t.Error(err)
	}
	kms.err = nil
	if _, err := s.Open(t.Context(), "p", sealed); err != nil {
		t.Errorf("when it answers again: %v", err)
	}
	other := mustSeal(t, mustNew(t, newService(9).wrapper()), "p", "x")
	if _, err := s.Open(t.Context(), "p", other); err == nil || coffer.CodeOf(err) != "" {
		t.Errorf("what another service's key has sealed: %v", err)
	}
}

func TestURLsOfServicesAreOpenedWithoutAskingThem(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none"))
	for address, want := range map[string]string{
		"awskms://alias/coffer?region=eu-central-1":                "",
		"azurekeyvault://coffer.vault.azure.net/keys/secrets":      "",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k":  "credentials",
		"base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=": "begins with",
		"smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=":             "begins with",
		"":                  "begins with",
		"://smGbjm71Nxd1Ig": "is not a URL",
	} {
		keys, err := openServices(t.Context(), []string{address})
		if want == "" && (err != nil || len(keys) != 1 || keys[0].service == "") {
			t.Errorf("%s: %v", address, err)
		}
		if want != "" && (coffer.CodeOf(err) != coffer.CodeEncryptionKeysUnusable || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "smGb")) {
			t.Errorf("%s: %v", address, err)
		}
		if err := closeAll(keys); err != nil {
			t.Error(err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	// Each process of a fuzzer has a key of its own, and opens nothing of the others'.
	key, err := localsecrets.NewRandomKey()
	if err != nil {
		f.Fatal(err)
	}
	s, err := newSealer(f.Context(), []wrapper{{keeper: localsecrets.NewKeeper(key)}})
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := s.Seal(f.Context(), "p", []byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{1, 255, 255})
	f.Fuzz(func(t *testing.T, text []byte) {
		if plain, err := s.Open(t.Context(), "p", text); err == nil && !bytes.Equal(text, sealed) {
			t.Errorf("%x is opened as %q", text, plain)
		}
	})
}
