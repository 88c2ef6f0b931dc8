// Package reader serves what is too large for custom resources to people and to the vault: what recovery points hold, and what
// restores plan, would write and have done.
package reader

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// Config is what a handler is made of; without a default, a function is needed if what it serves is asked for.
type Config struct {
	// Contents reads a recovery point, as flow.Reader does.
	Contents func(ctx context.Context, q flow.ContentsRequest, each func(flow.ContentsItem) error) error
	// Plan, Report and Diff read what is known of a Restore, as flow.Reader does.
	Plan   func(ctx context.Context, restore string, head func(flow.StoredPlan) error, each func(restorerecord.Step) error) error
	Report func(ctx context.Context, restore string, head func(restorerecord.ReportHeader) error, each func(restorerecord.Outcome) error) error
	Diff   func(ctx context.Context, q flow.DiffRequest, each func(flow.DiffItem) error) error
	// TestReport reads the report of a restore test, as flow.Reader does.
	TestReport func(ctx context.Context, q flow.TestReportRequest) (report, signature []byte, err error)
	// Coverage, Logs and Inventory read the ledger of a recovery point, the log of a run, and what there is in the cluster, as
	// flow.Reader does.
	Coverage  func(ctx context.Context, location, backup string) (coffer.Manifest, coffer.Coverage, error)
	Logs      func(ctx context.Context, kind, name string, each func(text []byte) error) error
	Inventory func(ctx context.Context) (flow.Inventory, error)
	// Holdings tells what lies in a storage location, and what backups have left in the cluster, as flow.Reader does.
	Holdings func(ctx context.Context, location string, to flow.HoldingsTo) error
	// Log is told of every request. Nil means nobody is.
	Log *slog.Logger
	// Streams is how many answers are given at the same time. Zero means 4.
	Streams int
	// Patience is how long a request waits for its turn. Zero means 10 seconds.
	Patience time.Duration
	// Stall is how long nothing of an answer may be taken before it is given up. Zero means 15 minutes: a person reads a page.
	Stall time.Duration
}

// Handler serves the paths of package content. It neither knows nor asks who is asking: whoever lets a request through to it
// has to, and what it answers is as secret as the Secrets in the recovery points. It may serve concurrently.
type Handler struct {
	Config
	mux   *http.ServeMux
	turns chan struct{}
	// large is held while a large object is looked through for what is secret.
	large chan struct{}
}

// New makes a Handler.
func New(c Config) *Handler {
	if c.Streams == 0 {
		c.Streams = 4
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	if c.Stall == 0 {
		c.Stall = 15 * time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{Config: c, mux: http.NewServeMux(), turns: make(chan struct{}, c.Streams), large: make(chan struct{}, 1)}
	h.stream(content.ContentsPattern, h.contents)
	h.stream(content.PlanPattern, h.plan)
	h.stream(content.ReportPattern, h.report)
	h.stream(content.DiffPattern, h.diff)
	h.stream(content.TestPattern, h.testReport)
	h.stream(content.CoveragePattern, h.coverage)
	h.stream(content.LogsPattern, h.logs)
	h.stream(content.InventoryPattern, h.inventory)
	h.stream(content.HoldingsPattern, h.holdings)
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// stream serves GET requests of a path by a function that calls send for each item of its answer. What it returns becomes the
// last line. The context of the request ends when nobody waits for the answer any more, and sending fails then.
func (h *Handler) stream(pattern string, answer func(r *http.Request, send func(item any) error) error) {
	h.mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		lines := newLines(w, h.Stall)
		err := h.turn(r.Context(), func() error { return answer(r, lines.send) })
		endErr := lines.end(err)
		h.log(r, began, lines.items, errors.Join(err, endErr))
	})
}

// turn waits until few enough others are being answered.
func (h *Handler) turn(ctx context.Context, do func() error) error {
	patience := time.NewTimer(h.Patience)
	defer patience.Stop()
	select {
	case h.turns <- struct{}{}:
		defer func() { <-h.turns }()
		return do()
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		err := coffer.Errorf(coffer.CodeBusy, "the Backup extension is giving %d such answers at the moment, as many as it can", h.Streams).
			WithHint("try again")
		err.Transient = true
		return err
	}
}

func (h *Handler) log(r *http.Request, began time.Time, items int64, err error) {
	log := h.Log.With("path", r.URL.Path, "query", r.URL.RawQuery, "items", items, "took", time.Since(began))
	switch {
	case err == nil:
		log.Info("content was read")
	case r.Context().Err() != nil:
		log.Info("content was not read to its end", "reason", err.Error())
	default:
		log.Warn("content could not be read", "code", coffer.CodeOf(err), "error", err)
	}
}

// invalid is the error for a request that cannot be understood.
func invalid(err error) error {
	return coffer.Errorf(coffer.CodeInvalid, "%w", err)
}

// statuses say what an error is to programs that know HTTP and nothing of codes. What is not listed is internal.
var statuses = map[coffer.Code]int{
	coffer.CodeInvalid:                http.StatusBadRequest,
	coffer.CodeBackupNotFound:         http.StatusNotFound,
	coffer.CodeNotFound:               http.StatusNotFound,
	coffer.CodeLocationNotFound:       http.StatusNotFound,
	coffer.CodeRestoreNotFound:        http.StatusNotFound,
	coffer.CodePlanNotStored:          http.StatusNotFound,
	coffer.CodeReportNotStored:        http.StatusNotFound,
	coffer.CodePlanChanged:            http.StatusConflict,
	coffer.CodeModifierNotFound:       http.StatusConflict,
	coffer.CodeForbidden:              http.StatusForbidden,
	coffer.CodeLocationNotReady:       http.StatusConflict,
	coffer.CodeArchiveCorrupt:         http.StatusConflict,
	coffer.CodeSignerNotTrusted:       http.StatusConflict,
	coffer.CodeSigningKeyUnusable:     http.StatusConflict,
	coffer.CodeEncryptionKeysUnusable: http.StatusConflict,
	coffer.CodeDecryptionKeyMissing:   http.StatusConflict,
	coffer.CodeBusy:                   http.StatusServiceUnavailable,
	coffer.CodeAuthenticationFailed:   http.StatusUnauthorized,
}

func statusOf(err error) int {
	if status, ok := statuses[coffer.CodeOf(err)]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// shownError is an error as it is answered.
func shownError(err error) *content.Error {
	var coded *coffer.Error
	if !errors.As(err, &coded) {
		return &content.Error{Message: err.Error()}
	}
	message := coded.Message
	if text, hint := err.Error(), "; "+coded.Hint; coded.Hint == "" {
		message = text
	} else if len(text) > len(hint) && text[len(text)-len(hint):] == hint {
		// What was wrapped around it says where.
		message = text[:len(text)-len(hint)]
	}
	return &content.Error{Code: string(coded.Code), Message: message, Hint: coded.Hint}
}
