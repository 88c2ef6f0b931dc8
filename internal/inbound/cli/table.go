package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

const (
	// columnGap is between the columns of a table.
	columnGap = 3
	// leastText is how narrow the last column may be before it goes below its row, and textIndent is where it begins there.
	leastText, textIndent = 32, 4
)

// table prints rows in columns. The first row is the heading.
func (p *program) table(rows [][]string) error {
	if lines := fitted(rows, p.Width); lines != nil {
		_, err := fmt.Fprintln(p.Out, strings.Join(lines, "\n"))
		return err
	}
	w := tabwriter.NewWriter(p.Out, 0, 0, columnGap, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintln(w, harmless(strings.Join(row, "\t"))); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return w.Flush()
}

// fitted are the lines of a table that is too wide for a terminal: its last column, which has the texts, goes on in the next lines, or is
// below its row if it would be too narrow. It is nil for a table that fits, whose last column has no long texts, or whose rows are not alike.
func fitted(rows [][]string, width int) []string {
	if len(rows) == 0 || len(rows[0]) < 2 {
		return nil
	}
	last := len(rows[0]) - 1
	widths := make([]int, last+1)
	for _, row := range rows {
		if len(row) != last+1 {
			return nil
		}
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(harmless(cell)))
		}
	}
	before := 0
	for _, w := range widths[:last] {
		before += w + columnGap
	}
	if width == 0 || before+widths[last] <= width || widths[last] <= leastText {
		return nil
	}
	room, indent := width-before, before
	if below := room < leastText; below {
		room, indent = max(width-textIndent, leastText), textIndent
	}
	var lines []string
	for _, row := range rows {
		line := ""
		for i, cell := range row[:last] {
			cell = harmless(cell)
			line += cell + strings.Repeat(" ", widths[i]+columnGap-utf8.RuneCountInString(cell))
		}
		for i, text := range wrapped(harmless(row[last]), room) {
			if i > 0 || indent != before {
				lines = append(lines, strings.TrimRight(line, " "))
				line = strings.Repeat(" ", indent)
			}
			line += text
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return lines
}

// wrapped is a text in lines of so many letters, but for words that are longer. It is no line if there is no text.
func wrapped(text string, room int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		if n := len(lines) - 1; n >= 0 && utf8.RuneCountInString(lines[n])+1+utf8.RuneCountInString(word) <= room {
			lines[n] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}
