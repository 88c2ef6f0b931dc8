package blobtest

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const mebibyte = 1 << 20

// noise is a stream of so many bytes that no store can pack, the same for the same seed. Its length cannot be asked for.
func noise(seed byte, size int64) io.Reader {
	return io.LimitReader(struct{ io.Reader }{rand.NewChaCha8([32]byte{seed})}, size)
}

func mustDigest(t *testing.T, r io.Reader) (sum [sha256.Size]byte, size int64) {
	t.Helper()
	h := sha256.New()
	size, err := io.Copy(h, r)
	if err != nil {
		t.Fatal(err)
	}
	return [sha256.Size]byte(h.Sum(nil)), size
}

func mustHold(t *testing.T, c coffer.Container, key string, seed byte, size int64) {
	t.Helper()
	r, err := c.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatalf("Get(%q) = %v", key, err)
	}
	defer func() { _ = r.Close() }()
	got, n := mustDigest(t, r)
	if want, _ := mustDigest(t, noise(seed, size)); n != size || got != want {
		t.Errorf("%s has %d bytes of digest %x, want %d of %x", key, n, got, size, want)
	}
}

func testStream(t *testing.T, c coffer.Container) {
	const size = 40*mebibyte + 1
	n, err := c.Put(t.Context(), "a/long", noise(1, size))
	if err != nil || n != size {
		t.Fatalf("Put = %d, %v; want %d", n, err, size)
	}
	mustHold(t, c, "a/long", 1, size)
	if info, err := c.Stat(t.Context(), "a/long"); err != nil || info.Size != size {
		t.Errorf("Stat = %+v, %v", info, err)
	}
	if _, err := c.Put(t.Context(), "a/long", noise(2, size)); !errors.Is(err, coffer.ErrBlobExists) {
		t.Errorf("second Put = %v, want ErrBlobExists", err)
	}
	mustHold(t, c, "a/long", 1, size)

	broken := errors.New("source broke")
	if _, err := c.Put(t.Context(), "b/cut", io.MultiReader(noise(3, 20*mebibyte), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("Put of a broken source = %v, want its error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.Put(ctx, "b/cut", io.MultiReader(noise(3, 20*mebibyte), &onRead{do: cancel}, noise(3, mebibyte))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Put = %v, want context.Canceled", err)
	}
	if keys := mustList(t, c, "b/"); len(keys) != 0 {
		t.Errorf("cut streams left %q", keys)
	}
	// Exactly whole parts, for all sizes of parts that divide this.
	if n, err := c.Put(t.Context(), "b/cut", noise(4, 16*mebibyte)); err != nil || n != 16*mebibyte {
		t.Errorf("Put after cut ones = %d, %v", n, err)
	}
	mustHold(t, c, "b/cut", 4, 16*mebibyte)
}

func testLongRace(t *testing.T, c coffer.Container) {
	const size = 17 * mebibyte
	var winners atomic.Int32
	var winner atomic.Int32
	var group sync.WaitGroup
	for seed := range byte(3) {
		group.Go(func() {
			switch _, err := c.Put(t.Context(), "x/race", noise(seed, size)); {
			case err == nil:
				winners.Add(1)
				winner.Store(int32(seed))
			case !errors.Is(err, coffer.ErrBlobExists):
				t.Errorf("Put = %v, want ErrBlobExists", err)
			}
		})
	}
	group.Wait()
	if winners.Load() != 1 {
		t.Fatalf("%d writers won, want 1", winners.Load())
	}
	mustHold(t, c, "x/race", byte(winner.Load()), size) //nolint:gosec // a small number
}
