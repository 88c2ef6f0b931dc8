package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/format/encryption"
)

// encryptionFlags are what the command line says of the encryption of a new location.
type encryptionFlags struct {
	secret, identitiesFile string
	recipients             []string
}

func (f *encryptionFlags) bind(flags *pflag.FlagSet) {
	flags.StringVar(&f.secret, "encryption-secret", "", "encrypt with the keys of this Secret (default none, or NAME-encryption for one that is made)")
	flags.StringSliceVar(&f.recipients, "encryption-recipients", nil, "make that Secret, with these public keys of age to encrypt to, each age1...")
	flags.StringVar(&f.identitiesFile, "encryption-identities-file", "", "make that Secret, with the private keys of this file of age-keygen's to decrypt with; backups are encrypted to them if no recipients are given")
}

// given says whether anything is to be encrypted.
func (f *encryptionFlags) given() bool {
	return f.secret != "" || len(f.recipients) > 0 || f.identitiesFile != ""
}

// spec names the Secret.
func (f *encryptionFlags) spec(location string) *v1alpha1.StorageEncryption {
	switch {
	case !f.given():
		return nil
	case f.secret != "":
		return &v1alpha1.StorageEncryption{SecretRef: v1alpha1.SecretReference{Name: f.secret}}
	}
	return &v1alpha1.StorageEncryption{SecretRef: v1alpha1.SecretReference{Name: location + "-encryption"}}
}

// keys are the data of a Secret to be made; nil for none. Private keys come from a file: arguments are seen by everybody on
// the machine, and kept in histories.
func (f *encryptionFlags) keys(location string, readOnly bool) (map[string][]byte, error) {
	data := map[string][]byte{}
	recipients := f.recipients
	if f.identitiesFile != "" {
		file, err := os.ReadFile(f.identitiesFile)
		if err != nil {
			return nil, fmt.Errorf("--encryption-identities-file: %w", err)
		}
		public, err := encryption.PublicKeys(file)
		if err != nil {
			return nil, usageError{fmt.Errorf("--encryption-identities-file %s: %w", f.identitiesFile, err)}
		}
		data[encryption.FieldIdentities] = file
		if len(recipients) == 0 && !readOnly {
			recipients = public
		}
	} else if readOnly && len(recipients) > 0 {
		return nil, usageError{errors.New("nothing is encrypted with --read-only: give the keys to restore with in --encryption-identities-file")}
	}
	if len(recipients) > 0 {
		data[encryption.FieldRecipients] = []byte(strings.Join(recipients, "\n") + "\n")
	}
	if len(data) == 0 {
		return nil, nil
	}
	if _, err := encryption.Parse(f.spec(location).SecretRef.Name, data); err != nil {
		return nil, usageError{err}
	}
	return data, nil
}

// createEncrypted makes the location, and before it the Secret with keys if there are any. That Secret does not go with the
// location: what was encrypted to its keys would be lost.
func (p *program) createEncrypted(ctx context.Context, name string, spec v1alpha1.BackupStorageLocationSpec, credentials, keys map[string][]byte, f storageFlags) error {
	if keys == nil {
		return p.createStorage(ctx, name, spec, credentials, f)
	}
	c, err := p.client()
	if err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: spec.Encryption.SecretRef.Name}, Data: keys}
	if err := c.Create(ctx, secret); apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("a Secret %s exists already; use it with --encryption-secret %s and without making one, or choose another name for the new one with --encryption-secret", secret.Name, secret.Name)
	} else if err != nil {
		return fmt.Errorf("create Secret %s: %w", secret.Name, err)
	}
	err = p.createStorage(ctx, name, spec, credentials, f)
	if err != nil && !errors.Is(err, errShown) && !p.storageExists(ctx, name, secret.Name) {
		err = errors.Join(err, c.Delete(context.WithoutCancel(ctx), secret))
	}
	return err
}

// storageExists says whether there is a location that names a Secret with keys, or whether that cannot be known.
func (p *program) storageExists(ctx context.Context, name, secret string) bool {
	c, err := p.client()
	if err != nil {
		return true
	}
	var l v1alpha1.BackupStorageLocation
	err = c.Get(context.WithoutCancel(ctx), p.key(name), &l)
	if apierrors.IsNotFound(err) {
		return false
	}
	return err != nil || l.Spec.Encryption != nil && l.Spec.Encryption.SecretRef.Name == secret
}

// encryptionFields say with which keys a location encrypts and decrypts.
func encryptionFields(l *v1alpha1.BackupStorageLocation) []field {
	if l.Spec.Encryption == nil {
		return []field{{"Encryption", "none"}}
	}
	fields := []field{{"Encryption", "age, with the keys of Secret " + l.Spec.Encryption.SecretRef.Name}}
	if s := l.Status.Encryption; s != nil {
		fields = append(fields, field{"Encrypts to", keysText(s.Recipients)}, field{"Decrypts for", keysText(s.Readers)})
	}
	return fields
}

// keysText are public keys for a person; post-quantum ones have two thousand characters.
func keysText(keys []string) string {
	texts := make([]string, 0, len(keys))
	for _, k := range keys {
		texts = append(texts, shorten(k, 70))
	}
	return strings.Join(texts, ", ")
}
