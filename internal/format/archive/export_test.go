package archive

import (
	"bytes"
	"io"
)

// Index is what has been written. It is complete after Close, and nil if it cannot be read.
func (a *Writer) Index() Index {
	var blob bytes.Buffer
	if _, err := a.WriteIndex(&blob); err != nil {
		return nil
	}
	index, err := ReadIndex(&blob, IndexLimits{})
	if err != nil {
		return nil
	}
	return index
}

// WriteTo writes any index, also one that no Writer would, in the form of WriteIndex.
func (x Index) WriteTo(w io.Writer) (int64, error) {
	s := newSpool()
	for i := range x {
		if err := s.add(&x[i]); err != nil {
			return 0, err
		}
	}
	if err := s.close(); err != nil {
		return 0, err
	}
	return s.WriteTo(w)
}
