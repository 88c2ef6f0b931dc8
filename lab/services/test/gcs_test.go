//go:build lab

package test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
)

func TestGCSKeepsWhatIsPutOnce(t *testing.T) {
	eachWay(t, "GCS", func(t *testing.T, url string) {
		t.Setenv("STORAGE_EMULATOR_HOST", url)
		client, err := storage.NewClient(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		bucket := client.Bucket(newBucketName())
		if err := bucket.Create(t.Context(), "project", nil); err != nil {
			t.Fatal(err)
		}
		object := bucket.Object(key)
		put := func(chunk int) error {
			writer := object.If(storage.Conditions{DoesNotExist: true}).NewWriter(t.Context())
			// Smaller than the content: the upload is resumed for each.
			writer.ChunkSize = chunk
			if _, err := writer.Write(content()); err != nil {
				return errors.Join(err, writer.Close())
			}
			return writer.Close()
		}
		if err := put(1 << 20); err != nil {
			t.Fatal(err)
		}
		var refused *googleapi.Error
		if err := put(0); !errors.As(err, &refused) || refused.Code != http.StatusPreconditionFailed {
			t.Errorf("put over it: %v", err)
		}
		reader, err := object.NewRangeReader(t.Context(), 16, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		if read, err := io.ReadAll(reader); err != nil || !bytes.Equal(read, content()[16:]) {
			t.Errorf("read %d bytes (%v)", len(read), err)
		}
		listed, err := bucket.Objects(t.Context(), nil).Next()
		if err != nil || listed.Name != key {
			t.Errorf("listed %+v (%v)", listed, err)
		}
	})
}
