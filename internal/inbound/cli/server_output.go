package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jmespath-community/go-jmespath/pkg/api"
	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// compileQuery refuses a query that is none, before anything is done.
func (p *program) compileQuery() (err error) {
	if p.flags.query == "" {
		return nil
	}
	if p.flags.compiled, err = api.Compile(p.flags.query); err != nil {
		return usageError{fmt.Errorf("--query %q is not a JMESPath: %w", p.flags.query, err)}
	}
	return nil
}

// render prints a result: what --query finds in it, as JSON or YAML, or by table.
func (p *program) render(result any, table func() error) error {
	if p.flags.compiled == nil {
		return p.show(result, table)
	}
	text, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	found, err := p.flags.compiled.Search(plain)
	if err != nil {
		return fmt.Errorf("--query %q cannot be answered: %w", p.flags.query, err)
	}
	return p.show(found, func() error { return p.plainTable(found) })
}

// plainTable prints what a query has found: a list in rows, an object in fields, and what is neither as it is.
func (p *program) plainTable(found any) error {
	switch v := found.(type) {
	case nil:
		return nil
	case []any:
		return p.table(plainRows(v))
	case map[string]any:
		var fields []field
		for _, name := range slices.Sorted(maps.Keys(v)) {
			fields = append(fields, field{name, plainText(v[name])})
		}
		return p.describe(fields)
	}
	_, err := fmt.Fprintln(p.Out, plainText(found))
	return err
}

// plainRows has a heading if there are objects.
func plainRows(list []any) [][]string {
	names := map[string]bool{}
	for _, item := range list {
		if object, ok := item.(map[string]any); ok {
			for name := range object {
				names[name] = true
			}
		}
	}
	columns := slices.Sorted(maps.Keys(names))
	var rows [][]string
	if len(columns) > 0 {
		heading := make([]string, len(columns))
		for i, name := range columns {
			heading[i] = strings.ToUpper(printable(name))
		}
		rows = append(rows, heading)
	}
	for _, item := range list {
		switch v := item.(type) {
		case map[string]any:
			row := make([]string, len(columns))
			for i, name := range columns {
				row[i] = plainText(v[name])
			}
			rows = append(rows, row)
		case []any:
			row := make([]string, len(v))
			for i, one := range v {
				row[i] = plainText(one)
			}
			rows = append(rows, row)
		default:
			rows = append(rows, []string{plainText(v)})
		}
	}
	return rows
}

// plainText is a value in one cell.
func plainText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return printable(v)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return printable(strings.TrimSpace(text.String()))
}

// refusalText is a server's refusal of what a command asked for, as a person reads it: what happened, which fields, what to do, and what
// to ask for in the server's log. It is empty for other errors.
func refusalText(err error, ran *cobra.Command) string {
	coded, ok := errors.AsType[*coffer.Error](err)
	if !ok || coded.Correlation == "" {
		return ""
	}
	message := coded.Message
	// What was being done when it was refused goes before it.
	if full := err.Error(); strings.HasSuffix(full, coded.Error()) {
		message = strings.TrimSuffix(full, coded.Error()) + message
	}
	// The message of an object names its fields once more, for clients that show nothing else.
	texts := make([]string, len(coded.Fields))
	for i, f := range coded.Fields {
		texts[i] = strings.TrimSpace(f.Path + " " + f.Reason)
	}
	if short := strings.TrimSuffix(message, ": "+strings.Join(texts, "; ")); short != message && len(texts) > 0 {
		message = short + ":"
	}
	lines := []string{printable(message)}
	for _, f := range coded.Fields {
		line := "  "
		if f.Path != "" {
			line += f.Path + " "
		}
		lines = append(lines, printable(line+f.Reason))
	}
	hint := coded.Hint
	if list := listFor(ran); hint == "" && coded.Code == coffer.CodeResourceNotFound && list != "" {
		hint = "`" + list + "` shows what there is"
	}
	if hint != "" {
		lines = append(lines, "  what to do: "+printable(hint))
	}
	return strings.Join(append(lines, printable(fmt.Sprintf("  %s, correlation id %s", coded.Code, coded.Correlation))), "\n")
}
