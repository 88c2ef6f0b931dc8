package cli

import (
	"context"
	"fmt"

	"github.com/coffer-backup/coffer/api/content"
)

// shownResults is a report as JSON or YAML.
type shownResults struct {
	content.ReportHead
	Results []content.ReportResult `json:"results"`
}

// The results that are not as somebody has wished.
const (
	resultFailed  = "failed"
	resultPending = "pending"
)

// items reads all items of an answer, and calls each for every one.
type items[T any] func(each func(T) error) error

// showResults shows the stored report of a restore: all of it, or what failed.
func (p *program) showResults(ctx context.Context, name string, failed bool) error {
	return p.printResults("restore "+name, answerOf[content.ReportItem](ctx, p, content.Report{Restore: name}.URL()), failed)
}

// printResults prints a report of what is named: all of it, or what failed.
func (p *program) printResults(of string, read items[content.ReportItem], failed bool) error {
	shown := shownResults{Results: []content.ReportResult{}}
	table := pagedTable{out: p.Out}
	rows := 0
	err := read(func(i content.ReportItem) error {
		switch {
		case i.Head != nil:
			shown.ReportHead = *i.Head
		case i.Result == nil || failed && i.Result.Result != resultFailed:
		case p.output == "table":
			if rows++; rows == 1 {
				if err := table.row("RESULT", "TYPE", "NAMESPACE", "NAME", "CODE", "REASON"); err != nil {
					return err
				}
			}
			r := i.Result
			return table.row(r.Result, r.Type(), r.Namespace, r.Name, r.Code, oneLine(r.Reason))
		default:
			shown.Results = append(shown.Results, *i.Result)
		}
		return nil
	})
	if flushErr := table.flush(); err == nil {
		err = flushErr
	}
	if err != nil {
		return fmt.Errorf("report of %s: %w", of, err)
	}
	if p.output != "table" {
		return p.show(shown, nil)
	}
	if failed && rows == 0 {
		_, _ = fmt.Fprintf(p.Err, "Nothing failed in %s.\n", of)
	}
	if n := shown.Counts[resultPending]; failed && n > 0 {
		_, _ = fmt.Fprintf(p.Err, "It ended before %d objects had their turn; --results lists them as pending.\n", n)
	}
	return nil
}
