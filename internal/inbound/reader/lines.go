package reader

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/coffer-backup/coffer/api/content"
)

// lines are an answer that is being given. Nothing of it is sent before the first item, so that an error before that becomes
// its status.
type lines struct {
	w     http.ResponseWriter
	out   *bufio.Writer
	items int64
}

func newLines(w http.ResponseWriter, stall time.Duration) *lines {
	return &lines{w: w, out: bufio.NewWriterSize(&watchedWriter{w: w, control: http.NewResponseController(w), stall: stall}, 64<<10)}
}

// send sends one item.
func (l *lines) send(item any) error {
	encoded, err := encode(item)
	if err != nil {
		return fmt.Errorf("encode an item: %w", err)
	}
	if l.items == 0 {
		l.begin(http.StatusOK)
	}
	l.items++
	return l.line(content.Line{Item: encoded})
}

// end sends the last line.
func (l *lines) end(err error) error {
	last := content.Line{End: &content.End{Items: l.items}}
	status := http.StatusOK
	if err != nil {
		last, status = content.Line{Error: shownError(err)}, statusOf(err)
	}
	if l.items == 0 {
		l.begin(status)
	}
	if err := l.line(last); err != nil {
		return err
	}
	return l.out.Flush()
}

func (l *lines) begin(status int) {
	header := l.w.Header()
	header.Set("Content-Type", content.MediaType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	l.w.WriteHeader(status)
}

func (l *lines) line(line content.Line) error {
	text, err := encode(line)
	if err != nil {
		return fmt.Errorf("encode a line: %w", err)
	}
	_, err = l.out.Write(text)
	return err
}

// encode is one line of JSON, with its end. JSON in it is as it was, but for blanks between its tokens.
func encode(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// watchedWriter gives up on who takes nothing.
type watchedWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

// Write implements io.Writer.
func (w *watchedWriter) Write(p []byte) (int, error) {
	// A writer that knows no deadlines is bounded by its own.
	_ = w.control.SetWriteDeadline(time.Now().Add(w.stall))
	return w.w.Write(p)
}
