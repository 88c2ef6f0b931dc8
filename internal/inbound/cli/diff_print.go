package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/content"
)

// tellEvery is after how many objects a person is told how far a comparison is.
const tellEvery = 50

// readDiff reads what a restore would write, in the order of its plan. Objects of which there is nothing to say are left out.
func (p *program) readDiff(read items[content.DiffItem]) ([]content.DiffItem, error) {
	found := []content.DiffItem{}
	n := 0
	err := read(func(i content.DiffItem) error {
		if n++; p.Terminal && n%tellEvery == 0 {
			_, _ = fmt.Fprintf(p.Err, "\r\x1b[K%d objects compared", n)
		}
		if i.Changes != "" || i.FromBackup != "" || i.Unchecked != "" || i.Refused != nil || len(i.Notes) > 0 {
			found = append(found, i)
		}
		return nil
	})
	if p.Terminal && n >= tellEvery {
		_, _ = fmt.Fprint(p.Err, "\r\x1b[K")
	}
	slices.SortFunc(found, func(a, b content.DiffItem) int { return cmp.Compare(a.Step, b.Step) })
	return found, err
}

// diffPrinter prints what would change, for people.
type diffPrinter struct {
	program *program
	color   bool
}

// The colours of a terminal.
const (
	bold  = "\x1b[1m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	cyan  = "\x1b[36m"
	plain = "\x1b[0m"
)

func (d *diffPrinter) print(items []content.DiffItem) error {
	var changed, unchecked, refused int
	for _, i := range items {
		if i.Changes != "" {
			changed++
		}
		if i.Unchecked != "" {
			unchecked++
		}
		if i.Refused != nil {
			refused++
		}
		if _, err := fmt.Fprint(d.program.Out, d.item(i)); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("\nDiff: %d objects change", changed)
	if unchecked > 0 {
		text += fmt.Sprintf(", %d could not be checked beforehand", unchecked)
	}
	if refused > 0 {
		text += fmt.Sprintf(", %d would be refused by the API server", refused)
	}
	_, err := fmt.Fprintln(d.program.Out, text)
	return err
}

// item is what is printed of one object.
func (d *diffPrinter) item(i content.DiffItem) string {
	var text strings.Builder
	name := i.Name
	if i.Namespace != "" {
		name = i.Namespace + "/" + i.Name
	}
	text.WriteString("\n" + d.colored(bold, printable(i.Action+" "+i.Type()+" "+name)) + "\n")
	if i.Refused != nil {
		text.WriteString(d.colored(red, "  would be refused: "+oneLine(i.Refused.Message)) + "\n")
	}
	if i.Unchecked != "" {
		text.WriteString("  unchecked: " + oneLine(i.Unchecked) + "\n")
	}
	for _, n := range i.Notes {
		text.WriteString("  note: " + oneLine(n) + "\n")
	}
	text.WriteString(d.lines(i.Changes))
	switch {
	case i.FromBackup == "":
	case i.Changes == "":
		text.WriteString("  nothing changes; what is not as in the backup:\n")
	default:
		text.WriteString("  what is not as in the backup:\n")
	}
	text.WriteString(d.lines(i.FromBackup))
	return text.String()
}

// oneLine is a text as a terminal may have it, in one line.
func oneLine(text string) string { return printable(strings.Join(strings.Fields(text), " ")) }

// lines are those of a unified diff. YAML has no characters that a terminal would obey.
func (d *diffPrinter) lines(diff string) string {
	if !d.color {
		return diff
	}
	var text strings.Builder
	for line := range strings.Lines(diff) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
			line = d.colored(bold, line)
		case strings.HasPrefix(line, "@@"):
			line = d.colored(cyan, line)
		case strings.HasPrefix(line, "+"):
			line = d.colored(green, line)
		case strings.HasPrefix(line, "-"):
			line = d.colored(red, line)
		}
		text.WriteString(line + "\n")
	}
	return text.String()
}

func (d *diffPrinter) colored(color, text string) string {
	if !d.color {
		return text
	}
	return color + text + plain
}
