package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

var errNotJSON = errors.New("malformed JSON")

// splitList finds the metadata and the items of a list, which point into data, without decoding them. What is inside of
// them is whole, and may be malformed: whoever decodes them finds out.
func splitList(data []byte) (metadata json.RawMessage, items []json.RawMessage, err error) {
	s := splitter{data: data}
	found := false
	err = s.each('{', '}', func() error {
		key, err := s.key()
		if err != nil {
			return err
		}
		switch key {
		case `"metadata"`:
			metadata, err = s.value()
		case `"items"`:
			found = true
			items, err = s.array()
		default:
			_, err = s.value()
		}
		return err
	})
	switch {
	case err != nil:
		return nil, nil, err
	case !found:
		return nil, nil, errors.New("it has no items")
	case s.peek() != 0 || s.at < len(s.data):
		return nil, nil, fmt.Errorf("%w: something follows it", errNotJSON)
	}
	return metadata, items, nil
}

// splitter walks through JSON.
type splitter struct {
	data []byte
	at   int
}

// peek passes over white space, and answers the byte there, or 0 at the end.
func (s *splitter) peek() byte {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *splitter) take(c byte) error {
	if got := s.peek(); got != c || c == 0 {
		return fmt.Errorf("%w: no %q at byte %d", errNotJSON, c, s.at)
	}
	s.at++
	return nil
}

// each calls element for every element of an object or array.
func (s *splitter) each(begin, end byte, element func() error) error {
	if err := s.take(begin); err != nil {
		return err
	}
	if s.peek() == end {
		return s.take(end)
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.peek() == end {
			return s.take(end)
		}
		if err := s.take(','); err != nil {
			return err
		}
	}
}

// key reads a key with its quotes, and the colon after it.
func (s *splitter) key() (string, error) {
	if s.peek() != '"' {
		return "", fmt.Errorf("%w: no key at byte %d", errNotJSON, s.at)
	}
	key, err := s.value()
	if err != nil {
		return "", err
	}
	return string(key), s.take(':')
}

// array reads an array, or null.
func (s *splitter) array() ([]json.RawMessage, error) {
	if s.peek() == 'n' {
		_, err := s.value()
		return nil, err
	}
	var all []json.RawMessage
	err := s.each('[', ']', func() error {
		item, err := s.value()
		all = append(all, item)
		return err
	})
	return all, err
}

// value passes over one value of any depth, and answers it.
func (s *splitter) value() (json.RawMessage, error) {
	c := s.peek()
	begin, depth := s.at, 0
	switch c {
	case '{', '[', '"':
	default:
		n := bytes.IndexAny(s.data[s.at:], ",]} \t\r\n")
		if n < 0 {
			n = len(s.data) - s.at
		}
		if s.at += n; n == 0 {
			return nil, fmt.Errorf("%w: no value at byte %d", errNotJSON, s.at)
		}
		return s.data[begin:s.at], nil
	}
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case '"':
			if !s.text() {
				return nil, fmt.Errorf("%w: it ends within a string", errNotJSON)
			}
			if depth == 0 {
				return s.data[begin:s.at], nil
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				s.at++
				return s.data[begin:s.at], nil
			}
		}
		s.at++
	}
	return nil, fmt.Errorf("%w: it ends within a value", errNotJSON)
}

// text passes over a string.
func (s *splitter) text() bool {
	s.at++
	for {
		i := bytes.IndexByte(s.data[s.at:], '"')
		if i < 0 {
			return false
		}
		s.at += i + 1
		// A quote is escaped by an odd number of backslashes before it.
		escapes := 0
		for s.at-2-escapes >= 0 && s.data[s.at-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return true
		}
	}
}
