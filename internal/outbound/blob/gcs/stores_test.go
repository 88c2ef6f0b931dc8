//go:build stores

package gcs

import (
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/option"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/blobtest"
)

func newConfig(endpoint, name string) Config {
	return Config{Bucket: name, Prefix: "team a/é", Endpoint: endpoint, Anonymous: true, PageSize: 7}
}

// newBucket makes a bucket in the store, and answers a configuration for it.
func newBucket(t *testing.T, endpoint string) Config {
	t.Helper()
	c := newConfig(endpoint, blobtest.NewName())
	client, err := storage.NewClient(t.Context(), option.WithEndpoint(endpoint+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Bucket(c.Bucket).Create(t.Context(), "test", nil); err != nil {
		t.Fatal(err)
	}
	return c
}

func mustOpen(t *testing.T, c Config) coffer.Container {
	t.Helper()
	opened, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	return opened
}

func TestConformance(t *testing.T) {
	endpoint := blobtest.Service(t, "COFFER_SERVICE_GCS")
	blobtest.Run(t, func(t *testing.T) coffer.Container { return mustOpen(t, newBucket(t, endpoint)) })
}

func TestFaults(t *testing.T) {
	target := blobtest.Service(t, "COFFER_SERVICE_GCS")
	open := func(t *testing.T, endpoint string, idle time.Duration) coffer.Container {
		c := newBucket(t, target)
		c.Endpoint, c.Idle = endpoint, idle
		return mustOpen(t, c)
	}
	// This server counts a chunk that it has already a second time; Google's goes by the offsets.
	blobtest.RunFaults(t, blobtest.FaultConfig{Target: target, Open: open, Excuse: "cut after long"})
}

func TestMissingBucketIsTold(t *testing.T) {
	endpoint := blobtest.Service(t, "COFFER_SERVICE_GCS")
	blobtest.MustRefuse(t, mustOpen(t, newConfig(endpoint, "coffer-none")), "", `bucket "coffer-none"`, "does not exist", "create it")
}
