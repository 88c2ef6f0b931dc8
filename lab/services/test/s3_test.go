//go:build lab

package test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

var buckets atomic.Int64

// newBucketName is one that no other test uses.
func newBucketName() string { return "bucket-" + strconv.FormatInt(buckets.Add(1), 10) }

func newS3(url string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(url),
		UsePathStyle: true,
		Region:       environment["S3_REGION"],
		Credentials:  credentials.NewStaticCredentialsProvider(environment["S3_ACCESS_KEY"], environment["S3_SECRET_KEY"], ""),
		Retryer:      aws.NopRetryer{},
	})
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func TestS3KeepsWhatIsPutOnce(t *testing.T) {
	eachWay(t, "S3", func(t *testing.T, url string) {
		client, bucket := newS3(url), aws.String(newBucketName())
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket}); err != nil {
			t.Fatal(err)
		}
		put := func(body []byte) error {
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String(key), Body: bytes.NewReader(body), IfNoneMatch: aws.String("*")})
			return err
		}
		if err := put(content()); err != nil {
			t.Fatal(err)
		}
		// Small, since versitygw answers without reading the body, and hangs up: whoever still sends sees a broken line.
		if err := put(content()[:1000]); code(err) != "PreconditionFailed" {
			t.Errorf("put over it: %v", err)
		}
		got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: aws.String(key), Range: aws.String("bytes=16-")})
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		if read, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(read, content()[16:]) {
			t.Errorf("read %d bytes (%v)", len(read), err)
		}
		listed, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("folder/with space/")})
		if err != nil || len(listed.Contents) != 1 || *listed.Contents[0].Key != key {
			t.Errorf("listed %+v (%v)", listed, err)
		}
	})
}

func TestS3LocksObjects(t *testing.T) {
	eachWay(t, "S3", func(t *testing.T, url string) {
		client, bucket := newS3(url), aws.String(newBucketName())
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
		put, err := client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: bucket, Key: aws.String(key), Body: bytes.NewReader(content()),
			ObjectLockMode: types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: aws.Time(time.Now().Add(time.Hour)),
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String(key), VersionId: put.VersionId})
		if code(err) != "AccessDenied" {
			t.Errorf("a locked version was deleted: %v", err)
		}
		// A deletion without a version only hides it.
		if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String(key)}); err != nil {
			t.Error(err)
		}
		if _, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: aws.String(key), VersionId: put.VersionId}); err != nil {
			t.Errorf("the locked version: %v", err)
		}
	})
}

func TestS3RefusesOtherKeys(t *testing.T) {
	eachWay(t, "S3", func(t *testing.T, url string) {
		wrong := newS3(url).Options()
		wrong.Credentials = credentials.NewStaticCredentialsProvider(environment["S3_ACCESS_KEY"], "wrong", "")
		if _, err := s3.New(wrong).ListBuckets(t.Context(), &s3.ListBucketsInput{}); code(err) != "SignatureDoesNotMatch" {
			t.Errorf("with a wrong key: %v", err)
		}
	})
}

func TestS3IsThrottledByTheProxy(t *testing.T) {
	setRules(t, `[{"store":"s3","method":"GET","times":1,"fault":{"status":{"code":503,"retryAfter":"1",
		"header":{"Content-Type":"application/xml"},"body":"<Error><Code>SlowDown</Code><Message>slow</Message></Error>"}}}]`)
	client := newS3(environment["FAULT_S3"])
	if _, err := client.ListBuckets(t.Context(), &s3.ListBucketsInput{}); code(err) != "SlowDown" {
		t.Errorf("the first request ended with %v", err)
	}
	if _, err := client.ListBuckets(t.Context(), &s3.ListBucketsInput{}); err != nil {
		t.Error(err)
	}
}

// setRules sets the rules of the proxy for one test.
func setRules(t *testing.T, rules string) {
	t.Helper()
	put := func(rules string) {
		request, err := http.NewRequest(http.MethodPut, environment["FAULT_ADMIN"]+"/rules", bytes.NewReader([]byte(rules)))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusNoContent {
			said, _ := io.ReadAll(response.Body)
			t.Fatalf("set the rules: %s: %s", response.Status, said)
		}
	}
	put(rules)
	t.Cleanup(func() { put("[]") })
}
