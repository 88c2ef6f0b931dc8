package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asServer makes the test's own program the server.
const asServer = "COFFER_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a server that runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	folder string
	listen string
	errors bytes.Buffer
	client *http.Client
	token  string
}

// launch starts a server, and does not wait for it.
func launch(t *testing.T, folder string, args ...string) *process {
	t.Helper()
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, folder: folder, listen: free.Addr().String()}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--data-dir", folder, "--listen", p.listen, "--status-listen", "", "--link-listen", "", "--url", "https://" + p.listen}, args...)
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), asServer+"=1")
	p.cmd.Stderr = &p.errors
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// credential is what the server has left for its administrator.
func (p *process) credential() (c credentialFile, err error) {
	text, err := os.ReadFile(filepath.Join(p.folder, administratorFile))
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

// login waits until the server answers, and gets a token.
func (p *process) login() {
	p.t.Helper()
	eventually(p.t, "the server lets its administrator in", func() bool { return p.tryLogin() == nil })
}

// launched is a server that lets its administrator in, and that administrator.
func launched(t *testing.T, folder string, args ...string) (*process, credentialFile) {
	t.Helper()
	p := launch(t, folder, args...)
	p.login()
	c, err := p.credential()
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

// eventually waits until check answers true.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !check() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

func (p *process) tryLogin() error {
	c, err := p.credential()
	if err != nil {
		return err
	}
	return p.loginWith(c)
}

func (p *process) loginWith(c credentialFile) error {
	authority, err := os.ReadFile(filepath.Join(p.folder, authorityFile))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	p.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}, Timeout: 10 * time.Second}
	answer, err := p.client.PostForm("https://"+p.listen+"/"+c.TenantID+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.ClientID}, "client_secret": {c.ClientSecret}, "scope": {"https://" + p.listen + "/.default"},
	})
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("%d %s", answer.StatusCode, text), err)
	}
	var got struct {
		AccessToken string `json:"access_token"`
	}
	err = json.Unmarshal(text, &got)
	p.token = got.AccessToken
	return err
}

// do answers the status of a request, or 0 if it was not answered.
func (p *process) do(method, path, body string) (status int, text string) {
	r, err := http.NewRequestWithContext(p.t.Context(), method, "https://"+p.listen+path+"?api-version=2025-07-01", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := p.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(all)
}

func TestWhatWasAcknowledgedOutlivesTheServer(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	acknowledged := map[string]bool{}
	n := 0
	for round := range 5 {
		p, c := launched(t, folder)
		groups := "/subscriptions/" + c.SubscriptionID + "/resourceGroups/"
		for name := range acknowledged {
			if status, text := p.do(http.MethodGet, groups+name, ""); status != http.StatusOK {
				t.Fatalf("round %d: %s was acknowledged, and is %d %s", round, name, status, text)
			}
		}
		after := time.AfterFunc(time.Duration(20+rand.IntN(200))*time.Millisecond, func() { _ = p.cmd.Process.Kill() }) //nolint:gosec // Any moment will do.
		for {
			n++
			name := fmt.Sprintf("g%d", n)
			status, text := p.do(http.MethodPut, groups+name, `{"location":"here"}`)
			if status == 0 {
				break
			}
			if status != http.StatusCreated {
				t.Fatalf("%d %s", status, text)
			}
			acknowledged[name] = true
		}
		after.Stop()
		p.kill()
	}
	if len(acknowledged) < 5 {
		t.Fatalf("only %d writes were acknowledged", len(acknowledged))
	}
}

func TestTheFirstStartIsFinishedByTheNext(t *testing.T) {
	for pause := time.Millisecond; pause < 400*time.Millisecond; pause = pause * 3 / 2 {
		folder := filepath.Join(t.TempDir(), "data")
		p := launch(t, folder)
		timer := time.NewTimer(pause)
		<-timer.C
		p.kill()
		before, err := p.credential()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("killed after %s: the credential is half: %v", pause, err)
		}
		again := launch(t, folder)
		again.login()
		after, err := again.credential()
		if err != nil || before.ClientID != "" && before.ClientID != after.ClientID {
			t.Errorf("killed after %s: %v, the administrator was %s and is %s", pause, err, before.ClientID, after.ClientID)
		}
		again.kill()
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	folder := t.TempDir()
	config := filepath.Join(folder, "config.yaml")
	if err := os.WriteFile(config, []byte("colour: red\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty, nested := filepath.Join(folder, "empty.yaml"), filepath.Join(folder, "nested.yaml")
	for file, text := range map[string]string{empty: "data-dir:\n", nested: "hostname: [{a: b}]\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--config", empty}, "data-dir: it has no value"},
		{[]string{"--data-dir", folder, "--config", nested}, "hostname: it has no value"},
		{nil, "--data-dir is not given"},
		{[]string{"--data-dir", folder, "--tls-cert", "a"}, "go together"},
		{[]string{"--data-dir", folder, "--url", "https://vaults.example.com/"}, "without a slash"},
		{[]string{"--data-dir", folder, "--database", "mysql://x"}, "--encryption-key"},
		{[]string{"--data-dir", folder, "--database", "mysql://x", "--encryption-key", config}, config},
		{[]string{"--data-dir", folder, "--log-level", "loud"}, "--log-level"},
		{[]string{"--data-dir", folder, "--config", config}, `"colour" is no flag`},
		{[]string{"--data-dir", folder, "--listen", "nowhere"}, "--listen"},
		{[]string{"--data-dir", config}, "--data-dir"},
		{[]string{"extra"}, "extra"},
	} {
		cmd := newCommand()
		cmd.SetArgs(c.args)
		cmd.SetOut(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %q", c.args, err, c.says)
		}
	}
}

func TestAFileGivesTheFlagsThatAreNotGiven(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("data-dir: there\nhostname: [a, b]\nlisten: :1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := newCommand()
	if err := cmd.ParseFlags([]string{"--listen", ":2"}); err != nil {
		t.Fatal(err)
	}
	if err := readConfig(cmd.Flags(), config); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"data-dir": "there", "hostname": "[a,b]", "listen": ":2"} {
		if got := cmd.Flags().Lookup(name).Value.String(); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestADataFolderIsUsedByOneServer(t *testing.T) {
	folder := t.TempDir()
	first, before := launched(t, folder)
	second := launch(t, folder)
	if err := second.cmd.Wait(); err == nil || !strings.Contains(second.errors.String(), fmt.Sprintf("another coffer-server uses it already, as process %d", first.cmd.Process.Pid)) {
		t.Errorf("a second server: %v\n%s", err, second.errors.String())
	}
	if after, err := first.credential(); err != nil || after != before {
		t.Errorf("the second has changed where the first one is: %v, was %v: %v", after, before, err)
	}
	// Whoever is killed has let go.
	first.kill()
	launch(t, folder).login()
}

// TestADatabaseThatHasGoneIsNotReplaced holds that a server whose database was moved away, or is on a disk that is not there, begins no new one
// in its place: what it would write would be in the way of the old one, and its write-ahead log would be lost.
func TestADatabaseThatHasGoneIsNotReplaced(t *testing.T) {
	folder := t.TempDir()
	first, before := launched(t, folder)
	first.kill()
	database := filepath.Join(folder, databaseFile)
	log, err := os.ReadFile(database + "-wal")
	if err != nil || len(log) == 0 {
		t.Fatalf("the log of a server that was killed: %d bytes, %v", len(log), err)
	}
	mustRefuse := func(why string) {
		t.Helper()
		p := launch(t, folder)
		if err := p.cmd.Wait(); err == nil || !strings.Contains(p.errors.String(), "the database "+database+" is not there, and there was one: "+why) {
			t.Errorf("%v\n%s", err, p.errors.String())
		}
		if after, err := first.credential(); err == nil && after != before {
			t.Errorf("another administrator was made: %v, was %v", after, before)
		}
		if _, err := os.Stat(database); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("another database was made: %v", err)
		}
	}
	if err := os.Rename(database, database+".away"); err != nil {
		t.Fatal(err)
	}
	mustRefuse(database + "-wal has what was written to it last")
	if err := os.Rename(database+"-wal", database+".away-wal"); err != nil {
		t.Fatal(err)
	}
	mustRefuse(filepath.Join(folder, administratorFile) + " is of its administrator")
	for _, suffix := range []string{"", "-wal"} {
		if err := os.Rename(database+".away"+suffix, database+suffix); err != nil {
			t.Fatal(err)
		}
	}
	if _, after := launched(t, folder); after.TenantID != before.TenantID || after.ClientID != before.ClientID {
		t.Errorf("the administrator is %v, was %v", after, before)
	}
}

// TestWhatIsThereIsNotWrittenAgain holds that a server whose disk is full can be started: it writes nothing that it has.
func TestWhatIsThereIsNotWrittenAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), authorityFile)
	write := func(text string, mode os.FileMode) os.FileInfo {
		t.Helper()
		err := writeFile(name, []byte(text), mode)
		info, failed := os.Stat(name)
		if err = errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != text || info.Mode().Perm() != mode {
			t.Fatalf("%s of mode %v, %v", got, info.Mode(), err)
		}
		return info
	}
	first := write("one", 0o644)
	if again := write("one", 0o644); !os.SameFile(first, again) {
		t.Error("the same is written again")
	}
	if other := write("two", 0o644); os.SameFile(first, other) {
		t.Error("a file is not replaced as a whole")
	}
	write("two", 0o600)
}
