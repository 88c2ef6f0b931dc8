package bounded

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestJSONIsBoundedBeforeItIsDecoded(t *testing.T) {
	limits := JSONLimits{Depth: 3, Containers: 5, Values: 10}
	for _, tt := range []struct {
		name, text string
		// want is part of the error; empty for none.
		want string
	}{
		{"nothing", "", ""},
		{"all that is allowed", `[[[1]],[2],[3]]`, ""},
		{"one too deep", `[[[[1]]]]`, "deeper than 3"},
		{"many beside each other", `[{},{},{},{},{}]`, "more than 5 arrays and objects"},
		{"many values", `[1,2,3,4,5,6,7,8,9,10]`, "more than 10 values"},
		{"brackets in a string", `["[[[[[[[\"[[[[,,,,,,,,,,,,"]`, ""},
		{"an escaped backslash before the end of a string", `["\\",[[[1]]]]`, "deeper than 3"},
		{"a million brackets", strings.Repeat("[", 1_000_000), "deeper than 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := JSON([]byte(tt.text), limits)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("JSON = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAReaderEndsWhereItsLimitIs(t *testing.T) {
	for size, fits := range map[int]bool{0: true, 9: true, 10: true, 11: false, 5000: false} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader} {
			got, err := io.ReadAll(&Reader{R: wrap(strings.NewReader(strings.Repeat("x", size))), Limit: 10})
			if fits != (err == nil) || len(got) != min(size, 10) {
				t.Errorf("%d bytes %s: read %d, %v", size, name, len(got), err)
			}
		}
	}
	if _, err := io.ReadAll(&Reader{R: iotest.ErrReader(io.ErrClosedPipe), Limit: 10}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the source's own error is %v", err)
	}
}

func TestABombIsFoundWhileItUnpacks(t *testing.T) {
	const size = 64 << 20
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	unpack := func(free, times int64) (int64, error) {
		ratio := Ratio{Free: free, Times: times}
		zipped, err := gzip.NewReader(ratio.In(bytes.NewReader(bomb.Bytes())))
		if err != nil {
			t.Fatal(err)
		}
		return io.Copy(io.Discard, ratio.Out(zipped))
	}
	if n, err := unpack(1<<20, 100); err == nil || n > 8<<20 {
		t.Errorf("%d bytes were unpacked of %d: %v", n, bomb.Len(), err)
	}
	if n, err := unpack(size, 0); err != nil || n != size {
		t.Errorf("unpacked %d bytes, %v: what is free is refused", n, err)
	}
}
