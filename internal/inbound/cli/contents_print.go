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
	return &tablePrinter{table: pagedTable{out: p.Out}}
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

// tablePrinter prints a table of objects.
type tablePrinter struct {
	table pagedTable
	items int64
}

func (t *tablePrinter) print(item content.Item) error {
	if t.items == 0 {
		if err := t.table.row("TYPE", "NAMESPACE", "NAME", "SIZE"); err != nil {
			return err
		}
	}
	t.items++
	resource := coffer.GroupResource{Group: item.Group, Resource: item.Resource}
	return t.table.row(resource.String(), item.Namespace, item.Name, bytesText(item.Size))
}

func (t *tablePrinter) end() (int64, error) { return t.items, t.table.flush() }

func (t *tablePrinter) cut() { _ = t.table.flush() }

// pagedTable prints rows in columns as wide as the page, or one before it, needs.
type pagedTable struct {
	out    io.Writer
	page   [][]string
	widths []int
}

// pageRows is how many rows are looked at for the width of columns.
const pageRows = 500

// row prints a row, sooner or later; one without cells is an empty line.
func (t *pagedTable) row(cells ...string) error {
	for i, cell := range cells {
		cells[i] = printable(cell)
	}
	t.page = append(t.page, cells)
	if len(t.page) > pageRows {
		return t.flush()
	}
	return nil
}

// flush prints the rows that are not printed yet.
func (t *pagedTable) flush() error {
	for _, row := range t.page {
		for i, cell := range row[:max(0, len(row)-1)] {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for _, row := range t.page {
		line := ""
		for i, cell := range row {
			line += cell
			if i < len(row)-1 {
				line += strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)+3)
			}
		}
		text.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	t.page = t.page[:0]
	_, err := io.WriteString(t.out, text.String())
	return err
}

// printable is a name as a terminal may have it: archives that nobody has signed hold what somebody likes.
func printable(name string) string {
	for _, r := range name {
		if !strconv.IsPrint(r) {
			return strconv.Quote(name)
		}
	}
	return name
}
