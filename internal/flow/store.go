package flow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// put streams what write writes into a blob, and tells its digest.
func put(ctx context.Context, c coffer.Container, key string, write func(io.Writer) error) (coffer.BlobDigest, error) {
	reader, writer := io.Pipe()
	sum := sha256.New()
	written := make(chan error, 1)
	go func() {
		err := write(io.MultiWriter(writer, sum))
		written <- err
		writer.CloseWithError(err)
	}()
	size, err := c.Put(ctx, key, reader)
	// If the store stopped reading first, this is what lets the writer end.
	reader.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	if writeErr := <-written; err == nil {
		err = writeErr
	}
	return coffer.BlobDigest{Key: key, Size: size, SHA256: hexSum(sum)}, err
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

func putJSON(ctx context.Context, c coffer.Container, key string, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	_, err = c.Put(ctx, key, bytes.NewReader(body))
	return err
}

// getJSON reads a small blob.
func getJSON(ctx context.Context, c coffer.Container, key string, value any) error {
	body, err := getAll(ctx, c, key, 1<<20)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, value); err != nil {
		return coffer.Errorf(coffer.CodeArchiveCorrupt, "%s is not readable: %w", key, err)
	}
	return nil
}

// getAll reads a whole blob of at most limit bytes.
func getAll(ctx context.Context, c coffer.Container, key string, limit int64) ([]byte, error) {
	r, err := c.Get(ctx, key, 0, limit+1)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if int64(len(body)) > limit {
		return nil, coffer.Errorf(coffer.CodeArchiveCorrupt, "%s has more than %d bytes", key, limit)
	}
	return body, nil
}

// readManifest reads the manifest of a recovery point, and its digest. One that no trusted signer has signed is refused.
func readManifest(ctx context.Context, at Location, name string) (coffer.Manifest, string, error) {
	layout := recoverypoint.LayoutOf(name)
	body, err := getAll(ctx, at.Container, layout.Manifest(), recoverypoint.MaxManifestSize)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return coffer.Manifest{}, "", coffer.Errorf(coffer.CodeBackupNotFound, "there is no recovery point named %q", name).
			WithHint("see `coffer backup list`")
	}
	if err != nil {
		return coffer.Manifest{}, "", err
	}
	signature, err := getAll(ctx, at.Container, layout.Signature(), recoverypoint.MaxSignatureSize)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return coffer.Manifest{}, "", coffer.Errorf(coffer.CodeSignerNotTrusted, "recovery point %s is not signed: %s is missing", name, layout.Signature()).
			WithHint("bring the blob back from a copy of the container, or restore another recovery point")
	}
	if err != nil {
		return coffer.Manifest{}, "", err
	}
	signer, err := recoverypoint.Verify(name, body, signature, at.TrustedSigners)
	var untrusted *coffer.Error
	if errors.As(err, &untrusted) && untrusted.Code == coffer.CodeSignerNotTrusted {
		return coffer.Manifest{}, "", untrusted.WithHint("if you know the cluster that has made it: `coffer storage-location trust %s %s`", at.Name, signer)
	}
	if err != nil {
		return coffer.Manifest{}, "", err
	}
	return recoverypoint.DecodeManifest(name, body)
}

// removeAll deletes all blobs of a prefix, and the one with the key last after all others.
func removeAll(ctx context.Context, c coffer.Container, prefix, last string) error {
	for info, err := range c.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if info.Key == last {
			continue
		}
		if err := c.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	return c.Delete(ctx, last)
}
