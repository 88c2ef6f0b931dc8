//go:build stores

package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// newSchema is the URL of an empty schema of a real PostgreSQL.
func newSchema(t *testing.T) string {
	t.Helper()
	server := os.Getenv("COFFER_SERVICE_POSTGRES")
	if server == "" {
		t.Fatal("COFFER_SERVICE_POSTGRES is not set: see hack/test")
	}
	name := "server_" + strings.ToLower(rand.Text())
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := db.ExecContext(context.WithoutCancel(t.Context()), "DROP SCHEMA "+name+" CASCADE")
		if err := errors.Join(err, db.Close()); err != nil {
			t.Error(err)
		}
	})
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	values := address.Query()
	values.Set("search_path", name)
	address.RawQuery = values.Encode()
	return address.String()
}

// newSharedKey makes a file of a key for replicas.
func newSharedKey(t *testing.T, folder string) string {
	t.Helper()
	key := filepath.Join(folder, "shared.key")
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, []byte(base64.StdEncoding.EncodeToString(random)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return key
}

// In a cluster a replica dies with its data folder, maybe in the moment after it has made the administrator.
func TestThePreparedCredentialOutlivesAnyReplica(t *testing.T) {
	folder := t.TempDir()
	prepared := filepath.Join(folder, "credential.json")
	args := []string{"--database", newSchema(t), "--encryption-key", newSharedKey(t, folder), "--admin-credential", prepared, "--url", "https://vault.example"}
	want := mustPrepare(t, prepared)
	mustBeOffered := func(p *process) {
		t.Helper()
		p.login()
		if c, err := p.credential(); err != nil || c.ClientID != want.ClientID {
			t.Errorf("the administrator is %s, %v", c.ClientID, err)
		}
	}
	for i := range 3 {
		pair := []*process{launch(t, filepath.Join(folder, fmt.Sprint("a", i)), args...), launch(t, filepath.Join(folder, fmt.Sprint("b", i)), args...)}
		if i > 0 {
			mustBeOffered(pair[i%2])
		}
		pair[i%2].kill()
		if err := os.RemoveAll(pair[i%2].folder); err != nil {
			t.Fatal(err)
		}
		mustBeOffered(pair[1-i%2])
		pair[1-i%2].kill()
	}
}

func TestReplicasShareOneDatabase(t *testing.T) {
	folder := t.TempDir()
	key := newSharedKey(t, folder)
	database := newSchema(t)
	// All begin at the same time: one migrates, one makes the administrator.
	var replicas []*process
	for i := range 3 {
		replicas = append(replicas, launch(t, filepath.Join(folder, fmt.Sprint("replica", i)), "--database", database, "--encryption-key", key,
			"--url", "https://vault.example"))
	}
	var first *process
	var c credentialFile
	eventually(t, "one replica has the administrator's credential", func() bool {
		for _, p := range replicas {
			if p.tryLogin() == nil {
				first = p
			}
		}
		return first != nil
	})
	c, err := first.credential()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range replicas {
		// They are one server to clients: a token of one is good for all, and so is the certificate authority.
		eventually(t, "a replica answers", func() bool {
			p.client, p.token = first.client, first.token
			status, _ := p.do(http.MethodGet, "/subscriptions", "")
			return status == http.StatusOK
		})
	}
	group := "/subscriptions/" + c.SubscriptionID + "/resourceGroups/shared"
	var created sync.Map
	var all sync.WaitGroup
	for i, p := range replicas {
		all.Go(func() {
			status, text := p.do(http.MethodPut, group, `{"location":"here"}`)
			if status != http.StatusCreated && status != http.StatusOK {
				t.Errorf("replica %d: %d %s", i, status, text)
			}
			created.Store(i, status)
		})
	}
	all.Wait()
	n := 0
	created.Range(func(_, status any) bool {
		if status == http.StatusCreated {
			n++
		}
		return true
	})
	if n != 1 {
		t.Errorf("%d replicas have created the same group", n)
	}
	// One dies, and the others go on.
	replicas[0].kill()
	for _, p := range replicas[1:] {
		p.client, p.token = first.client, first.token
		if status, text := p.do(http.MethodGet, group, ""); status != http.StatusOK {
			t.Errorf("after the death of a replica: %d %s", status, text)
		}
	}
	left := 0
	for _, p := range replicas {
		if _, err := os.Stat(filepath.Join(p.folder, administratorFile)); err == nil {
			left++
		}
	}
	if left != 1 {
		t.Errorf("%d replicas have a credential of an administrator", left)
	}
}

// A cluster has one link, and whichever replica a client comes to, the cluster is asked.
func TestAClusterThatAnotherReplicaHoldsIsAsked(t *testing.T) {
	folder := t.TempDir()
	key, database, prepared := newSharedKey(t, folder), newSchema(t), filepath.Join(folder, "credential.json")
	mustPrepare(t, prepared)
	at := freeAddress(t)
	start := func(name string, args ...string) *process {
		free := freeAddress(t)
		p := launch(t, filepath.Join(folder, name), append([]string{
			"--database", database, "--encryption-key", key, "--admin-credential", prepared, "--listen", free, "--url", "https://vault.example", "--replica-url", "https://" + free,
		}, args...)...)
		p.listen = free
		p.login()
		return p
	}
	one, two := start("one", "--link-listen", at), start("two")
	c, err := one.credential()
	if err != nil {
		t.Fatal(err)
	}
	group := "/subscriptions/" + c.SubscriptionID + "/resourceGroups/g"
	id, vault := group+"/providers/Microsoft.ContainerService/managedClusters/c1", group+"/providers/Microsoft.DataProtection/backupVaults/v1"
	binding := id + "/trustedAccessRoleBindings/b1"
	one.must(http.MethodPut, group, clusterBody)
	one.must(http.MethodPut, id, clusterBody)
	one.must(http.MethodPut, vault, vaultBody)
	joined := newCluster(t, "uid-1")
	stop := joined.connect(one.must(http.MethodPost, id+"/providers/Coffer.Backup/joinToken", `{"server":"`+at+`"}`, "token"))
	eventually(t, "the cluster is connected", func() bool { return two.stateOf(id) == "Connected" })
	if state := two.must(http.MethodPut, binding, bindingOf(vault), "properties", "coffer", "state"); state != "Approved" {
		t.Errorf("trusted access that is put at the other replica is %s", state)
	}
	if state := two.must(http.MethodPost, binding+"/providers/Coffer.Backup/check", "", "properties", "coffer", "state"); state != "Approved" {
		t.Errorf("asked by the other replica, it is %s", state)
	}
	stop()
	one.kill()
	if status, text := two.do(http.MethodPost, binding+"/providers/Coffer.Backup/check", ""); status != http.StatusServiceUnavailable {
		t.Errorf("once the replica is dead: %d %s", status, text)
	}
}
