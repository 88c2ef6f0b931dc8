package flow

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/encryption"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

const (
	// spanGap is how many bytes that nobody needs are read rather than asked around, and spanSize how many are read at once
	// at most: parallelMembers spans are held.
	spanGap  = 128 << 10
	spanSize = 2 << 20
)

// readBlob gives a blob to read, decrypted if need be, then reads what read left over, and compares size and SHA-256 with the
// manifest's. An error of read that another digest explains is reported as that. A nil read compares only.
func (p *point) readBlob(ctx context.Context, want coffer.BlobDigest, read func(io.Reader) error) error {
	blob, err := p.location.Container.Get(ctx, want.Key, 0, -1)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return p.refuse(want.Key, "it is missing")
	}
	if err != nil {
		return err
	}
	defer func() { _ = blob.Close() }()
	return p.readFrom(blob, want, read)
}

// readFrom is readBlob of a blob that is being read.
func (p *point) readFrom(blob io.Reader, want coffer.BlobDigest, read func(io.Reader) error) error {
	in, sum, size := &source{r: blob}, sha256.New(), int64(0)
	counted := io.TeeReader(in, io.MultiWriter(sum, countWriter(func(n int) { size += int64(n) })))
	var readErr error
	if read != nil {
		readErr = p.decrypted(want, read)(bufio.NewReaderSize(counted, 256<<10))
	}
	if in.err != nil {
		// Whatever was made of it: the store may go on after it, and the blob is as good as it was.
		return fmt.Errorf("read %s: %w", want.Key, in.err)
	}
	if readErr != nil && !coffer.Final(readErr) {
		return readErr
	}
	// One byte more says that it is too long; how much too long is of no interest.
	if _, err := io.Copy(io.Discard, io.LimitReader(counted, want.Size-size+1)); err != nil {
		return fmt.Errorf("read %s: %w", want.Key, err)
	}
	switch {
	case size > want.Size:
		return p.refuse(want.Key, fmt.Sprintf("it has more than the %d bytes that the manifest says", want.Size))
	case size < want.Size:
		return p.refuse(want.Key, fmt.Sprintf("it has %d bytes, and the manifest says %d", size, want.Size))
	case hexSum(sum) != want.SHA256:
		return p.refuse(want.Key, "it does not have the SHA-256 that the manifest says: it was altered")
	}
	return readErr
}

func (p *point) refuse(key, why string) error {
	return coffer.Errorf(coffer.CodeArchiveCorrupt, "recovery point %s is refused%s: %s: %s", p.name, p.consequence, key, why).
		WithHint("restore another recovery point, or bring this one back from a copy of the blob container")
}

type countWriter func(int)

// Write implements io.Writer.
func (c countWriter) Write(b []byte) (int, error) {
	c(len(b))
	return len(b), nil
}

// decrypted is read for a blob that may be encrypted.
func (p *point) decrypted(blob coffer.BlobDigest, read func(io.Reader) error) func(io.Reader) error {
	if !blob.Encrypted {
		return read
	}
	return func(in io.Reader) error {
		plain, err := p.keys.Decrypt(in)
		if err != nil {
			return p.undecryptable(blob.Key, err)
		}
		return read(plain)
	}
}

// readKeys reads the keys of the location if the recovery point is encrypted, and refuses it if none of them fits.
func (p *point) readKeys(ctx context.Context) error {
	if p.manifest.Encryption == nil {
		return nil
	}
	if p.location.KeysFunc == nil {
		return p.noKey(fmt.Sprintf("BackupStorageLocation %s names no Secret with keys", p.location.Name))
	}
	keys, err := p.location.KeysFunc(ctx)
	if err != nil {
		return err
	}
	readers := keys.Readers()
	if !slices.ContainsFunc(p.manifest.Encryption.Recipients, func(to string) bool { return slices.Contains(readers, to) }) {
		return p.noKey(fmt.Sprintf("the Secret of BackupStorageLocation %s has %s", p.location.Name, identitiesText(readers)))
	}
	p.keys = keys
	return nil
}

func identitiesText(readers []string) string {
	if len(readers) == 0 {
		return "no identities"
	}
	return "identities of " + keysText(readers) + " only"
}

// noKey says to whom the recovery point is encrypted, and what to do.
func (p *point) noKey(why string) error {
	return coffer.Errorf(coffer.CodeDecryptionKeyMissing, "recovery point %s is encrypted to %s, and %s", p.name, keysText(p.manifest.Encryption.Recipients), why).
		WithHint("put the private key of one of them under %q into a Secret of namespace %s, and name it in encryption.secretRef of BackupStorageLocation %s",
			encryption.FieldIdentities, p.namespace, p.location.Name)
}

// undecryptable explains why a blob was not decrypted.
func (p *point) undecryptable(key string, err error) error {
	switch {
	case errors.Is(err, encryption.ErrNoIdentity):
		// The manifest says that an identity fits.
		return p.refuse(key, "it is not encrypted to any of those that the manifest says")
	case coffer.CodeOf(err) == coffer.CodeArchiveCorrupt:
		return p.refuse(key, err.Error())
	}
	return err
}

// keysText are public keys for a person; post-quantum ones have two thousand characters.
func keysText(keys []string) string {
	const shown = 70
	var texts []string
	for _, k := range keys {
		if len(k) > shown {
			k = k[:shown] + "…"
		}
		texts = append(texts, k)
	}
	return strings.Join(texts, ", ")
}

// eachMember reads the members of the archive that hold a wanted entry, several at a time and adjacent ones at once, and calls
// each for their objects, of which some need not be wanted, with their positions in the index. What differs from the index is
// refused. each may be called concurrently.
func (p *point) eachMember(ctx context.Context, wanted func(i int) bool, each func(i int, o archive.Object) error) error {
	spans := archive.Spans(p.index.Members(wanted), spanGap, spanSize)
	reads, ctx := newGroup(ctx, parallelMembers)
	for _, span := range spans {
		reads.Go(func() error {
			data, err := p.readRange(ctx, span.Offset, span.Length)
			if err != nil {
				return err
			}
			for _, m := range span.Members {
				i := m.First
				err := archive.ReadMember(span.Of(m, data), m.Entries, func(o archive.Object) error {
					i++
					return each(i-1, o)
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return reads.Wait()
}

// readRange reads a part of the archive, as its index counts.
func (p *point) readRange(ctx context.Context, offset, length int64) ([]byte, error) {
	fetch := p.fetchArchive(ctx)
	if p.random == nil {
		return fetch(offset, length)
	}
	part, err := p.random.Read(offset, length, fetch)
	if err != nil {
		return nil, p.undecryptable(p.layout.Archive(), err)
	}
	return part, nil
}

// openArchive prepares to read parts of the archive.
func (p *point) openArchive(ctx context.Context) error {
	archived, _ := recoverypoint.Blob(p.manifest, p.layout.Archive())
	if !archived.Encrypted || p.random != nil {
		return nil
	}
	random, err := p.keys.Open(archived.Size, p.fetchArchive(ctx))
	if err != nil {
		return p.undecryptable(archived.Key, err)
	}
	p.random = random
	return nil
}

// fetchArchive reads parts of the archive's blob.
func (p *point) fetchArchive(ctx context.Context) encryption.FetchFunc {
	return p.fetch(ctx, p.layout.Archive())
}

// fetch reads parts of a blob.
func (p *point) fetch(ctx context.Context, key string) encryption.FetchFunc {
	return func(offset, length int64) ([]byte, error) {
		in, err := p.location.Container.Get(ctx, key, offset, length)
		if errors.Is(err, coffer.ErrBlobNotFound) {
			return nil, p.refuse(key, "it is missing")
		}
		if err != nil {
			return nil, err
		}
		body := make([]byte, length)
		n, err := io.ReadFull(in, body)
		closeErr := in.Close()
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil, p.refuse(key, fmt.Sprintf("it ends at byte %d", offset+int64(n)))
		case err != nil || closeErr != nil:
			return nil, fmt.Errorf("read %s: %w", key, errors.Join(err, closeErr))
		}
		return body, nil
	}
}
