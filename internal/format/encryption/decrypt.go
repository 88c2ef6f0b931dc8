package encryption

import (
	"errors"
	"io"

	"filippo.io/age"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

// ErrNoIdentity says that none of the keys can decrypt a blob.
var ErrNoIdentity = errors.New("no identity fits")

const (
	// maxHeader bounds what stands before the payload: of maxKeys post-quantum recipients it has 40 KiB.
	maxHeader = 64 << 10
	// unlimited is beyond any blob.
	unlimited = 1 << 62
)

// Decrypt is a reader of what r holds encrypted. If no identity fits, the error is ErrNoIdentity, and anything that age
// would not have written an Error with CodeArchiveCorrupt, also of the reader: what was read before it is authentic.
func (k Keys) Decrypt(r io.Reader) (io.Reader, error) {
	if len(k.identities) == 0 {
		return nil, ErrNoIdentity
	}
	header := &bounded.Reader{R: r, Limit: maxHeader}
	plain, err := age.Decrypt(header, k.identities...)
	if err != nil {
		return nil, explain(err)
	}
	header.Limit = unlimited
	return explained{plain}, nil
}

func explain(err error) error {
	var nobody *age.NoIdentityMatchError
	if errors.As(err, &nobody) {
		return ErrNoIdentity
	}
	return coffer.Errorf(coffer.CodeArchiveCorrupt, "it cannot be decrypted: %w", err)
}

// explained is a reader whose errors are explained.
type explained struct{ r io.Reader }

// Read implements io.Reader.
func (e explained) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = explain(err)
	}
	return n, err
}
