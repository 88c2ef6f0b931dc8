package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestWhatAQueryFindsIsPrinted(t *testing.T) {
	const vaults = `[{"name":"a","n":1,"on":true,"deep":{"x":[1,2]}},{"name":"b\u001b[2J","none":null}]`
	for _, tt := range []struct{ name, query, output, want string }{
		{"a text", "[0].name", "table", "a\n"},
		{"a number", "[0].n", "table", "1\n"},
		{"nothing", "[7]", "table", ""},
		{"an object", "[0].deep", "table", "x:  [1,2]\n"},
		{"texts", "[].name", "table", "a\n\"b\\x1b[2J\"\n"},
		{"objects", "[].{name:name,n:n}", "table", "N   NAME\n1   a\n    \"b\\x1b[2J\"\n"},
		{"lists", "[:1].[name,n]", "table", "a   1\n"},
		{"no entries", "[?name=='c']", "table", ""},
		{"a function", "length(@)", "table", "2\n"},
		{"JSON", "[0].deep", "json", "{\n  \"x\": [\n    1,\n    2\n  ]\n}\n"},
		{"YAML", "[0].deep", "yaml", "x:\n- 1\n- 2\n"},
		{"nothing in JSON", "[7]", "json", "null\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			p := &program{Config: Config{Out: &out}, output: tt.output, flags: serverFlags{query: tt.query}}
			if err := p.compileQuery(); err != nil {
				t.Fatal(err)
			}
			if err := p.render(json.RawMessage(vaults), nil); err != nil || out.String() != tt.want {
				t.Errorf("got %q, %v; want %q", out.String(), err, tt.want)
			}
		})
	}
}

func TestARefusalAsAPersonReadsIt(t *testing.T) {
	fields := []coffer.RefusedField{{Path: "a.b", Reason: "is 1"}, {Path: "c", Reason: "is 2"}}
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"an error of ours", coffer.Errorf("X", "a"), ""},
		{"another error", fmt.Errorf("a"), ""},
		{"a message", &coffer.Error{Code: "X", Message: "no", Correlation: "1"}, "no\n  X, correlation id 1"},
		{
			"all that there is",
			fmt.Errorf("create it: %w", &coffer.Error{Code: "X", Message: "refused: a.b is 1; c is 2", Hint: "do this", Fields: fields, Correlation: "1"}),
			"create it: refused:\n  a.b is 1\n  c is 2\n  what to do: do this\n  X, correlation id 1",
		},
		{
			"a message without its fields",
			&coffer.Error{Code: "X", Message: "refused", Fields: append(fields[:1:1], coffer.RefusedField{Reason: "more"}), Correlation: "1"},
			"refused\n  a.b is 1\n  more\n  X, correlation id 1",
		},
		{"what a terminal would obey", &coffer.Error{Code: "X", Message: "\x1b[2J", Correlation: "1"}, "\"\\x1b[2J\"\n  X, correlation id 1"},
	} {
		if got := refusalText(tt.err, &cobra.Command{}); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestHowALongOperationIsShown(t *testing.T) {
	for _, tt := range []struct {
		terminal bool
		lines    int
	}{{true, 1}, {false, 2}} {
		var errs bytes.Buffer
		l := newOperationLine(&program{Config: Config{Err: &errs, Terminal: tt.terminal}}, "create it")
		l.end()
		if errs.Len() > 0 {
			t.Errorf("of what is done at once is said %q", errs.String())
		}
		for _, state := range []string{"Accepted", "InProgress", "InProgress"} {
			l.show(state)
		}
		l.end()
		if got := bytes.Count(errs.Bytes(), []byte("\n")); got != tt.lines || !bytes.Contains(errs.Bytes(), []byte("create it: InProgress")) {
			t.Errorf("terminal %t: %q", tt.terminal, errs.String())
		}
	}
}
