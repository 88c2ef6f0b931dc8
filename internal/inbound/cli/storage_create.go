package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// storageFlags are what the command line says of a new location.
type storageFlags struct {
	provider, container, prefix, secret string
	readOnly                            bool
	trusted                             []string
	account, endpoint, region, caFile   string
	pathStyle, anonymous                bool
	credentialsFile                     string
	credentialsEnv, wait                bool
	timeout                             time.Duration
	encryption                          encryptionFlags
}

func (p *program) newStorageCreate() *cobra.Command {
	var f storageFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Tell the Backup extension of a blob container to keep recovery points in",
		Example: `  coffer storage-location create vault --provider azure --storage-account prodbackups --container aks-prod --wait
  coffer storage-location create vault --provider s3 --container backups --region eu-central-1 --credentials-env --wait
  coffer storage-location create minio --provider s3 --container backups --endpoint https://minio:9000 --force-path-style --credentials-file keys.env
  coffer storage-location create old --provider gcs --container backups --credentials-file key.json --read-only --wait
  coffer storage-location create vault --provider s3 --container backups --encryption-recipients age1… --wait
  coffer storage-location create vault --provider s3 --container backups --read-only --encryption-identities-file keys.txt --wait`,
		Args: oneName("storage location"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			spec, err := f.spec()
			if err != nil {
				return err
			}
			data, err := f.credentials()
			if err != nil {
				return err
			}
			keys, err := f.encryption.keys(args[0], f.readOnly)
			if err != nil {
				return err
			}
			spec.Encryption = f.encryption.spec(args[0])
			return p.createEncrypted(cmd.Context(), args[0], spec, data, keys, f)
		},
	}
	flags := cmd.Flags()
	f.bind(flags)
	f.encryption.bind(flags)
	flags.BoolVar(&f.readOnly, "read-only", false, "only restore from it")
	flags.StringSliceVar(&f.trusted, "trusted-signers", nil, "signers of other clusters whose recovery points are believed, each ed25519:...")
	return cmd
}

// bind binds the flags by which any location is named and checked.
func (f *storageFlags) bind(flags *pflag.FlagSet) {
	f.bindStore(flags)
	flags.BoolVar(&f.wait, "wait", false, "wait for the first check and show what it found")
	flags.DurationVar(&f.timeout, "timeout", 3*time.Minute, "how long to wait for the first check")
}

// bindStore binds the flags by which any location is named.
func (f *storageFlags) bindStore(flags *pflag.FlagSet) {
	flags.StringVar(&f.provider, "provider", "", "kind of store: filesystem, azure, s3 or gcs")
	flags.StringVar(&f.container, "container", "", "the container, bucket or folder")
	flags.StringVar(&f.prefix, "prefix", "", "folder inside of the container (default all of it)")
	flags.StringVar(&f.account, "storage-account", "", "Azure storage account")
	flags.StringVar(&f.region, "region", "", "region of an S3 bucket")
	flags.StringVar(&f.endpoint, "endpoint", "", "URL of the store (default the provider's own)")
	flags.BoolVar(&f.pathStyle, "force-path-style", false, "name an S3 bucket in the path instead of the host")
	flags.BoolVar(&f.anonymous, "anonymous", false, "ask a GCS emulator without credentials")
	flags.StringVar(&f.caFile, "ca-cert", "", "PEM file with what is trusted beside the public authorities")
	flags.StringVar(&f.secret, "credentials-secret", "", "Secret with the credentials (default the extension's own identity, or NAME-credentials for one that is made)")
	flags.StringVar(&f.credentialsFile, "credentials-file", "", "make the Secret of this file: Google's key file, or lines KEY=VALUE with the keys of the Secret")
	flags.BoolVar(&f.credentialsEnv, "credentials-env", false, "make the Secret of the variables that the provider's own tools read")
}

// spec is what the flags say; the API server judges the values.
func (f storageFlags) spec() (v1alpha1.BackupStorageLocationSpec, error) {
	spec := v1alpha1.BackupStorageLocationSpec{
		Provider: v1alpha1.StorageProvider(f.provider), Container: f.container, Prefix: f.prefix, ReadOnly: f.readOnly,
		TrustedSigners: f.trusted,
	}
	for _, signer := range f.trusted {
		if _, err := recoverypoint.ParseSigner(signer); err != nil {
			return spec, usageError{err}
		}
	}
	if err := f.check(); err != nil {
		return spec, usageError{err}
	}
	if f.secret != "" {
		spec.CredentialsSecretRef = &v1alpha1.SecretReference{Name: f.secret}
	}
	var authority string
	if f.caFile != "" {
		pem, err := os.ReadFile(f.caFile)
		if err != nil {
			return spec, fmt.Errorf("--ca-cert: %w", err)
		}
		authority = string(pem)
	}
	switch spec.Provider {
	case v1alpha1.ProviderAzure:
		spec.Azure = &v1alpha1.AzureStorage{StorageAccount: f.account, Endpoint: f.endpoint, CACert: authority}
	case v1alpha1.ProviderS3:
		spec.S3 = &v1alpha1.S3Storage{Region: f.region, Endpoint: f.endpoint, ForcePathStyle: f.pathStyle, CACert: authority}
	case v1alpha1.ProviderGCS:
		spec.GCS = &v1alpha1.GCSStorage{Endpoint: f.endpoint, Anonymous: f.anonymous, CACert: authority}
	}
	return spec, nil
}

// check refuses flags that are missing, or that contradict each other.
func (f storageFlags) check() error {
	provider := v1alpha1.StorageProvider(f.provider)
	known := []v1alpha1.StorageProvider{v1alpha1.ProviderFilesystem, v1alpha1.ProviderAzure, v1alpha1.ProviderS3, v1alpha1.ProviderGCS}
	switch {
	case f.provider == "":
		return errors.New("say what kind of store it is with --provider filesystem, azure, s3 or gcs")
	case !slices.Contains(known, provider):
		return fmt.Errorf("--provider %q is not known; use filesystem, azure, s3 or gcs", f.provider)
	case f.container == "":
		return errors.New("name the container, bucket or folder with --container")
	case f.credentialsEnv && f.credentialsFile != "":
		return errors.New("give --credentials-env or --credentials-file, not both")
	case provider == v1alpha1.ProviderAzure && f.account == "":
		return errors.New("name the Azure storage account with --storage-account")
	}
	for _, only := range []struct {
		flag     string
		given    bool
		provider v1alpha1.StorageProvider
	}{
		{"--storage-account", f.account != "", v1alpha1.ProviderAzure},
		{"--region", f.region != "", v1alpha1.ProviderS3},
		{"--force-path-style", f.pathStyle, v1alpha1.ProviderS3},
		{"--anonymous", f.anonymous, v1alpha1.ProviderGCS},
	} {
		if only.given && provider != only.provider {
			return fmt.Errorf("%s is for --provider %s", only.flag, only.provider)
		}
	}
	remote := f.endpoint + f.caFile + f.secret + f.credentialsFile + f.prefix
	if provider == v1alpha1.ProviderFilesystem && (remote != "" || f.credentialsEnv) {
		return errors.New("a filesystem has no endpoint, prefix, certificate or credentials")
	}
	return nil
}

// createStorage makes the location, and before it the Secret if there is data for one. The Secret goes with the location.
func (p *program) createStorage(ctx context.Context, name string, spec v1alpha1.BackupStorageLocationSpec, data map[string][]byte, f storageFlags) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	var secret *corev1.Secret
	if len(data) > 0 {
		if spec.CredentialsSecretRef == nil {
			spec.CredentialsSecretRef = &v1alpha1.SecretReference{Name: name + "-credentials"}
		}
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: spec.CredentialsSecretRef.Name}, Data: data}
		if err := c.Create(ctx, secret); apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("a Secret %s exists already; use it with --credentials-secret %s and without making one, or delete it", secret.Name, secret.Name)
		} else if err != nil {
			return fmt.Errorf("create Secret %s: %w", secret.Name, err)
		}
	}
	l := &v1alpha1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}, Spec: spec}
	if err := c.Create(ctx, l); err != nil {
		if secret != nil {
			err = errors.Join(err, c.Delete(context.WithoutCancel(ctx), secret))
		}
		if apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("a storage location named %s exists already; choose another name, or delete it with `coffer storage-location delete %s`", name, name)
		}
		return fmt.Errorf("create storage location %s: %w", name, err)
	}
	if secret != nil {
		before := secret.DeepCopy()
		secret.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(l, v1alpha1.GroupVersion.WithKind("BackupStorageLocation"))}
		if err := c.Patch(ctx, secret, client.MergeFrom(before)); err != nil {
			return fmt.Errorf("bind Secret %s to the storage location: %w", secret.Name, err)
		}
	}
	if f.wait {
		return p.waitForStorage(ctx, c, l, f.timeout, func() bool { return l.Status.ObservedGeneration == l.Generation })
	}
	return p.showStorage(l)
}
