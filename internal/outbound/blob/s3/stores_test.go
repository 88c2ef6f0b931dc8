//go:build stores

package s3

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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

func TestWithoutASecretThePodsIdentityIsUsed(t *testing.T) {
	c := newBucket(t, blobtest.Service(t, "COFFER_SERVICE_S3"))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("of the service account"), 0o600); err != nil {
		t.Fatal(err)
	}
	given := c.Credentials
	var asked url.Values
	exchange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		asked = r.PostForm
		_, _ = fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId>`+
			`<SecretAccessKey>%s</SecretAccessKey><SessionToken></SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
			given.AccessKeyID, given.SecretAccessKey, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	defer exchange.Close()
	for name, value := range map[string]string{
		"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/backup", "AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ENDPOINT_URL_STS": exchange.URL,
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
	} {
		t.Setenv(name, value)
	}
	c.Credentials = Credentials{}
	if _, err := mustOpen(t, c).Put(t.Context(), "k", strings.NewReader("x")); err != nil {
		t.Errorf("Put = %v", err)
	}
	if asked.Get("WebIdentityToken") != "of the service account" || asked.Get("RoleArn") != "arn:aws:iam::123456789012:role/backup" {
		t.Errorf("the exchange was asked with %v", asked)
	}
}
