package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/object"
)

// store is an object.Store.
type store struct {
	client *s3.Client
	bucket string
}

// idKey is the metadata that holds the id of a put.
const idKey = "coffer-put"

var ifAbsent = aws.String("*")

// Create implements object.Store.
func (s *store) Create(ctx context.Context, name, id string, body []byte) error {
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &name, Body: bytes.NewReader(body), IfNoneMatch: ifAbsent,
		Metadata: map[string]string{idKey: id},
	})
	return err
}

// Begin implements object.Store.
func (s *store) Begin(ctx context.Context, name, id string) (object.Upload, error) {
	begun, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &s.bucket, Key: &name, Metadata: map[string]string{idKey: id},
	})
	if err != nil {
		return nil, err
	}
	return &upload{store: s, name: name, id: begun.UploadId}, nil
}

type upload struct {
	*store
	name  string
	id    *string
	parts []types.CompletedPart
}

// Part implements object.Upload.
func (u *upload) Part(ctx context.Context, number int, body []byte) error {
	n := aws.Int32(int32(number)) //nolint:gosec // at most maxParts
	sent, err := u.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &u.bucket, Key: &u.name, UploadId: u.id, PartNumber: n, Body: bytes.NewReader(body),
	})
	if err != nil {
		return err
	}
	u.parts = append(u.parts[:number-1], types.CompletedPart{
		ETag: sent.ETag, PartNumber: n, ChecksumCRC32: sent.ChecksumCRC32, ChecksumCRC64NVME: sent.ChecksumCRC64NVME,
	})
	return nil
}

// Commit implements object.Upload.
func (u *upload) Commit(ctx context.Context) error {
	_, err := u.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &u.bucket, Key: &u.name, UploadId: u.id, IfNoneMatch: ifAbsent,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	})
	return err
}

// Abort implements object.Upload.
func (u *upload) Abort(ctx context.Context) error {
	_, err := u.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &u.bucket, Key: &u.name, UploadId: u.id})
	return err
}

// Make implements object.Store.
func (s *store) Make(ctx context.Context) error {
	input := &s3.CreateBucketInput{Bucket: &s.bucket}
	// Where nothing is said, Amazon takes it for its first region, and refuses to be told so.
	if region := s.client.Options().Region; region != firstRegion && s.client.Options().BaseEndpoint == nil {
		input.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	_, err := s.client.CreateBucket(ctx, input)
	var own *types.BucketAlreadyOwnedByYou
	if errors.As(err, &own) {
		return nil
	}
	return err
}

// Head implements object.Store.
func (s *store) Head(ctx context.Context, name string) (object.Head, error) {
	h, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &name})
	if err != nil {
		return object.Head{}, err
	}
	return object.Head{Size: aws.ToInt64(h.ContentLength), Modified: aws.ToTime(h.LastModified), ID: h.Metadata[idKey]}, nil
}

// Read implements object.Store.
func (s *store) Read(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	input := &s3.GetObjectInput{Bucket: &s.bucket, Key: &name}
	switch {
	case length > 0:
		input.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		input.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	got, err := s.client.GetObject(ctx, input)
	if err != nil {
		return nil, err
	}
	return got.Body, nil
}

// Page implements object.Store.
func (s *store) Page(ctx context.Context, r object.PageRequest) (object.Page, error) {
	input := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &r.Prefix}
	if r.Folders {
		input.Delimiter = aws.String("/")
	}
	if r.Token != "" {
		input.ContinuationToken = &r.Token
	}
	if r.Limit > 0 {
		input.MaxKeys = aws.Int32(int32(r.Limit)) //nolint:gosec // a page of some thousand
	}
	got, err := s.client.ListObjectsV2(ctx, input)
	if err != nil {
		return object.Page{}, err
	}
	var page object.Page
	for _, o := range got.Contents {
		page.Blobs = append(page.Blobs, coffer.BlobInfo{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)})
	}
	for _, p := range got.CommonPrefixes {
		page.Folders = append(page.Folders, aws.ToString(p.Prefix))
	}
	if aws.ToBool(got.IsTruncated) {
		page.Next = aws.ToString(got.NextContinuationToken)
	}
	return page, nil
}

// Remove implements object.Store.
func (s *store) Remove(ctx context.Context, name string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &name})
	return err
}

// causes are the codes of S3, and of stores like it, that say more than their HTTP status.
var causes = map[string]object.Cause{
	"NoSuchBucket":               object.NoContainer,
	"NoSuchKey":                  object.Missing,
	"NotFound":                   object.Missing,
	"ConditionalRequestConflict": object.Busy,
	// The upload was committed, perhaps by a try whose answer was lost, or aborted: what is there now tells.
	"NoSuchUpload":                 object.Unknown,
	"OperationAborted":             object.Busy,
	"PreconditionFailed":           object.Taken,
	"XAdminUserNotFound":           object.Unauthenticated,
	"InvalidAccessKeyId":           object.Unauthenticated,
	"SignatureDoesNotMatch":        object.Unauthenticated,
	"ExpiredToken":                 object.Unauthenticated,
	"InvalidToken":                 object.Unauthenticated,
	"AuthorizationHeaderMalformed": object.Unauthenticated,
	"RequestTimeTooSkewed":         object.Skewed,
	"RequestExpired":               object.Skewed,
	"SlowDown":                     object.Throttled,
	"RequestLimitExceeded":         object.Throttled,
	"RequestTimeout":               object.Away,
	"QuotaExceeded":                object.Full,
	"XMinioStorageFull":            object.Full,
	"InvalidRange":                 object.PastEnd,
}

// Judge implements object.Store.
func (s *store) Judge(err error) object.Verdict {
	var response *smithyhttp.ResponseError
	// The SDK wraps requests that got no answer in one without a status.
	answered := errors.As(err, &response) && response.Response != nil && response.HTTPStatusCode() != 0
	var v object.Verdict
	if answered {
		v = object.Verdict{Cause: object.ByStatus(response.HTTPStatusCode()), After: object.RetryAfter(response.Response.Header)}
	}
	var coded smithy.APIError
	if errors.As(err, &coded) {
		if cause, ok := causes[coded.ErrorCode()]; ok {
			v.Cause = cause
		}
		v.Says = fmt.Sprintf("%s: %s", coded.ErrorCode(), coded.ErrorMessage())
		return v
	}
	if !answered {
		v.Cause = object.Unanswered(err)
	}
	return v
}
