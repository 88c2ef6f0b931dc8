package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mustPrint runs a subcommand, and answers what it prints.
func mustPrint(t *testing.T, args ...string) string {
	t.Helper()
	text, err := printed(t, args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return text
}

func printed(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// mustPrepare writes a new credential into a file.
func mustPrepare(t *testing.T, file string) (c credentialFile) {
	t.Helper()
	text := mustPrint(t, "new-credential")
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	// As Kubernetes mounts a Secret for a group.
	if err := os.WriteFile(file, []byte(text), 0o440); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAPreparedCredentialIsTheAdministrators(t *testing.T) {
	folder := t.TempDir()
	file, data := filepath.Join(folder, "credential.json"), filepath.Join(folder, "data")
	prepared := mustPrepare(t, file)
	p := launch(t, data, "--admin-credential", file)
	p.login()
	c, err := p.credential()
	if err != nil || c.ClientID != prepared.ClientID || c.ClientSecret != prepared.ClientSecret || c.TenantID == "" || c.URL != "https://"+p.listen {
		t.Errorf("%s as %s, %v", c.ClientID, c.URL, err)
	}
	p.kill()

	// It is put away, from the data folder too: the server starts, and they may still come in.
	for _, name := range []string{file, filepath.Join(data, administratorFile)} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	p = launch(t, data, "--admin-credential", file)
	eventually(t, "the administrator is let in without a file", func() bool { return p.loginWith(c) == nil })
	if _, err := p.credential(); !os.IsNotExist(err) {
		t.Errorf("the credential is back: %v", err)
	}
	p.kill()

	// Another file makes nobody an administrator, and says so.
	other := mustPrepare(t, filepath.Join(folder, "other.json"))
	p = launch(t, data, "--admin-credential", filepath.Join(folder, "other.json"))
	eventually(t, "the server starts with another file", func() bool { return p.loginWith(c) == nil })
	c.ClientID, c.ClientSecret = other.ClientID, other.ClientSecret
	if err := p.loginWith(c); err == nil {
		t.Error("another credential was let in")
	}
	if _, err := p.credential(); !os.IsNotExist(err) {
		t.Errorf("the wrong credential is offered: %v", err)
	}
	p.kill()
	if log := p.errors.String(); !strings.Contains(log, "not, or no longer") || strings.Contains(log, other.ClientSecret) {
		t.Errorf("the log says: %s", log)
	}
}

func TestAnAdministratorsFileThatLetsNobodyInIsSaidToBe(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p, c := launched(t, data)
	p.kill()
	name := filepath.Join(data, administratorFile)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	p = launch(t, data)
	eventually(t, "the server starts without the file", func() bool { return p.loginWith(c) == nil })
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("there is a file again: %v", err)
	}
	p.kill()
	other := mustPrepare(t, name)
	p = launch(t, data)
	eventually(t, "the server starts with another file", func() bool { return p.loginWith(c) == nil })
	p.kill()
	if log := p.errors.String(); !strings.Contains(log, "not, or no longer") || !strings.Contains(log, c.ClientID) || strings.Contains(log, other.ClientSecret) {
		t.Errorf("the log says: %s", log)
	}
}

func TestNoAdministratorIsMadeOfAnythingButThePreparedCredential(t *testing.T) {
	folder := t.TempDir()
	good, err := json.Marshal(mustPrepare(t, filepath.Join(folder, "good"))) //nolint:gosec // A secret of this test.
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(folder, "data")
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		says string
	}{
		"no file":                {"", 0, "`coffer-server new-credential`"},
		"a file that others see": {string(good), 0o644, "used by others than its owner"},
		"one that a group edits": {string(good), 0o660, "used by others than its owner"},
		"no JSON":                {"cofs_verysecret", 0o600, "not the JSON"},
		"half of one":            {string(good[:len(good)-3]), 0o600, "not the JSON"},
		"no secret":              {`{"clientId":"x"}`, 0o600, "no clientSecret"},
		"a person's secret":      {`{"clientId":"11111111-1111-4111-8111-111111111111","clientSecret":"verysecret"}`, 0o600, "has not the form"},
		"a name as the id":       {strings.Replace(string(good), `"clientId":"`, `"clientId":"x`, 1), 0o600, "service principal"},
		"a long file":            {strings.Repeat(" ", maxSmallFile+1), 0o600, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "credential.json")
			if c.mode != 0 {
				if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(file, c.mode); err != nil {
					t.Fatal(err)
				}
			}
			_, err := printed(t, "--data-dir", data, "--listen", "127.0.0.1:0", "--status-listen", "", "--link-listen", "", "--admin-credential", file)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "verysecret") {
				t.Errorf("%v, want %q and the file", err, c.says)
			}
			if _, err := os.Stat(filepath.Join(data, administratorFile)); !os.IsNotExist(err) {
				t.Errorf("there is a credential: %v", err)
			}
		})
	}
	// Nothing of that stands in the way of the right one.
	p := launch(t, data, "--admin-credential", filepath.Join(folder, "good"))
	p.login()
}

func TestAPreparedFirstStartIsFinishedByTheNext(t *testing.T) {
	for pause := time.Millisecond; pause < 400*time.Millisecond; pause *= 2 {
		folder := t.TempDir()
		file, data := filepath.Join(folder, "credential.json"), filepath.Join(folder, "data")
		prepared := mustPrepare(t, file)
		p := launch(t, data, "--admin-credential", file)
		timer := time.NewTimer(pause)
		<-timer.C
		p.kill()
		again := launch(t, data, "--admin-credential", file)
		again.login()
		if c, err := again.credential(); err != nil || c.ClientID != prepared.ClientID {
			t.Errorf("killed after %s: the administrator is %s, %v", pause, c.ClientID, err)
		}
		again.kill()
	}
}

func TestTheCredentialIsPrintedForAnotherMachine(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if _, err := printed(t, "admin-credential", "--data-dir", data); err == nil || !strings.Contains(err.Error(), "another replica") {
		t.Errorf("before the first start: %v", err)
	}
	if _, err := printed(t, "admin-credential"); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("without a folder: %v", err)
	}
	_, kept := launched(t, data)
	authority, err := os.ReadFile(filepath.Join(data, authorityFile))
	if err != nil {
		t.Fatal(err)
	}
	var c credentialFile
	if err := json.Unmarshal([]byte(mustPrint(t, "admin-credential", "--data-dir", data)), &c); err != nil {
		t.Fatal(err)
	}
	kept.CAFile, kept.CA = "", string(authority)
	if c != kept {
		t.Errorf("it says %s at %s, of the authority %q", c.ClientID, c.URL, c.CA)
	}
	if err := os.WriteFile(filepath.Join(data, administratorFile), []byte(`{"clientSecret":"verysecret"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := printed(t, "admin-credential", "--data-dir", data); err == nil || strings.Contains(err.Error(), "verysecret") {
		t.Errorf("a broken file: %v", err)
	}
}

func TestNewCredentialsAreDifferent(t *testing.T) {
	folder := t.TempDir()
	a, b := mustPrepare(t, filepath.Join(folder, "a")), mustPrepare(t, filepath.Join(folder, "b"))
	if a.ClientID == b.ClientID || a.ClientSecret == b.ClientSecret || a.URL != "" {
		t.Errorf("%s and %s", a.ClientID, b.ClientID)
	}
}

// A volume that Kubernetes mounts for a group has its files' permissions widened.
func TestAKeyThatTheClusterGaveToItsGroupIsTakenBack(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	key := filepath.Join(data, "encryption.key")
	p := launch(t, data)
	p.login()
	p.kill()
	if err := os.Chmod(key, 0o660); err != nil {
		t.Fatal(err)
	}
	p = launch(t, data)
	p.login()
	c, err := p.credential()
	if err != nil {
		t.Fatal(err)
	}
	if status, text := p.do(http.MethodGet, "/subscriptions/"+c.SubscriptionID, ""); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	p.kill()
	if err := os.Chmod(key, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := printed(t, "--data-dir", data, "--listen", "127.0.0.1:0", "--status-listen", "", "--link-listen", ""); err == nil || !strings.Contains(err.Error(), "can be used by others") {
		t.Errorf("a key that everybody could read: %v", err)
	}
}
