package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// contentsPrinter prints items one after the other, and holds a page of a table at most.
type contentsPrinter interface {
	print(content.Item) error
	// end prints what is left, and answers how many items there were.
	end() (int64, error)
	// cut ends an output that is not complete, so that nobody takes it for the whole.
	cut()
}

func (p *program) newContentsPrinter() contentsPrinter {
	switch p.output {
	case "json":
		return &jsonPrinter{out: p.Out}
	case "yaml":
		return &yamlPrinter{out: p.Out}
	}
	return &tablePrinter{out: p.Out}
}

// jsonPrinter prints a List. One that is cut stays open, and is no JSON.
type jsonPrinter struct {
	out   io.Writer
	items int64
}

func (j *jsonPrinter) print(item content.Item) error {
	opening := ",\n"
	if j.items == 0 {
		opening = "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"List\",\n  \"items\": [\n"
	}
	j.items++
	text := bytes.NewBufferString(opening + "    ")
	if err := json.Indent(text, item.Object, "    ", "  "); err != nil {
		return fmt.Errorf("print %s: %w", item.Name, err)
	}
	_, err := j.out.Write(text.Bytes())
	return err
}

func (j *jsonPrinter) end() (int64, error) {
	closing := "\n  ]\n}\n"
	if j.items == 0 {
		closing = "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"List\",\n  \"items\": []\n}\n"
	}
	_, err := io.WriteString(j.out, closing)
	return j.items, err
}

func (j *jsonPrinter) cut() {
	if j.items > 0 {
		_, _ = io.WriteString(j.out, "\n")
	}
}

// yamlPrinter prints a stream of documents.
type yamlPrinter struct {
	out   io.Writer
	items int64
}

func (y *yamlPrinter) print(item content.Item) error {
	text, err := yaml.JSONToYAML(item.Object)
	if err != nil {
		return fmt.Errorf("print %s: %w", item.Name, err)
	}
	if y.items > 0 {
		text = append([]byte("---\n"), text...)
	}
	y.items++
	_, err = y.out.Write(text)
	return err
}

func (y *yamlPrinter) end() (int64, error) { return y.items, nil }

func (y *yamlPrinter) cut() {
	if y.items > 0 {
		_, _ = io.WriteString(y.out, "--- # not complete: there is more in the recovery point\n")
	}
}

// tablePrinter prints rows in columns as wide as the page, or one before it, needs.
type tablePrinter struct {
	out    io.Writer
	page   [][]string
	widths []int
	items  int64
}

// pageRows is how many rows are looked at for the width of columns.
const pageRows = 500

func (t *tablePrinter) print(item content.Item) error {
	if t.items == 0 {
		t.page = append(t.page, []string{"TYPE", "NAMESPACE", "NAME", "SIZE"})
	}
	t.items++
	resource := coffer.GroupResource{Group: item.Group, Resource: item.Resource}
	t.page = append(t.page, []string{printable(resource.String()), printable(item.Namespace), printable(item.Name), bytesText(item.Size)})
	if len(t.page) >= pageRows {
		return t.flush()
	}
	return nil
}

func (t *tablePrinter) flush() error {
	for _, row := range t.page {
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for _, row := range t.page {
		for i, cell := range row {
			text.WriteString(cell)
			if i < len(row)-1 {
				text.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)+3))
			}
		}
		text.WriteString("\n")
	}
	t.page = t.page[:0]
	_, err := io.WriteString(t.out, text.String())
	return err
}

func (t *tablePrinter) end() (int64, error) { return t.items, t.flush() }

func (t *tablePrinter) cut() { _ = t.flush() }

// printable is a name as a terminal may have it: archives that nobody has signed hold what somebody likes.
func printable(name string) string {
	for _, r := range name {
		if !strconv.IsPrint(r) {
			return strconv.Quote(name)
		}
	}
	return name
}
