package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	// pollJob is between questions about a job, unless Config says otherwise.
	pollJob = 2 * time.Second
	// awayTime is for how long a server may not answer while a job is waited for: it may be restarted, and the job goes on.
	awayTime = 5 * time.Minute
)

func (p *program) newJobWait() *cobra.Command {
	var at jobFlags
	cmd := &cobra.Command{
		Use: "wait JOB", Short: "Wait for the end of a job, and show its progress", Aliases: []string{"watch"},
		Long: `Wait for the end of a job, and show its progress. The exit code is 0 if the job has completed, also with warnings, and 1 if it has
failed or was cancelled. Whoever stops waiting leaves the job as it is.`,
		Example: "  coffer job wait -g shop -v shop-vault 0b0f7f5e-1b35-4d5c-9d0a-6f5f5c1d9a70",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atJob(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.waitJob(cmd.Context(), s, id)
		},
	}
	at.bind(p, cmd)
	return cmd
}

// waitJob follows a job to its end and shows it. One that did not succeed is errShown.
func (p *program) waitJob(ctx context.Context, s session, id string) error {
	v, text, err := p.followJob(ctx, s, id)
	if err != nil {
		return err
	}
	if err := p.showOne(jobNoun(), text); err != nil {
		return err
	}
	return p.judgeJob(v)
}

// judgeJob says on the error output what went wrong with a job that has ended, and how. One that did not succeed is errShown.
func (p *program) judgeJob(v jobView) error {
	if p.output != "table" || p.flags.compiled != nil || !v.succeeded() {
		for _, w := range v.details().WarningDetails {
			_, _ = fmt.Fprintln(p.Err, "warning: "+warningText(w))
		}
	}
	if v.succeeded() {
		return nil
	}
	_, _ = fmt.Fprintf(p.Err, "coffer: job %s: %s\n", printable(v.Name), printable(string(v.Properties.Status)))
	for _, e := range v.Properties.ErrorDetails {
		_, _ = fmt.Fprintln(p.Err, "  "+problemText(e))
	}
	return errShown
}

// followJob reads a job until it is final, and shows how far it is.
func (p *program) followJob(ctx context.Context, s session, id string) (jobView, json.RawMessage, error) {
	line := newJobLine(p)
	defer line.end()
	interval := p.PollInterval
	if interval == 0 {
		interval = pollJob
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var answered time.Time
	for {
		v, text, err := s.readJob(ctx, id)
		switch {
		case err == nil:
			answered = time.Now()
			line.show(v)
			if v.final() {
				return v, text, nil
			}
		case ctx.Err() != nil:
		case !away(err) || time.Since(answered) > awayTime:
			return v, nil, fmt.Errorf("follow the job: %w", err)
		default:
			line.note("the server does not answer, and is asked again; the job does not need it to be followed (" + oneLine(err.Error()) + ")")
		}
		select {
		case <-ctx.Done():
			line.end()
			return v, nil, fmt.Errorf("stopped waiting; the job goes on. Follow it with `%s`, or end it with `%s`", p.jobCommand("wait", id), p.jobCommand("cancel", id))
		case <-tick.C:
		}
	}
}

// away says whether an error is of a server that may answer in a moment, and not its refusal.
func away(err error) bool {
	refused, ok := errors.AsType[*coffer.Error](err)
	return !ok || refused.Transient || refused.Code == "" || refused.Code == coffer.CodeDatabaseUnavailable
}

func (s session) readJob(ctx context.Context, id string) (jobView, json.RawMessage, error) {
	reply, err := s.Do(ctx, Call{Method: http.MethodGet, Path: id})
	if err != nil {
		return jobView{}, nil, err
	}
	v, err := decodeAs[jobView](reply.Body)
	return v, reply.Body, err
}

// jobLine shows how a job goes: on a terminal one line that is rewritten, elsewhere a line for each step, and one now and then.
type jobLine struct {
	program       *program
	began, shown  time.Time
	last, trouble string
	// open says that a line on the terminal is not ended.
	open bool
}

func newJobLine(p *program) *jobLine { return &jobLine{program: p, began: time.Now()} }

func (l *jobLine) show(v jobView) {
	l.trouble = ""
	details := v.details().AdditionalDetails
	state := printable(string(v.Properties.Status))
	switch {
	case v.final():
	case details["Waiting"] != "":
		state += " waits: " + oneLine(details["Waiting"])
	case details["Cancelling"] != "":
		state += " cancelling"
	case details["Step"] != "":
		state += " " + printable(details["Step"])
	}
	text := fmt.Sprintf("%6s  %-34s %s", time.Since(l.began).Truncate(100*time.Millisecond), state, v.progress())
	if l.program.Terminal {
		_, _ = fmt.Fprintf(l.program.Err, "\r\x1b[K%s", text)
		l.open = true
		return
	}
	if state == l.last && time.Since(l.shown) < quietInterval {
		return
	}
	l.last, l.shown = state, time.Now()
	_, _ = fmt.Fprintln(l.program.Err, text)
}

// note says something beside the progress, once until there is progress again.
func (l *jobLine) note(text string) {
	if l.trouble != "" {
		return
	}
	l.trouble = text
	l.end()
	_, _ = fmt.Fprintln(l.program.Err, text)
}

func (l *jobLine) end() {
	if l.open {
		_, _ = fmt.Fprintln(l.program.Err)
	}
	l.open = false
}
