// Package gcs keeps a blob container in a bucket of Google Cloud Storage.
package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
	"cloud.google.com/go/storage"
	"google.golang.org/api/option"
	rawstorage "google.golang.org/api/storage/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/object"
)

// Config names a bucket and says how it is reached.
type Config struct {
	Bucket string
	// Prefix is a folder in the bucket; empty for all of it.
	Prefix string
	// Endpoint is the URL of the service; empty is Google's.
	Endpoint string
	// CACert is PEM with what is trusted beside the machine's own certificates.
	CACert string
	// CredentialsJSON is a key file of a service account, or the configuration of a federated identity. Empty is the
	// SDK's chain: workload identity among others.
	CredentialsJSON []byte
	// Anonymous asks without credentials, as emulators are.
	Anonymous bool
	// Idle bounds how long a request may stand still; zero is a minute.
	Idle time.Duration
	// PageSize of listings; zero is the store's own.
	PageSize int
}

// maxParts is what Google's limit of 5 TiB amounts to.
const maxParts = 655_360

// Open makes a client for the bucket. Nothing is asked of the store yet.
func Open(ctx context.Context, c Config) (*object.Container, error) {
	link, err := object.NewLink(object.LinkConfig{CACert: c.CACert, Idle: c.Idle})
	if err != nil {
		return nil, err
	}
	signed := link.Client()
	if !c.Anonymous {
		if signed, err = sign(c, link); err != nil {
			return nil, err
		}
	}
	options := []option.ClientOption{option.WithHTTPClient(signed)}
	if c.Endpoint != "" {
		options = append(options, option.WithEndpoint(strings.TrimSuffix(c.Endpoint, "/")+"/storage/v1/"))
	}
	client, err := storage.NewClient(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("set up the client of Google Cloud Storage: %w", err)
	}
	raw, err := rawstorage.NewService(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("set up the client of Google Cloud Storage: %w", err)
	}
	where := c.Endpoint
	if where == "" {
		where = "Google Cloud Storage"
	}
	return object.New(object.Config{
		Store: &store{bucket: client.Bucket(c.Bucket), raw: raw, project: project(c)}, Link: link, Prefix: c.Prefix,
		Name: fmt.Sprintf("bucket %q of %s", c.Bucket, where), PageSize: c.PageSize, MaxParts: maxParts,
	}), nil
}

// project is the one that the credentials are of; emulators take any.
func project(c Config) string {
	if c.Anonymous {
		return "coffer"
	}
	var file struct {
		Project string `json:"project_id"`
	}
	_ = json.Unmarshal(c.CredentialsJSON, &file) // What it is, identity has judged.
	return file.Project
}

const scope = "https://www.googleapis.com/auth/devstorage.read_write"

// sign makes a client that sends a token along.
func sign(c Config, link *object.Link) (*http.Client, error) {
	found, err := identity(c)
	if err != nil {
		return nil, coffer.Errorf(coffer.CodeLocationNotReady, "no identity for bucket %q: %w", c.Bucket, err).
			WithHint("correct the Secret that credentialsSecretRef names; without one, give the extension's pod a workload identity")
	}
	client, err := httptransport.NewClient(&httptransport.Options{Credentials: found, BaseRoundTripper: link})
	if err != nil {
		return nil, fmt.Errorf("set up the client of Google Cloud Storage: %w", err)
	}
	return client, nil
}

func identity(c Config) (*auth.Credentials, error) {
	options := &credentials.DetectOptions{Scopes: []string{scope}}
	if len(c.CredentialsJSON) == 0 {
		return credentials.DetectDefault(options)
	}
	var file struct {
		Type credentials.CredType `json:"type"`
	}
	if err := json.Unmarshal(c.CredentialsJSON, &file); err != nil || file.Type == "" {
		// What is not a key file may still be a secret: it is not quoted.
		return nil, errors.New("the credentials are not JSON of Google's with a type in it")
	}
	return credentials.NewCredentialsFromJSON(file.Type, c.CredentialsJSON, options)
}
