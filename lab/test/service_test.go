//go:build lab

package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var allServices = []string{"azurite", "s3", "gcs", "postgres", "vault", "fault"}

// mustServe brings services up, which go with the test.
func (l lab) mustServe(t *testing.T, names ...string) {
	t.Helper()
	t.Cleanup(func() { l.must(t, "service", "down") })
	l.must(t, append([]string{"service", "up"}, names...)...)
}

// environment is what a shell makes of "lab service env", without what all names begin with.
func (l lab) environment(t *testing.T) map[string]string {
	t.Helper()
	shell := exec.Command("env", "-i", "sh", "-c", l.must(t, "service", "env")+"\n/usr/bin/env")
	out, err := shell.Output()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if short, ok := strings.CutPrefix(name, "COFFER_SERVICE_"); ok {
			values[short] = value
		}
	}
	return values
}

// ask sends a request of the host and returns the status and the body.
func ask(ctx context.Context, method, url, body string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// mustAsk sends a request that has to be answered with a status.
func mustAsk(t *testing.T, want int, method, url, body string) string {
	t.Helper()
	status, answer, err := ask(t.Context(), method, url, body)
	if err != nil || status != want {
		t.Fatalf("%s %s: %v, status %d, want %d: %s", method, url, err, status, want, answer)
	}
	return answer
}

// pings are requests that each store answers without credentials, and what it says.
var pings = map[string]struct {
	path   string
	status int
}{
	"AZURITE": {"/devstoreaccount1?comp=list", http.StatusForbidden},
	"S3":      {"/-/healthy", http.StatusOK},
	"GCS":     {"/storage/v1/b", http.StatusOK},
}

func TestServicesAnswerTheHostAndPods(t *testing.T) {
	shared.lab.mustServe(t, allServices...)
	env := shared.lab.environment(t)
	c := newClient(t, shared.lab, "service-clients")
	c.mustRun(t, pod("box"))
	for name, ping := range pings {
		for _, by := range []string{"", "FAULT_"} {
			mustAsk(t, ping.status, http.MethodGet, env[by+name]+ping.path, "")
			// busybox says the status only when it is a bad one.
			_, err := c.exec(t.Context(), "box", "wget", "-q", "-O", "-", env[by+name+"_INSIDE"]+ping.path)
			if refused := err != nil && strings.Contains(err.Error(), fmt.Sprint(ping.status)); (ping.status != http.StatusOK) != refused {
				t.Errorf("%s%s from a pod: %v", by, name, err)
			}
		}
	}
	for _, name := range []string{"AZURITE_ACCOUNT", "AZURITE_KEY", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_REGION"} {
		if env[name] == "" {
			t.Errorf("%s is not in the environment", name)
		}
	}
	mustAsk(t, http.StatusOK, http.MethodGet, env["VAULT_STATUS"]+"/readyz", "")
	c.mustExec(t, "box", "wget", "-q", "-O", "-", env["VAULT_STATUS_INSIDE"]+"/readyz")
	mustBeTrustworthy(t, env)
	if got := mustQuery(t, env["POSTGRES"], "select current_user || ' ' || current_database()"); got != "coffer coffer" {
		t.Errorf("the database says %q", got)
	}
	database, err := url.Parse(env["POSTGRES_INSIDE"])
	if err != nil {
		t.Fatal(err)
	}
	c.mustExec(t, "box", "sh", "-c", "nc -w 5 "+database.Hostname()+" "+database.Port()+" < /dev/null")
	var listed []struct{ Name, State string }
	if err := json.Unmarshal([]byte(shared.lab.must(t, "service", "list", "-o", "json")), &listed); err != nil {
		t.Fatal(err)
	}
	for _, service := range listed {
		if service.State != "running" {
			t.Errorf("%s is %s", service.Name, service.State)
		}
	}
	if len(listed) != len(allServices) {
		t.Errorf("%d services are listed, want %d", len(listed), len(allServices))
	}
}

// mustBeTrustworthy asks the vault's server at its url, by the certificate authority that the environment names, and returns the
// credential of its administrator.
func mustBeTrustworthy(t *testing.T, env map[string]string) string {
	t.Helper()
	authority, err := os.ReadFile(env["VAULT_CA"])
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}}
	answer, err := client.Get(env["VAULT"] + "/metadata/endpoints")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(body), `"`+env["VAULT"]+`"`) {
		t.Errorf("the vault's server says of itself: %s, %v", body, err)
	}
	credential, err := os.ReadFile(env["VAULT_CREDENTIALS"])
	if err != nil || !strings.Contains(string(credential), `"`+env["VAULT"]+`"`) {
		t.Errorf("the administrator's credential is for another server than %s, %v", env["VAULT"], err)
	}
	return string(credential)
}

// mustQuery asks the database one thing.
func mustQuery(t *testing.T, url, query string) string {
	t.Helper()
	clients, err := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
	if err != nil || len(clients) == 0 {
		t.Fatalf("there is no psql: %v", err)
	}
	out, err := exec.Command(clients[0], url, "-tAc", query).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", query, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestTheFaultProxyDisturbsWhatItIsTold(t *testing.T) {
	shared.lab.mustServe(t, "gcs", "fault")
	env := shared.lab.environment(t)
	if _, there := env["FAULT_S3"]; there {
		t.Error("the environment has a proxy for a store that is not up")
	}
	mustAsk(t, http.StatusNoContent, http.MethodPut, env["FAULT_ADMIN"]+"/rules", `[{"store":"gcs","method":"POST","times":1,"fault":{"abort":"after"}}]`)
	buckets := env["FAULT_GCS"] + "/storage/v1/b"
	if status, answer, err := ask(t.Context(), http.MethodPost, buckets, `{"name":"lost-answer"}`); err == nil {
		t.Errorf("the request was answered: %d %s", status, answer)
	}
	mustAsk(t, http.StatusConflict, http.MethodPost, buckets, `{"name":"lost-answer"}`)
	if got := mustAsk(t, http.StatusOK, http.MethodGet, env["FAULT_ADMIN"]+"/requests", ""); !strings.Contains(got, `"abort-after": 1`) {
		t.Errorf("requests %s", got)
	}
}

func TestAKilledServiceComesBackWithItsData(t *testing.T) {
	shared.lab.mustServe(t, "gcs", "postgres", "vault")
	env := shared.lab.environment(t)
	credential := mustBeTrustworthy(t, env)
	mustAsk(t, http.StatusOK, http.MethodPost, env["GCS"]+"/storage/v1/b", `{"name":"kept"}`)
	mustQuery(t, env["POSTGRES"], "create table kept as select 7 as n")
	for _, service := range []string{"gcs", "postgres", "vault"} {
		shared.lab.must(t, "service", "kill", service)
		shared.lab.mustRefuse(t, []string{service, "lab service up"}, "service", "kill", service)
	}
	if left := shared.lab.environment(t); len(left) > 0 {
		t.Errorf("the environment of killed services is %v", left)
	}
	if _, _, err := ask(t.Context(), http.MethodGet, env["GCS"]+"/storage/v1/b", ""); err == nil {
		t.Error("a killed service answers")
	}
	shared.lab.must(t, "service", "up", "gcs", "postgres", "vault")
	if got := mustBeTrustworthy(t, env); got != credential {
		t.Error("the vault's server has another administrator")
	}
	// At the addresses that it had.
	mustAsk(t, http.StatusOK, http.MethodGet, env["GCS"]+"/storage/v1/b/kept", "")
	if got := mustQuery(t, env["POSTGRES"], "select n from kept"); got != "7" {
		t.Errorf("the database says %q", got)
	}
	shared.lab.must(t, "service", "down", "gcs")
	shared.lab.must(t, "service", "up", "gcs")
	mustAsk(t, http.StatusNotFound, http.MethodGet, shared.lab.environment(t)["GCS"]+"/storage/v1/b/kept", "")
	if got := mustQuery(t, env["POSTGRES"], "select n from kept"); got != "7" {
		t.Errorf("the database says %q after another service was taken down", got)
	}
}

func TestServicesAndClustersEndWithoutEachOther(t *testing.T) {
	l := newLab(t, "e")
	before := mustRead(t, l)
	l.must(t, "service", "up", "gcs")
	l.must(t, "up")
	c := newClient(t, l, "around")
	l.must(t, "image", "load", imageFile("toolbox"))
	c.mustRun(t, pod("box"))
	l.must(t, "partition", l.name, "services")
	l.must(t, "service", "down")
	c.mustExec(t, "box", "true")
	l.must(t, "service", "up", "gcs")
	// The new ones have the place of the old on the switch, but not what these were cut off from.
	env := l.environment(t)
	c.mustExec(t, "box", "wget", "-q", "-O", "-", env["GCS_INSIDE"]+"/storage/v1/b")
	l.must(t, "down")
	mustAsk(t, http.StatusOK, http.MethodGet, env["GCS"]+"/storage/v1/b", "")
	if out := l.must(t, "down", "--all"); !strings.Contains(out, "services") {
		t.Errorf("down --all said %q", out)
	}
	l.mustBeClean(t, before)
}

func TestServiceDownGoesByWhatIsThere(t *testing.T) {
	l := newLab(t, "v")
	before := mustRead(t, l)
	l.must(t, "service", "up", "azurite", "s3", "postgres", "fault")
	mustQuery(t, l.environment(t)["POSTGRES"], "create table t as select 1")
	folder := filepath.Join(l.root, "services")
	for _, record := range []string{"services.json", "run/s3.json", "run/postgres-forwarder.json"} {
		if err := os.Remove(filepath.Join(folder, record)); err != nil {
			t.Fatal(err)
		}
	}
	l.mustRefuse(t, []string{"lab service down"}, "service", "up", "s3")
	l.must(t, "service", "down")
	l.mustBeClean(t, before)
	if _, err := os.Stat(folder); err == nil {
		t.Errorf("%s is still there", folder)
	}
	if out := l.must(t, "service", "down"); !strings.Contains(out, "nothing") {
		t.Errorf("down said %q", out)
	}
}

func TestServiceDownAfterUpWasInterrupted(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		for _, after := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond, 150 * time.Millisecond,
			300 * time.Millisecond, 600 * time.Millisecond} {
			t.Run(signal.String()+" after "+after.String(), func(t *testing.T) {
				l := newLab(t, "j")
				before := mustRead(t, l)
				l.signalAt(t, signal, "", after, append([]string{"service", "up"}, allServices...)...)
				if signal == syscall.SIGKILL {
					l.must(t, "service", "down")
				}
				l.mustBeClean(t, before)
				if entries, err := os.ReadDir(l.root); err == nil && len(entries) > 0 {
					t.Errorf("the lab folder still has %v", entries)
				}
			})
		}
	}
}

func TestAServiceThatDoesNotComeUpSaysWhyAndGoes(t *testing.T) {
	l := newLab(t, "q")
	broken := brokenPrograms(t, "versitygw")
	before := mustRead(t, l)
	out, err := l.run("service", "up", "s3", "--bin-dir", broken)
	if err == nil || !strings.Contains(out, "s3 ended") || !strings.Contains(out, "s3 | the reason for this") {
		t.Errorf("up with a broken server: %v: %s", err, out)
	}
	l.mustBeClean(t, before)
	l.must(t, "service", "up", "fault")
	if out, err := l.run("service", "up", "fault", "s3", "--bin-dir", broken); err == nil {
		t.Errorf("up with a broken server: %s", out)
	}
	if env := l.environment(t); env["FAULT_ADMIN"] == "" || env["S3"] != "" {
		t.Errorf("the environment afterwards is %v", env)
	}
	l.must(t, "service", "down")
	l.mustBeClean(t, before)
}

func TestLabFoldersHaveTheirOwnServices(t *testing.T) {
	one, other := newLab(t, "y"), newLab(t, "z")
	one.must(t, "service", "up", "gcs")
	other.must(t, "service", "up", "gcs")
	first, second := one.environment(t), other.environment(t)
	if first["GCS_INSIDE"] == second["GCS_INSIDE"] {
		t.Errorf("both are at %s", first["GCS_INSIDE"])
	}
	other.must(t, "service", "down")
	mustAsk(t, http.StatusOK, http.MethodGet, first["GCS"]+"/storage/v1/b", "")
}
