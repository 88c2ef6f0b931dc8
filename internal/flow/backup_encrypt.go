package flow

import (
	"context"
	"errors"
	"io"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/encryption"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// readKeys reads the keys of the location if what is written there is to be encrypted. From here on the run writes nothing
// but encrypted blobs, or nothing at all.
func (b *backup) readKeys(ctx context.Context) error {
	if b.location.KeysFunc == nil {
		if len(b.object.Status.EncryptedTo) > 0 {
			return coffer.Errorf(coffer.CodeEncryptionKeysUnusable,
				"BackupStorageLocation %s lost its encryption while the backup was being made, and it is not written without", b.location.Name).
				WithHint("make another backup, or set encryption.secretRef again before")
		}
		return nil
	}
	keys, err := b.location.KeysFunc(ctx)
	if err != nil {
		return err
	}
	if len(keys.Recipients()) == 0 {
		return NoRecipients(b.location.Name)
	}
	b.keys, b.layout = &keys, b.layout.Encrypted()
	b.update(func() { b.object.Status.EncryptedTo = keys.Recipients() })
	return nil
}

// NoRecipients is the error of a location that is to be encrypted, and whose Secret says to nobody.
func NoRecipients(location string) error {
	return coffer.Errorf(coffer.CodeEncryptionKeysUnusable, "the Secret of encryption.secretRef of BackupStorageLocation %s has no %s to encrypt to", location, encryption.FieldRecipients).
		WithHint("put public keys (age1…) there, one a line, or set readOnly if it is only restored from")
}

// put streams what write writes into a blob of the recovery point, encrypted if the location says so.
func (b *backup) put(ctx context.Context, key string, write func(io.Writer) error) (coffer.BlobDigest, error) {
	if b.location.KeysFunc == nil {
		return put(ctx, b.location.Container, key, write)
	}
	if b.keys == nil {
		return coffer.BlobDigest{}, errors.New("the keys to encrypt with have not been read")
	}
	digest, err := put(ctx, b.location.Container, key, func(w io.Writer) error {
		sealed, err := b.keys.Encrypt(w)
		if err != nil {
			return err
		}
		if err := write(sealed); err != nil {
			return err
		}
		return sealed.Close()
	})
	digest.Encrypted = true
	return digest, err
}

// encryption is what the manifest says of it, and in which format.
func (b *backup) encryption() (formatVersion int, e *coffer.Encryption) {
	if b.keys == nil {
		return recoverypoint.ManifestFormat, nil
	}
	return recoverypoint.EncryptedFormat, &coffer.Encryption{Format: recoverypoint.EncryptionFormat, Recipients: b.keys.Recipients()}
}
