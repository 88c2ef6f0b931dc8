//go:build stores

package s3

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/blobtest"
)

func newConfig(t *testing.T, endpoint, name string) Config {
	t.Helper()
	return Config{
		Bucket: name, Prefix: "team a/é", Region: "us-east-1", Endpoint: endpoint, ForcePathStyle: true, PageSize: 7,
		Credentials: Credentials{
			AccessKeyID:     blobtest.Service(t, "COFFER_SERVICE_S3_ACCESS_KEY"),
			SecretAccessKey: blobtest.Service(t, "COFFER_SERVICE_S3_SECRET_KEY"),
		},
	}
}

// newBucket makes a bucket in the store, and answers a configuration for it.
func newBucket(t *testing.T, endpoint string) Config {
	t.Helper()
	c := newConfig(t, endpoint, blobtest.NewName())
	client := s3.New(s3.Options{
		Region: c.Region, BaseEndpoint: &c.Endpoint, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(c.Credentials.AccessKeyID, c.Credentials.SecretAccessKey, ""),
	})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(c.Bucket)}); err != nil {
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
	endpoint := blobtest.Service(t, "COFFER_SERVICE_S3")
	blobtest.Run(t, func(t *testing.T) coffer.Container { return mustOpen(t, newBucket(t, endpoint)) })
}

func TestFaults(t *testing.T) {
	target := blobtest.Service(t, "COFFER_SERVICE_S3")
	open := func(t *testing.T, endpoint string, idle time.Duration) coffer.Container {
		c := newBucket(t, target)
		c.Endpoint, c.Idle = endpoint, idle
		return mustOpen(t, c)
	}
	blobtest.RunFaults(t, blobtest.FaultConfig{Target: target, Open: open})
}

func TestWrongCredentialsAreToldFromAMissingBucket(t *testing.T) {
	endpoint := blobtest.Service(t, "COFFER_SERVICE_S3")
	c := newBucket(t, endpoint)
	c.Credentials.SecretAccessKey = "not-the-secret"
	blobtest.MustRefuse(t, mustOpen(t, c), "not-the-secret", c.Bucket, "does not accept the credentials", "Secret")
	c.Credentials.AccessKeyID = "nobody"
	blobtest.MustRefuse(t, mustOpen(t, c), "not-the-secret", "does not accept the credentials")
	blobtest.MustRefuse(t, mustOpen(t, newConfig(t, endpoint, "coffer-none")), "", `bucket "coffer-none"`, "does not exist", "create it")
}
