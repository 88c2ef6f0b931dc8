package encryption

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func newIdentity(t testing.TB) *age.X25519Identity {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func newHybrid(t testing.TB) *age.HybridIdentity {
	t.Helper()
	i, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func mustParse(t testing.TB, recipients, identities string) Keys {
	t.Helper()
	k, err := Parse("keys", map[string][]byte{FieldRecipients: []byte(recipients), FieldIdentities: []byte(identities)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustEncrypt(t testing.TB, k Keys, plain []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := k.Encrypt(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestTheStockLibraryDecryptsForEveryRecipient(t *testing.T) {
	one, other := newIdentity(t), newIdentity(t)
	k := mustParse(t, "# ours\n"+one.Recipient().String()+"\r\n\n  "+other.Recipient().String()+"\n"+one.Recipient().String(), "")
	if len(k.Recipients()) != 2 || k.Recipients()[0] != one.Recipient().String() || len(k.Readers()) != 0 {
		t.Errorf("recipients %v, readers %v", k.Recipients(), k.Readers())
	}
	data := mustEncrypt(t, k, []byte("hello"))
	if bytes.Contains(data, []byte("hello")) {
		t.Error("it is not encrypted")
	}
	for _, i := range []*age.X25519Identity{one, other} {
		r, err := age.Decrypt(bytes.NewReader(data), i)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != "hello" {
			t.Errorf("decrypted %q, %v", got, err)
		}
	}
}

func TestKeysAreRotatedByHavingSeveral(t *testing.T) {
	old, young, pq := newIdentity(t), newIdentity(t), newHybrid(t)
	before := mustEncrypt(t, mustParse(t, old.Recipient().String(), ""), []byte("before"))
	after := mustEncrypt(t, mustParse(t, young.Recipient().String(), ""), []byte("after"))
	later := mustEncrypt(t, mustParse(t, pq.Recipient().String(), ""), []byte("later"))
	k := mustParse(t, "", "# created: today\n"+young.String()+"\n"+old.String()+"\n"+pq.String()+"\n")
	if got := k.Readers(); len(got) != 3 || got[1] != old.Recipient().String() || got[2] != pq.Recipient().String() {
		t.Errorf("readers are %v", got)
	}
	for want, data := range map[string][]byte{"before": before, "after": after, "later": later} {
		r, err := k.Decrypt(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("decrypted %q, %v", got, err)
		}
	}
}

func TestKeysThatCannotBeUsedAreNamedAndNotShown(t *testing.T) {
	identity, public := newIdentity(t).String(), newIdentity(t).Recipient().String()
	hybrid := newHybrid(t).Recipient().String()
	for name, tt := range map[string]struct {
		recipients, identities string
		want                   string
	}{
		"nothing":                          {"", "", "it has neither recipients nor identities"},
		"comments":                         {"# later\n", "\n", "it has neither"},
		"a private key as recipient":       {public + "\n" + identity, "", "recipients, line 2: this is a private key"},
		"a private key in small letters":   {strings.ToLower(identity), "", "recipients, line 1: this is a private key"},
		"a recipient with a typing error":  {public[:10] + "q" + public[11:] + "q", "", "recipients, line 1: this is not a public key"},
		"a recipient of ssh's":             {"ssh-ed25519 AAAA", "", "recipients, line 1"},
		"a public key as identity":         {"", public, "identities, line 1: this is not a private key"},
		"half an identity":                 {public, "# x\n" + identity[:40], "identities, line 2: this is not a private key"},
		"post-quantum beside classic ones": {public + "\n" + hybrid, "", "recipients: incompatible recipients"},
		"more than anybody needs":          {"", strings.Repeat(identity+"\n", maxKeys+1), "line 21: there are more than 20"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("backup-keys", map[string][]byte{FieldRecipients: []byte(tt.recipients), FieldIdentities: []byte(tt.identities)})
			if coffer.CodeOf(err) != coffer.CodeEncryptionKeysUnusable || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "Secret backup-keys") {
				t.Fatalf("Parse = %v, want %q", err, tt.want)
			}
			for _, secret := range []string{identity[15:30], strings.ToLower(identity[15:30])} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q shows a key", err)
				}
			}
		})
	}
}

func TestWhatCannotBeDecryptedSaysWhy(t *testing.T) {
	mine := newIdentity(t)
	k := mustParse(t, mine.Recipient().String(), mine.String())
	data := mustEncrypt(t, k, bytes.Repeat([]byte("x"), 200_000))
	read := func(k Keys, data []byte) error {
		r, err := k.Decrypt(bytes.NewReader(data))
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		return err
	}
	if err := read(k, data); err != nil {
		t.Fatal(err)
	}
	stranger := mustParse(t, "", newIdentity(t).String()+"\n"+newHybrid(t).String())
	for name, k := range map[string]Keys{"a stranger": stranger, "nobody": {}} {
		if err := read(k, data); !errors.Is(err, ErrNoIdentity) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Keys{}).Encrypt(io.Discard); err == nil {
		t.Error("nothing is encrypted to nobody")
	}
	flipped := bytes.Clone(data)
	flipped[len(flipped)-30_000] ^= 1
	long := []byte("age-encryption.org/v1\n" + strings.Repeat("-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAA\n", 100_000))
	for name, data := range map[string][]byte{
		"altered": flipped, "cut off": data[:len(data)-1], "cut off between chunks": data[:len(data)-3408-16],
		"empty": {}, "plain": []byte("hello"), "a header without end": long,
	} {
		if err := read(k, data); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("%s: %v, want %s", name, err, coffer.CodeArchiveCorrupt)
		}
	}
}

// counter fetches from memory, and counts.
type counter struct {
	data    []byte
	fetches int
	bytes   int64
}

func (c *counter) fetch(offset, length int64) ([]byte, error) {
	if offset < 0 || length < 0 || offset+length > int64(len(c.data)) {
		return nil, fmt.Errorf("no %d bytes at %d", length, offset)
	}
	c.fetches++
	c.bytes += length
	return c.data[offset : offset+length], nil
}

func TestAPartIsReadWithoutTheRest(t *testing.T) {
	mine, pq := newIdentity(t), newHybrid(t)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // Test data.
	for _, k := range []Keys{mustParse(t, mine.Recipient().String(), mine.String()), mustParse(t, pq.Recipient().String(), pq.String())} {
		for _, size := range []int{1, 100, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize, 1_000_000} {
			plain := make([]byte, size)
			for i := range plain {
				plain[i] = byte(random.Uint32())
			}
			c := &counter{data: mustEncrypt(t, k, plain)}
			r, err := k.Open(int64(len(c.data)), c.fetch)
			if err != nil {
				t.Fatalf("size %d: %v", size, err)
			}
			if r.Size() != int64(size) || c.fetches > 2 || c.bytes > maxHeader+sealedSize {
				t.Errorf("size %d: it is taken for %d, with %d bytes in %d fetches", size, r.Size(), c.bytes, c.fetches)
			}
			for range 20 {
				offset := random.Int64N(int64(size))
				length := 1 + random.Int64N(int64(size)-offset)
				c.fetches, c.bytes = 0, 0
				got, err := r.Read(offset, length, c.fetch)
				if err != nil || !bytes.Equal(got, plain[offset:offset+length]) {
					t.Fatalf("size %d: Read(%d, %d) = %v", size, offset, length, err)
				}
				if c.fetches != 1 || c.bytes > length+2*sealedSize+length/chunkSize*16 {
					t.Errorf("size %d: %d bytes at %d took %d bytes in %d fetches", size, length, offset, c.bytes, c.fetches)
				}
			}
			for _, out := range [][2]int64{{-1, 1}, {0, int64(size) + 1}, {int64(size), 1}, {0, 0}, {1 << 62, 1 << 62}} {
				if _, err := r.Read(out[0], out[1], c.fetch); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
					t.Errorf("size %d: Read(%d, %d) = %v", size, out[0], out[1], err)
				}
			}
		}
	}
}

func TestPartsOfWhatWasAlteredAreRefused(t *testing.T) {
	mine := newIdentity(t)
	k := mustParse(t, mine.Recipient().String(), mine.String())
	good := mustEncrypt(t, k, make([]byte, 5*chunkSize))
	other := mustEncrypt(t, k, make([]byte, 5*chunkSize))
	open := func(data []byte) (*Random, *counter, error) {
		c := &counter{data: data}
		r, err := k.Open(int64(len(data)), c.fetch)
		return r, c, err
	}
	r, c, err := open(good)
	if err != nil {
		t.Fatal(err)
	}
	c.data = bytes.Clone(good)
	c.data[len(good)/2] ^= 1
	if _, err := r.Read(2*chunkSize, chunkSize, c.fetch); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
		t.Errorf("an altered chunk: %v", err)
	}
	// Chunks of another blob of the same keys, or of another place, are not taken.
	c.data = append(bytes.Clone(good[:r.payload]), other[r.payload:]...)
	if _, err := r.Read(chunkSize, 10, c.fetch); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
		t.Errorf("a chunk of another blob: %v", err)
	}
	c.data = append(append(bytes.Clone(good[:r.payload]), good[r.payload+sealedSize:]...), good[r.payload:r.payload+sealedSize]...)
	if _, err := r.Read(chunkSize, 10, c.fetch); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
		t.Errorf("a chunk of another place: %v", err)
	}
	if _, _, err := open(good[:len(good)-sealedSize]); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
		t.Errorf("a blob without its last chunk: %v", err)
	}
	if _, err := mustParse(t, "", newIdentity(t).String()).Open(int64(len(good)), c.fetch); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("a stranger opens it: %v", err)
	}
	long := []byte("age-encryption.org/v1\n" + strings.Repeat("-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAA\n", 10_000))
	if _, c, err := open(long); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt || c.bytes > 2*maxHeader {
		t.Errorf("a header without end: %v after %d bytes", err, c.bytes)
	}
	failing := func(int64, int64) ([]byte, error) { return nil, io.ErrClosedPipe }
	if _, err := r.Read(0, 10, failing); !errors.Is(err, io.ErrClosedPipe) || coffer.CodeOf(err) != "" {
		t.Errorf("a store that fails: %v", err)
	}
}

// FuzzDecrypt: whatever claims to be encrypted is decrypted or refused, in the same way as a whole and in parts.
func FuzzDecrypt(f *testing.F) {
	// Every process of the fuzzer has to have the same. It was made for this, and nothing else is encrypted to it.
	mine, err := age.ParseX25519Identity("AGE-SECRET-KEY-1SCUDNW3QZTQWR2N50GCP7UG8ZAPLTN2CNAJ54VELM3MAUSWZ88PSYCQ5PT")
	if err != nil {
		f.Fatal(err)
	}
	k := mustParse(f, mine.Recipient().String(), mine.String())
	f.Add(mustEncrypt(f, k, []byte("hello")))
	f.Add(mustEncrypt(f, k, make([]byte, 70_000)))
	f.Add([]byte("age-encryption.org/v1\n--- AAAA\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var whole []byte
		r, err := k.Decrypt(bytes.NewReader(data))
		if err == nil {
			whole, err = io.ReadAll(r)
		}
		if err != nil && !errors.Is(err, ErrNoIdentity) && coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("Decrypt = %v", err)
		}
		c := &counter{data: data}
		parts, openErr := k.Open(int64(len(data)), c.fetch)
		if openErr != nil && !errors.Is(openErr, ErrNoIdentity) && coffer.CodeOf(openErr) != coffer.CodeArchiveCorrupt {
			t.Errorf("Open = %v", openErr)
		}
		if openErr != nil || err != nil || len(whole) == 0 {
			return
		}
		if part, err := parts.Read(0, int64(len(whole)), c.fetch); err != nil || !bytes.Equal(part, whole) {
			t.Errorf("Read = %v: not what Decrypt has read", err)
		}
	})
}
