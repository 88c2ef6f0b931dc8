package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// checkOutput refuses a format that show does not know, before anything is done.
func (p *program) checkOutput() error {
	switch p.output {
	case "table", "json", "yaml":
		return nil
	}
	return usageError{fmt.Errorf("--output %q is not known; use table, json or yaml", p.output)}
}

// show prints a value as JSON or YAML, or calls table.
func (p *program) show(value any, table func() error) error {
	switch p.output {
	case "json":
		encoder := json.NewEncoder(p.Out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(value); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	case "yaml":
		text, err := yaml.Marshal(value)
		if err != nil {
			return fmt.Errorf("print: %w", err)
		}
		_, err = p.Out.Write(text)
		return err
	}
	return table()
}

// harmless is a text with what a terminal would obey written out: programs and archives of others have a say in messages and names.
func harmless(text string) string {
	var out strings.Builder
	for _, r := range text {
		if strconv.IsPrint(r) || r == '\n' || r == '\t' {
			out.WriteRune(r)
			continue
		}
		out.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return out.String()
}

// field is one line of a description.
type field struct{ name, value string }

// describe prints fields that have a value.
func (p *program) describe(fields []field) error {
	w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
	for _, f := range fields {
		if f.value == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s:\t%s\n", f.name, harmless(f.value)); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return w.Flush()
}

func (p *program) describeWarnings(s v1alpha1.RunStatus) error {
	if len(s.Warnings) == 0 {
		return nil
	}
	lines := []string{"", "Warnings:"}
	for _, w := range s.Warnings {
		line := "  " + w.Code + ": "
		if w.Resource != "" {
			line += w.Resource + ": "
		}
		lines = append(lines, line+w.Message)
	}
	if more := s.WarningCount - len(s.Warnings); more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	_, err := fmt.Fprintln(p.Out, harmless(strings.Join(lines, "\n")))
	return err
}

func age(t metav1.Time) string {
	if t.IsZero() {
		return ""
	}
	return duration.HumanDuration(time.Since(t.Time))
}

func took(s v1alpha1.RunStatus) string {
	if s.StartTime == nil || s.CompletionTime == nil {
		return ""
	}
	return duration.HumanDuration(s.CompletionTime.Sub(s.StartTime.Time))
}

func when(t *metav1.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// phaseText is the phase for a person: a run that no extension has picked up has none yet.
func phaseText(p v1alpha1.RunPhase) string {
	if p == "" {
		return "New"
	}
	return string(p)
}

func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, suffix := float64(n)/unit, "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, suffix = value/unit, next
	}
	return fmt.Sprintf("%.1f %s", value, suffix)
}
