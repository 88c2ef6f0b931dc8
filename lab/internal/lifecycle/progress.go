package lifecycle

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progress writes one line per step with the time since the beginning. Steps may end concurrently.
type progress struct {
	begin time.Time

	mu  sync.Mutex // guards out
	out io.Writer
}

func newProgress(out io.Writer) *progress { return &progress{begin: time.Now(), out: out} }

func (p *progress) step(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "%5.1fs  %s\n", time.Since(p.begin).Seconds(), fmt.Sprintf(format, args...))
}

func makeFolders(paths ...string) error {
	for _, path := range paths {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("create a folder: %w", err)
		}
	}
	return nil
}
