package recoverypoint

import (
	"encoding/json"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

// maxCoverageSize bounds a coverage as unzipped: room for 500,000 skipped objects.
const maxCoverageSize = 64 << 20

// coverageLimits bound it in memory.
var coverageLimits = bounded.JSONLimits{Depth: 8, Containers: 500_000, Values: 5_000_000}

// ReadCoverage reads a coverage blob. One that is malformed, or longer than a coverage can be, is an Error with
// CodeArchiveCorrupt.
func ReadCoverage(r io.Reader) (coffer.Coverage, error) {
	var c coffer.Coverage
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return c, corrupt("coverage: %w", err)
	}
	text, err := io.ReadAll(&bounded.Reader{R: zipped, Limit: maxCoverageSize})
	if err == nil {
		err = bounded.JSON(text, coverageLimits)
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return c, corrupt("coverage: %w", err)
	}
	return c, nil
}
