package content

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line: an object has up to 16 MiB, and masking may write some characters with six.
const maxLine = 128 << 20

// ErrCut is an answer that is not complete and does not say why.
var ErrCut = errors.New("the answer was cut off")

// Read reads the lines of an answer and calls each for every item. It returns nil only if the answer is complete; the
// Error that the answer ends with as it is; and ErrCut, wrapped, for everything that is neither. Errors of each end the
// reading and are returned.
func Read[T any](r io.Reader, each func(T) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var items int64
	for lines.Scan() {
		var line Line
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("%w after %d items: line %d: %w", ErrCut, items, items+1, err)
		}
		switch {
		case line.Error != nil:
			return line.Error
		case line.End != nil && line.End.Items != items:
			return fmt.Errorf("%w: there were %d items, and %d came", ErrCut, line.End.Items, items)
		case line.End != nil:
			return nil
		case line.Item == nil:
			return fmt.Errorf("%w after %d items: line %d says nothing that is known", ErrCut, items, items+1)
		}
		var item T
		if err := json.Unmarshal(line.Item, &item); err != nil {
			return fmt.Errorf("%w after %d items: line %d: %w", ErrCut, items, items+1, err)
		}
		items++
		if err := each(item); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w after %d items: %w", ErrCut, items, err)
	}
	return fmt.Errorf("%w after %d items", ErrCut, items)
}
