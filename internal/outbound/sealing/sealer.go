// Package sealing encrypts what must not lie in a database as it is, with a key file or a key management service (KMS).
//
// What is sealed is encrypted with a data key, which is wrapped by the first key and kept beside it: services encrypt a few bytes
// only, and are asked once for each data key rather than for each secret.
//
//	version (1 byte) | length of the wrapped data key (2 bytes) | wrapped data key | NaCl secretbox of:
//	length of the purpose (4 bytes) | purpose | plain
package sealing

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	version = 1
	// header is what stands before the wrapped data key.
	header = 3
	// maxPlain bounds what is sealed at once.
	maxPlain = 16 << 20
	// maxUnwrapped bounds the data keys that are remembered. Each start of a server makes one.
	maxUnwrapped = 1000
)

// Config says which keys there are. At least one is needed. The first one seals, all of them open: the services', then the file's.
type Config struct {
	// KeyFile holds one key on each line, 32 random bytes in base64. Lines with # are comments.
	KeyFile string
	// Create makes the file with a new key, for its owner only, if it is missing. Where something is sealed already, a new key
	// opens none of it.
	Create bool
	// Services are URLs of keys of KMS: awskms://, azurekeyvault:// or gcpkms://, as gocloud.dev describes them.
	Services []string
}

// Sealer is a catalogue.Sealer. Everything that it seals has one data key.
type Sealer struct {
	keys []wrapper
	// data seals; wrapped is its key as the first of keys has encrypted it.
	data    *secrets.Keeper
	wrapped []byte

	mu sync.Mutex
	// unwrapped are data keys by how they are wrapped; mu guards it.
	unwrapped map[string]*secrets.Keeper
}

var _ catalogue.Sealer = (*Sealer)(nil)

// wrapper is a key that encrypts data keys.
type wrapper struct {
	keeper *secrets.Keeper
	// service is the kind of KMS, or empty for a key of a file.
	service string
}

// Open reads the keys, and tries the first one. A key file that others may read is refused.
func Open(ctx context.Context, c Config) (*Sealer, error) {
	keys, err := openServices(ctx, c.Services)
	if err != nil {
		return nil, err
	}
	if c.KeyFile != "" {
		found, err := readKeys(c.KeyFile, c.Create)
		if err != nil {
			return nil, errors.Join(err, closeAll(keys))
		}
		for _, key := range found {
			keys = append(keys, wrapper{keeper: localsecrets.NewKeeper(key)})
		}
	}
	s, err := newSealer(ctx, keys)
	if err != nil {
		return nil, errors.Join(err, closeAll(keys))
	}
	return s, nil
}

func newSealer(ctx context.Context, keys []wrapper) (*Sealer, error) {
	if len(keys) == 0 {
		return nil, coffer.Errorf(coffer.CodeInvalid, "there is no key to encrypt secrets with").WithHint("name a key file or a key of a KMS")
	}
	key, err := localsecrets.NewRandomKey()
	if err != nil {
		return nil, fmt.Errorf("make a data key: %w", err)
	}
	wrapped, err := keys[0].keeper.Encrypt(ctx, key[:])
	if err != nil {
		return nil, keys[0].failed("encrypt with", err)
	}
	if len(wrapped) > 1<<16-1 {
		return nil, fmt.Errorf("the data key is wrapped in %d bytes", len(wrapped))
	}
	return &Sealer{keys: keys, data: localsecrets.NewKeeper(key), wrapped: wrapped, unwrapped: map[string]*secrets.Keeper{}}, nil
}

// Close gives up the connections to services.
func (s *Sealer) Close() error { return closeAll(s.keys) }

func closeAll(keys []wrapper) error {
	var failed []error
	for _, key := range keys {
		failed = append(failed, key.keeper.Close())
	}
	return errors.Join(failed...)
}

// Seal encrypts. It asks no service.
func (s *Sealer) Seal(ctx context.Context, purpose string, plain []byte) ([]byte, error) {
	if len(plain)+len(purpose) > maxPlain {
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "a secret of %d bytes is too long: at most %d are possible", len(plain), maxPlain-len(purpose))
	}
	message := binary.BigEndian.AppendUint32(nil, uint32(len(purpose))) //nolint:gosec // it is bounded above
	message = append(append(message, purpose...), plain...)
	box, err := s.data.Encrypt(ctx, message)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	sealed := binary.BigEndian.AppendUint16([]byte{version}, uint16(len(s.wrapped))) //nolint:gosec // see newSealer
	return append(append(sealed, s.wrapped...), box...), nil
}

// Open decrypts what was sealed for the same purpose, with any of the keys. Only a service that does not answer is worth another
// try; its error is transient.
func (s *Sealer) Open(ctx context.Context, purpose string, sealed []byte) ([]byte, error) {
	if len(sealed) < header || sealed[0] != version {
		return nil, errors.New("open a secret: it is not in a form that this coffer-server knows")
	}
	length := int(binary.BigEndian.Uint16(sealed[1:header]))
	if len(sealed) < header+length {
		return nil, errors.New("open a secret: it is cut off")
	}
	data, err := s.unwrap(ctx, sealed[header:header+length])
	if err != nil {
		return nil, err
	}
	message, err := data.Decrypt(ctx, sealed[header+length:])
	if err != nil {
		return nil, errors.New("open a secret: it was changed")
	}
	bound, ok := bytes.CutPrefix(message, binary.BigEndian.AppendUint32(nil, uint32(len(purpose)))) //nolint:gosec // a longer one is not found
	plain, same := bytes.CutPrefix(bound, []byte(purpose))
	if !ok || !same {
		return nil, fmt.Errorf("open a secret: it was not sealed for %q", purpose)
	}
	return plain, nil
}

// unwrap answers what opens with a data key.
func (s *Sealer) unwrap(ctx context.Context, wrapped []byte) (*secrets.Keeper, error) {
	if bytes.Equal(wrapped, s.wrapped) {
		return s.data, nil
	}
	s.mu.Lock()
	known := s.unwrapped[string(wrapped)]
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var away error
	for _, key := range s.keys {
		text, err := key.keeper.Decrypt(ctx, wrapped)
		switch {
		case err == nil && len(text) == 32:
			data := localsecrets.NewKeeper([32]byte(text))
			s.remember(wrapped, data)
			return data, nil
		case err != nil && key.away(err):
			away = errors.Join(away, key.failed("decrypt with", err))
		}
	}
	if away != nil {
		return nil, away
	}
	return nil, errors.New("open a secret: none of the keys opens it: put the key that sealed it back, below the first one of the key file")
}

func (s *Sealer) remember(wrapped []byte, data *secrets.Keeper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unwrapped) >= maxUnwrapped {
		clear(s.unwrapped)
	}
	s.unwrapped[string(wrapped)] = data
}

// away says whether an error does not mean that the key does not fit. A key of a file always answers.
func (w wrapper) away(err error) bool {
	code := gcerrors.Code(err)
	return w.service != "" && code != gcerrors.InvalidArgument && code != gcerrors.NotFound
}

func (w wrapper) failed(doing string, err error) error {
	if w.service == "" {
		return fmt.Errorf("%s a key of the key file: %w", doing, err)
	}
	e := coffer.Errorf(coffer.CodeDatabaseUnavailable, "the key service %s does not %s the key: %w", w.service, doing, err).
		WithHint("see whether it can be reached from here, and whether coffer-server's identity may use the key")
	e.Transient = true
	return e
}
