// Package location opens the blob container that a BackupStorageLocation names.
package location

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/azure"
	"github.com/coffer-backup/coffer/internal/outbound/blob/filesystem"
	"github.com/coffer-backup/coffer/internal/outbound/blob/gcs"
	"github.com/coffer-backup/coffer/internal/outbound/blob/s3"
)

// Opener opens containers.
type Opener struct {
	// FilesystemRoot is the folder below which filesystem locations have theirs.
	FilesystemRoot string
	// SecretFunc reads the Secret of a name in the extension's namespace. It is asked at each opening, so that rotated
	// credentials are used from the next run or check on.
	SecretFunc func(ctx context.Context, name string) (map[string][]byte, error)
}

// Open opens the container of a location. The caller calls the returned function when it is done with it.
func (o Opener) Open(ctx context.Context, spec v1alpha1.BackupStorageLocationSpec) (coffer.Container, func(), error) {
	var k secret
	if spec.CredentialsSecretRef != nil {
		data, err := o.SecretFunc(ctx, spec.CredentialsSecretRef.Name)
		if err != nil {
			return nil, nil, err
		}
		k = secret{name: spec.CredentialsSecretRef.Name, data: data}
	}
	switch spec.Provider {
	case v1alpha1.ProviderFilesystem:
		c, err := filesystem.Open(o.FilesystemRoot, spec.Container)
		if err != nil {
			return nil, nil, err
		}
		return c, func() { _ = c.Close() }, nil
	case v1alpha1.ProviderAzure:
		return openAzure(spec, k)
	case v1alpha1.ProviderS3:
		return openS3(ctx, spec, k)
	case v1alpha1.ProviderGCS:
		return openGCS(ctx, spec, k)
	}
	return nil, nil, coffer.Errorf(coffer.CodeInvalid, "provider %q is not known", spec.Provider).WithHint("use filesystem, azure, s3 or gcs")
}

func openAzure(spec v1alpha1.BackupStorageLocationSpec, k secret) (coffer.Container, func(), error) {
	if spec.Azure == nil {
		return nil, nil, coffer.Errorf(coffer.CodeInvalid, "provider azure needs azure.storageAccount")
	}
	credentials, err := azureCredentials(k)
	if err != nil {
		return nil, nil, err
	}
	c, err := azure.Open(azure.Config{
		Account: spec.Azure.StorageAccount, Container: spec.Container, Prefix: spec.Prefix,
		Endpoint: spec.Azure.Endpoint, CACert: spec.Azure.CACert, Credentials: credentials,
	})
	if err != nil {
		return nil, nil, err
	}
	return c, c.Close, nil
}

func azureCredentials(k secret) (azure.Credentials, error) {
	switch {
	case k.name == "":
		return azure.Credentials{}, nil
	case k.get(v1alpha1.SecretKeyAccountKey) != "":
		return azure.Credentials{AccountKey: k.get(v1alpha1.SecretKeyAccountKey)}, nil
	case k.get(v1alpha1.SecretKeySASToken) != "":
		return azure.Credentials{SASToken: k.get(v1alpha1.SecretKeySASToken)}, nil
	case k.get(v1alpha1.SecretKeyClientID) != "", k.get(v1alpha1.SecretKeyClientSecret) != "", k.get(v1alpha1.SecretKeyTenantID) != "":
		return azure.Credentials{
			TenantID: k.get(v1alpha1.SecretKeyTenantID), ClientID: k.get(v1alpha1.SecretKeyClientID), ClientSecret: k.get(v1alpha1.SecretKeyClientSecret),
		}, k.need(v1alpha1.SecretKeyTenantID, v1alpha1.SecretKeyClientID, v1alpha1.SecretKeyClientSecret)
	}
	return azure.Credentials{}, k.lacks(fmt.Sprintf("%s, or %s, or %s with %s and %s", v1alpha1.SecretKeyAccountKey, v1alpha1.SecretKeySASToken,
		v1alpha1.SecretKeyTenantID, v1alpha1.SecretKeyClientID, v1alpha1.SecretKeyClientSecret))
}

func openS3(ctx context.Context, spec v1alpha1.BackupStorageLocationSpec, k secret) (coffer.Container, func(), error) {
	settings := v1alpha1.S3Storage{}
	if spec.S3 != nil {
		settings = *spec.S3
	}
	if k.name != "" {
		if err := k.need(v1alpha1.SecretKeyAccessKeyID, v1alpha1.SecretKeySecretAccessKey); err != nil {
			return nil, nil, err
		}
	}
	c, err := s3.Open(ctx, s3.Config{
		Bucket: spec.Container, Prefix: spec.Prefix, Region: settings.Region, Endpoint: settings.Endpoint,
		ForcePathStyle: settings.ForcePathStyle, CACert: settings.CACert,
		Credentials: s3.Credentials{
			AccessKeyID: k.get(v1alpha1.SecretKeyAccessKeyID), SecretAccessKey: k.get(v1alpha1.SecretKeySecretAccessKey),
			SessionToken: k.get(v1alpha1.SecretKeySessionToken),
		},
	})
	if err != nil {
		return nil, nil, err
	}
	return c, c.Close, nil
}

func openGCS(ctx context.Context, spec v1alpha1.BackupStorageLocationSpec, k secret) (coffer.Container, func(), error) {
	settings := v1alpha1.GCSStorage{}
	if spec.GCS != nil {
		settings = *spec.GCS
	}
	if k.name != "" {
		if err := k.need(v1alpha1.SecretKeyCredentialsJSON); err != nil {
			return nil, nil, err
		}
	}
	c, err := gcs.Open(ctx, gcs.Config{
		Bucket: spec.Container, Prefix: spec.Prefix, Endpoint: settings.Endpoint, CACert: settings.CACert,
		CredentialsJSON: k.data[v1alpha1.SecretKeyCredentialsJSON], Anonymous: settings.Anonymous,
	})
	if err != nil {
		return nil, nil, err
	}
	return c, c.Close, nil
}

// secret is the Secret of a location; without a name there is none.
type secret struct {
	name string
	data map[string][]byte
}

// get is a value without the white space around it, which files have at their ends and no credential has.
func (s secret) get(key string) string { return strings.TrimSpace(string(s.data[key])) }

// need is an error unless the Secret has all of these keys.
func (s secret) need(keys ...string) error {
	missing := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return s.get(key) != "" })
	if len(missing) == 0 {
		return nil
	}
	return s.lacks(strings.Join(missing, " and "))
}

func (s secret) lacks(what string) error {
	return coffer.Errorf(coffer.CodeLocationNotReady, "Secret %s, which credentialsSecretRef names, has no %s", s.name, what).
		WithHint("add it with the value from the store")
}
