// Command bench measures Coffer against the physical limit, in one run on one machine: the real extension on a real API
// server, beside the plainest program that moves the same objects.
//
// It prints a table and writes a list of rows as JSON. hack/bench brings the cluster.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"text/tabwriter"
)

// row is one figure beside its reference.
type row struct {
	Name string `json:"name"`
	// Ours and Reference are medians, in Unit.
	Ours      float64 `json:"ours"`
	Reference float64 `json:"reference"`
	Unit      string  `json:"unit"`
	// Ratio is Ours / Reference, and Target what it has to be.
	Ratio  float64 `json:"ratio"`
	Target string  `json:"target"`

	// what says what was measured, for people.
	what string
}

// benchmark makes rows whose names begin with its name.
type benchmark struct {
	name string
	// apart says that it needs no cluster.
	apart bool
	run   func(ctx context.Context, b *bench) ([]row, error)
}

var benchmarks = []benchmark{
	{"api-page", true, func(ctx context.Context, _ *bench) ([]row, error) { return apiPage(ctx, 10_000, 1_000_000) }},
	{"scheduler-lag", true, func(ctx context.Context, _ *bench) ([]row, error) { return schedulerLag(ctx, 10_000) }},
	{"retention-sweep", true, func(ctx context.Context, _ *bench) ([]row, error) { return retentionSweep(ctx, 10_000, 1_000_000) }},
	{"link-1000", true, func(ctx context.Context, _ *bench) ([]row, error) { return links(ctx, 1000) }},
	{"plan-100k", true, func(context.Context, *bench) ([]row, error) { return planning(100_000) }},
	{"apply-10k", false, func(ctx context.Context, b *bench) ([]row, error) { return b.apply(ctx, "apply-10k", 10_000) }},
	{"velero-restore velero-memory-restore", false, func(ctx context.Context, b *bench) ([]row, error) { return b.veleroRestore(ctx, 10_000) }},
	// Last, for what they make is left to the end of the cluster.
	{"capture-20k", false, func(ctx context.Context, b *bench) ([]row, error) { return b.capture(ctx, 20_000) }},
	{"capture-memory-large", false, func(ctx context.Context, b *bench) ([]row, error) { return b.captureLarge(ctx, 300) }},
	{"capture-100k capture-memory-100k", false, func(ctx context.Context, b *bench) ([]row, error) { return b.capture(ctx, 100_000) }},
	{"velero-backup velero-memory velero-archive", false, func(ctx context.Context, b *bench) ([]row, error) { return b.velero(ctx, 100_000) }},
	{"restore-memory-100k", false, func(ctx context.Context, b *bench) ([]row, error) { return b.restoreMany(ctx, 100_000) }},
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of a control-plane-only lab cluster that is empty")
	extension := flag.String("extension", "", "program coffer-extension")
	out := flag.String("out", "", "file for the rows as JSON")
	loaded := flag.Int("loaded", 0, "how many objects of the capture rows the cluster has already")
	pprof := flag.String("pprof", "", "where the extension serves Go profiles meanwhile, such as 127.0.0.1:6060")
	rows := flag.String("rows", ".", "regular expression of the rows to make")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, options{*kubeconfig, *extension, *out, *rows, *pprof, *loaded})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	kubeconfig, extension, out, rows, pprof string
	loaded                                  int
}

func run(ctx context.Context, o options) error {
	pattern, err := regexp.Compile(o.rows)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	var b *bench
	var rows []row
	for _, m := range benchmarks {
		if !pattern.MatchString(m.name) {
			continue
		}
		if b == nil && !m.apart {
			if b, err = newBench(ctx, o.kubeconfig, o.extension, o.pprof); err != nil {
				return err
			}
			defer b.close()
			b.captured = o.loaded
		}
		made, err := m.run(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		rows = append(rows, made...)
	}
	if len(rows) == 0 {
		return fmt.Errorf("no row matches %q", o.rows)
	}
	if err := printTable(os.Stdout, rows); err != nil {
		return err
	}
	return write(o.out, rows)
}

func printTable(out io.Writer, rows []row) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "\nROW\tOURS\tREFERENCE\tUNIT\tRATIO\tTARGET\tWHAT")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%.4g\t%.4g\t%s\t%.2f\t%s\t%s\n", r.Name, r.Ours, r.Reference, r.Unit, r.Ratio, r.Target, r.what)
	}
	return table.Flush()
}

func write(file string, rows []row) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o600)
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s\n", strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
}
