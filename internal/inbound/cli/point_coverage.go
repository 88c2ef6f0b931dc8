package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/content"
)

func (p *program) newPointCoverage() *cobra.Command {
	var at pointFlagsOf
	cmd := &cobra.Command{
		Use: "coverage RECOVERY-POINT", Short: "Say what a recovery point has, what it has not, and why",
		Example: `  coffer recovery-point coverage -g shop -v shop-vault -n shop latest
  coffer recovery-point coverage -n shop latest --query "[?kind=='Gap' || kind=='SkippedObject']"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atPoint(cmd.Context(), at)
			if err != nil {
				return err
			}
			all := []content.CoverageItem{}
			read := pagesOf[content.CoverageItem](cmd.Context(), s, question(id, "coverage"))
			if err := read(func(i content.CoverageItem) error { all = append(all, i); return nil }); err != nil {
				return err
			}
			return p.render(all, func() error { return p.coverageTable(all) })
		},
	}
	at.bind(p, cmd)
	return cmd
}

// coverageTable prints what is there in counts, and what is not with its reasons.
func (p *program) coverageTable(all []content.CoverageItem) error {
	table := pagedTable{out: p.Out}
	if err := table.row("COVERAGE", "WHAT", "OBJECTS", "CODE", "REASON"); err != nil {
		return err
	}
	for _, i := range all {
		objects := ""
		if i.Objects > 0 {
			objects = strconv.FormatInt(i.Objects, 10)
		}
		if i.Point != nil {
			objects = strconv.FormatInt(i.Point.Objects, 10)
		}
		if err := table.row(coverageKind(i), coverageWhat(i), objects, i.Code, oneLine(i.Reason)); err != nil {
			return err
		}
	}
	return table.flush()
}

// coverageKind says in a word or two what an item tells.
func coverageKind(i content.CoverageItem) string {
	switch i.Kind {
	case content.CoverageOfPoint:
		if i.Point != nil && i.Point.Partial {
			return "incomplete"
		}
		return "complete"
	case content.CoverageNamespace:
		return "namespace"
	case content.CoverageCaptured:
		return "captured"
	case content.CoverageGap:
		return "missing"
	case content.CoverageInconsistent:
		return "not of one moment"
	case content.CoverageSkippedType, content.CoverageSkippedObject:
		return "skipped"
	case content.CoverageNeeded:
		return "needed"
	case content.CoverageNotSelected:
		return "not selected"
	case content.CoverageVolume:
		if i.Volume != nil {
			return strings.ToLower(i.Volume.Result)
		}
	}
	return string(i.Kind)
}

// coverageWhat says what an item is of.
func coverageWhat(i content.CoverageItem) string {
	switch {
	case i.Point != nil:
		return "recovery point " + i.Point.Name
	case i.Volume != nil:
		text := "volume " + i.Volume.Namespace + "/" + i.Volume.Claim
		if i.Volume.Size > 0 {
			text += " " + bytesText(i.Volume.Size)
		}
		return text
	case i.Object != nil:
		return i.Object.Type() + " " + strings.TrimPrefix(i.Object.Namespace+"/"+i.Object.Name, "/")
	}
	return i.What
}
