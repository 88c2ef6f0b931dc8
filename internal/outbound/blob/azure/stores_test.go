//go:build stores

package azure

import (
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/blobtest"
)

// The account that every Azurite has, and its key, which is no secret.
const (
	account = "devstoreaccount1"
	key     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

func newConfig(endpoint, name string) Config {
	return Config{
		Account: account, Container: name, Prefix: "team a/é", Endpoint: strings.TrimSuffix(endpoint, "/") + "/" + account,
		Credentials: Credentials{AccountKey: key}, PageSize: 7,
	}
}

// newBucket makes a container in the store, and answers a configuration for it.
func newBucket(t *testing.T, endpoint string) Config {
	t.Helper()
	c := newConfig(endpoint, blobtest.NewName())
	shared, err := container.NewSharedKeyCredential(account, key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := container.NewClientWithSharedKeyCredential(c.Endpoint+"/"+c.Container, shared, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return c
}

func mustOpen(t *testing.T, c Config) coffer.Container {
	t.Helper()
	opened, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	return opened
}

func TestConformance(t *testing.T) {
	endpoint := blobtest.Service(t, "COFFER_SERVICE_AZURITE")
	blobtest.Run(t, func(t *testing.T) coffer.Container { return mustOpen(t, newBucket(t, endpoint)) })
}

func TestFaults(t *testing.T) {
	target := blobtest.Service(t, "COFFER_SERVICE_AZURITE")
	open := func(t *testing.T, endpoint string, idle time.Duration) coffer.Container {
		c := newBucket(t, target)
		c.Endpoint, c.Idle = endpoint+"/"+account, idle
		return mustOpen(t, c)
	}
	blobtest.RunFaults(t, blobtest.FaultConfig{Target: target, Open: open})
}

func TestWrongCredentialsAreToldFromAMissingContainer(t *testing.T) {
	endpoint := blobtest.Service(t, "COFFER_SERVICE_AZURITE")
	c := newBucket(t, endpoint)
	c.Credentials.AccountKey = "bm90IHRoZSBrZXk="
	blobtest.MustRefuse(t, mustOpen(t, c), c.Credentials.AccountKey, c.Container, "credentials", "Secret")
	blobtest.MustRefuse(t, mustOpen(t, newConfig(endpoint, "coffer-none")), "", `container "coffer-none"`, "does not exist", "create it")
	c.Credentials.AccountKey = "not base64!"
	if _, err := Open(c); coffer.CodeOf(err) != coffer.CodeLocationNotReady || strings.Contains(err.Error(), "not base64!") {
		t.Errorf("Open = %v, want %s without the key", err, coffer.CodeLocationNotReady)
	}
}

func TestATokenThatMayOnlyReadIsToldSoAndReads(t *testing.T) {
	c := newBucket(t, blobtest.Service(t, "COFFER_SERVICE_AZURITE"))
	if _, err := mustOpen(t, c).Put(t.Context(), "k", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	shared, err := container.NewSharedKeyCredential(account, key)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := container.NewClientWithSharedKeyCredential(c.Endpoint+"/"+c.Container, shared, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := owner.GetSASURL(sas.ContainerPermissions{Read: true, List: true}, time.Now().Add(time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(signed, "?")
	c.Credentials = Credentials{SASToken: "?" + token}
	reader := mustOpen(t, c)
	if info, err := reader.Stat(t.Context(), "k"); err != nil || info.Size != 1 {
		t.Errorf("Stat = %+v, %v", info, err)
	}
	_, err = reader.Put(t.Context(), "l", strings.NewReader("x"))
	if coffer.CodeOf(err) != coffer.CodeLocationNotReady || !strings.Contains(err.Error(), "readOnly") || strings.Contains(err.Error(), "sig=") {
		t.Errorf("Put = %v, want %s that names readOnly and not the token", err, coffer.CodeLocationNotReady)
	}
}
