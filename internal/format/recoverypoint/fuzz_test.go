package recoverypoint

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// FuzzDecodeManifest: a manifest that is taken names blobs of its recovery point only, and can be written again.
func FuzzDecodeManifest(f *testing.F) {
	good, _, err := EncodeManifest(newManifest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, text := range []string{"", "{}", "null", "[[[[", `{"formatVersion":1,"name":"shop-1","blobs":[{"key":"backups/shop-1/../x"}]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, digest, err := DecodeManifest("shop-1", data)
		if err != nil {
			if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
				t.Errorf("DecodeManifest = %v", err)
			}
			return
		}
		for _, b := range m.Blobs {
			if !strings.HasPrefix(b.Key, "backups/shop-1/") || coffer.CheckBlobKey(b.Key) != nil || b.Size < 0 {
				t.Errorf("DecodeManifest let %+v through", b)
			}
		}
		again, _, err := EncodeManifest(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := DecodeManifest("shop-1", again); err != nil || digest == "" {
			t.Errorf("what was read is not readable: %v", err)
		}
	})
}

// FuzzReadCoverage: a coverage is read or refused.
func FuzzReadCoverage(f *testing.F) {
	f.Add([]byte(`{"captured":{"pods":1},"namespaces":["a"],"gaps":[{"what":"x","reason":"y"}],"volumes":[{"result":"Captured"}]}`))
	f.Add([]byte(`{"captured":{"pods":"many"}}`))
	f.Add([]byte("[[[["))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := ReadCoverage(bytes.NewReader(zipped(t, bytes.NewReader(text)))); err != nil && coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("ReadCoverage = %v", err)
		}
		if _, err := ReadCoverage(bytes.NewReader(text)); err != nil && coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("ReadCoverage = %v", err)
		}
	})
}

// FuzzVerify: no signature is taken but the signer's own.
func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"signer":"ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","signature":""}`))
	f.Add([]byte("{}"))
	f.Add([]byte("[[[["))
	f.Fuzz(func(t *testing.T, blob []byte) {
		_, signer := newKey(t, 1)
		if who, err := Verify("shop-1", []byte("{}"), blob, []string{signer}); err == nil {
			t.Errorf("%s has signed with %q", who, blob)
		}
	})
}

func zipped(t testing.TB, r io.Reader) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
