package bounded

import (
	"fmt"
	"io"
)

// Reader ends with an error after Limit bytes; a source that ends there ends normally.
type Reader struct {
	R io.Reader
	// Limit in bytes.
	Limit int64
	read  int64
}

// Read implements io.Reader.
func (b *Reader) Read(p []byte) (int, error) {
	if b.read > b.Limit {
		return 0, fmt.Errorf("it has more than %d bytes", b.Limit)
	}
	// One byte more than allowed tells a source that ends in time from one that goes on.
	if most := b.Limit - b.read + 1; int64(len(p)) > most {
		p = p[:most]
	}
	n, err := b.R.Read(p)
	b.read += int64(n)
	if b.read > b.Limit {
		return n - 1, fmt.Errorf("it has more than %d bytes", b.Limit)
	}
	return n, err
}

// Ratio counts what goes into a decompressor, and ends what comes out of it with an error once that is out of proportion.
// Give the decompressor In, and read its output through Out.
type Ratio struct {
	// Free is how many bytes may come out whatever went in, and Times how many more for each byte that did.
	Free, Times int64
	in, out     int64
}

// In is r, counted.
func (b *Ratio) In(r io.Reader) io.Reader { return counted{r: r, n: &b.in} }

// Out is r, bounded.
func (b *Ratio) Out(r io.Reader) io.Reader { return proportional{r: r, ratio: b} }

type counted struct {
	r io.Reader
	n *int64
}

// Read implements io.Reader.
func (c counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	*c.n += int64(n)
	return n, err
}

type proportional struct {
	r     io.Reader
	ratio *Ratio
}

// Read implements io.Reader.
func (p proportional) Read(buf []byte) (int, error) {
	n, err := p.r.Read(buf)
	p.ratio.out += int64(n)
	if p.ratio.out-p.ratio.Free > p.ratio.in*p.ratio.Times {
		return 0, fmt.Errorf("%d bytes unpack to more than %d", p.ratio.in, p.ratio.out)
	}
	return n, err
}
