// Package s3 keeps a blob container in a bucket of Amazon S3, or of a store that speaks its protocol and honours
// If-None-Match on PutObject and CompleteMultipartUpload.
package s3

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/coffer-backup/coffer/internal/outbound/blob/object"
)

// Config names a bucket and says how it is reached.
type Config struct {
	Bucket string
	// Prefix is a folder in the bucket; empty for all of it.
	Prefix string
	// Region of the bucket; empty is that of the environment, or us-east-1, which stores other than Amazon's accept.
	Region string
	// Endpoint is the URL of a store other than Amazon's; empty for Amazon's.
	Endpoint string
	// ForcePathStyle puts the bucket into the path instead of the host name.
	ForcePathStyle bool
	// CACert is PEM with what is trusted beside the machine's own certificates.
	CACert string
	// Credentials; the zero value is the SDK's chain: IRSA and pod identity among others.
	Credentials Credentials
	// Idle bounds how long a request may stand still; zero is a minute.
	Idle time.Duration
	// PageSize of listings; zero is the store's own.
	PageSize int
}

// Credentials are an access key.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	// SessionToken is empty for a key that does not expire.
	SessionToken string
}

// maxParts is Amazon's limit.
const maxParts = 10_000

// firstRegion is Amazon's, and what other stores take for a region.
const firstRegion = "us-east-1"

// Open makes a client for the bucket. Nothing is asked of the store yet.
func Open(ctx context.Context, c Config) (*object.Container, error) {
	link, err := object.NewLink(object.LinkConfig{CACert: c.CACert, Idle: c.Idle})
	if err != nil {
		return nil, err
	}
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		// A shared configuration file would be of the image, not of the location.
		config.WithSharedConfigFiles([]string{}), config.WithSharedCredentialsFiles([]string{}),
	}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	if k := c.Credentials; k != (Credentials{}) {
		options = append(options, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, k.SessionToken)))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("set up the client of S3: %w", err)
	}
	if loaded.Region == "" {
		loaded.Region = firstRegion
	}
	client := s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.HTTPClient = link
		o.UsePathStyle = c.ForcePathStyle
		if c.Endpoint != "" {
			o.BaseEndpoint = &c.Endpoint
			// Other stores know the checksums of old only where they must have one.
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	where := c.Endpoint
	if where == "" {
		where = "Amazon S3 in " + loaded.Region
	}
	return object.New(object.Config{
		Store: &store{client: client, bucket: c.Bucket}, Link: link, Prefix: c.Prefix,
		Name: fmt.Sprintf("bucket %q of %s", c.Bucket, where), PageSize: c.PageSize, MaxParts: maxParts,
	}), nil
}
