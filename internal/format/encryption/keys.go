package encryption

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// The fields of a Secret with keys. Each holds one key a line; empty lines and those that begin with # are passed over, so
// that files of age-keygen can be taken as they are.
const (
	// FieldRecipients are public keys, age1… or age1pq1…, to which is encrypted.
	FieldRecipients = "recipients"
	// FieldIdentities are private keys, AGE-SECRET-KEY-…, with which is decrypted.
	FieldIdentities = "identities"
)

// maxKeys bounds the keys of one field, and by that the header of what is encrypted to them.
const maxKeys = 20

var (
	errNotPublic  = errors.New("this is not a public key of age")
	errNotPrivate = errors.New("this is not a private key of age")
	errTooMany    = fmt.Errorf("there are more than %d keys", maxKeys)
)

// Keys encrypt and decrypt. The zero value can do neither. Its methods may be called concurrently.
type Keys struct {
	recipients []age.Recipient
	identities []age.Identity
	// The public keys as text, in the order of the Secret.
	recipientTexts, readerTexts []string
}

// Parse reads the keys of a Secret's data: either field may be missing, but not both. What cannot be used is an Error with
// CodeEncryptionKeysUnusable that names the Secret, field and line, and shows no key.
func Parse(secret string, data map[string][]byte) (Keys, error) {
	var k Keys
	unusable := func(format string, args ...any) error {
		return coffer.Errorf(coffer.CodeEncryptionKeysUnusable, "Secret %s, which encryption.secretRef names: %s", secret, fmt.Sprintf(format, args...)).
			WithHint("put public keys (age1…) under %s and private ones (AGE-SECRET-KEY-…) under %s, one a line; `age-keygen` makes them", FieldRecipients, FieldIdentities)
	}
	if err := eachLine(data[FieldRecipients], k.addRecipient); err != nil {
		return Keys{}, unusable("%s, %v", FieldRecipients, err)
	}
	if err := eachLine(data[FieldIdentities], k.addIdentity); err != nil {
		return Keys{}, unusable("%s, %v", FieldIdentities, err)
	}
	if len(k.recipients)+len(k.identities) == 0 {
		return Keys{}, unusable("it has neither %s nor %s", FieldRecipients, FieldIdentities)
	}
	if len(k.recipients) > 0 {
		// Some kinds of recipients do not go together, and it is age that knows which.
		if _, err := age.Encrypt(io.Discard, k.recipients...); err != nil {
			return Keys{}, unusable("%s: %v", FieldRecipients, err)
		}
	}
	return k, nil
}

// eachLine calls do for each key of a file.
func eachLine(file []byte, do func(line string) error) error {
	for i, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := do(line); err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return nil
}

// addRecipient takes one line. Its errors never show the line: it may be a private key in the wrong place.
func (k *Keys) addRecipient(line string) error {
	if strings.HasPrefix(strings.ToUpper(line), "AGE-SECRET-KEY-") {
		return errors.New("this is a private key; it belongs under " + FieldIdentities)
	}
	var recipient age.Recipient
	var text string
	if strings.HasPrefix(line, "age1pq1") {
		r, err := age.ParseHybridRecipient(line)
		if err != nil {
			return errNotPublic
		}
		recipient, text = r, r.String()
	} else {
		r, err := age.ParseX25519Recipient(line)
		if err != nil {
			return errNotPublic
		}
		recipient, text = r, r.String()
	}
	if slices.Contains(k.recipientTexts, text) {
		return nil
	}
	if len(k.recipients) == maxKeys {
		return errTooMany
	}
	k.recipients, k.recipientTexts = append(k.recipients, recipient), append(k.recipientTexts, text)
	return nil
}

// addIdentity takes one line. Its errors never show anything of it.
func (k *Keys) addIdentity(line string) error {
	var public string
	var identity age.Identity
	if strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1") {
		i, err := age.ParseHybridIdentity(line)
		if err != nil {
			return errNotPrivate
		}
		identity, public = i, i.Recipient().String()
	} else {
		i, err := age.ParseX25519Identity(line)
		if err != nil {
			return errNotPrivate
		}
		identity, public = i, i.Recipient().String()
	}
	if len(k.identities) == maxKeys {
		return errTooMany
	}
	k.identities, k.readerTexts = append(k.identities, identity), append(k.readerTexts, public)
	return nil
}

// Recipients are the public keys to which Encrypt encrypts.
func (k Keys) Recipients() []string { return slices.Clone(k.recipientTexts) }

// Readers are the public halves of the identities: what was encrypted to one of them can be decrypted.
func (k Keys) Readers() []string { return slices.Clone(k.readerTexts) }

// Encrypt is a writer of what w then gets encrypted. It is closed by the caller, without which the last bytes are missing.
// Without recipients nothing can be encrypted, and it is an error.
func (k Keys) Encrypt(w io.Writer) (io.WriteCloser, error) {
	if len(k.recipients) == 0 {
		return nil, errors.New("there is nobody to encrypt to")
	}
	sealed, err := age.Encrypt(w, k.recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return sealed, nil
}

// PublicKeys are the public halves of the private keys in a file of age-keygen's, for those who give only that.
func PublicKeys(identities []byte) ([]string, error) {
	var k Keys
	if err := eachLine(identities, k.addIdentity); err != nil {
		return nil, err
	}
	if len(k.readerTexts) == 0 {
		return nil, errors.New("there is no private key in it")
	}
	return k.readerTexts, nil
}
