package cli

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

const (
	waitInterval = 300 * time.Millisecond
	// pickUpPatience is how long a run may wait for an extension before the user is told.
	pickUpPatience = 15 * time.Second
)

// wait follows a run until it is final. A run that did not succeed is errShown, after its message was shown.
func (p *program) wait(ctx context.Context, c client.Client, object client.Object, status func() v1alpha1.RunStatus, progress func() string) error {
	if err := p.follow(ctx, c, object, status, progress); err != nil {
		return err
	}
	if s := status(); !s.Phase.Succeeded() {
		_, _ = fmt.Fprintf(p.Err, "coffer: %s: %s: %s\n", s.Phase, s.Reason, harmless(s.Message))
		return errShown
	}
	return nil
}

// follow reads a run until it is final, and shows its progress. progress is one line for a person.
func (p *program) follow(ctx context.Context, c client.Client, object client.Object, status func() v1alpha1.RunStatus, progress func() string) error {
	line := newProgressLine(p)
	began := time.Now()
	told := false
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	for {
		if err := c.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			line.end()
			return fmt.Errorf("follow the run: %w", err)
		}
		s := status()
		line.show(s, progress())
		if s.Phase.Final() {
			line.end()
			return nil
		}
		if s.Phase == "" && !told && time.Since(began) > pickUpPatience {
			told = true
			line.note(fmt.Sprintf("no Backup extension has picked this up for %s: `kubectl get pods -n %s` says whether it runs", pickUpPatience, p.target.Namespace))
		}
		select {
		case <-ctx.Done():
			line.end()
			return fmt.Errorf("stopped waiting; the run goes on: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// progressLine shows how a run goes: on a terminal one line that is rewritten, elsewhere a line for each change of
// phase or step, and one now and then.
type progressLine struct {
	program *program
	began   time.Time
	last    string
	printed time.Time
}

// quietInterval is how often a run that goes on without a change is mentioned where there is no terminal.
const quietInterval = 10 * time.Second

func newProgressLine(p *program) *progressLine {
	return &progressLine{program: p, began: time.Now()}
}

func (l *progressLine) show(s v1alpha1.RunStatus, progress string) {
	state := phaseText(s.Phase)
	if s.Phase == v1alpha1.RunInProgress && s.Step != "" {
		state += " " + s.Step
	}
	text := fmt.Sprintf("%6s  %-34s %s", time.Since(l.began).Truncate(100*time.Millisecond), state, progress)
	if s.Phase == v1alpha1.RunInProgress && s.Message != "" {
		text += "  (" + harmless(s.Message) + ")"
	}
	if l.program.Terminal {
		_, _ = fmt.Fprintf(l.program.Err, "\r\x1b[K%s", text)
		return
	}
	if state == l.last && time.Since(l.printed) < quietInterval && !s.Phase.Final() {
		return
	}
	l.last, l.printed = state, time.Now()
	_, _ = fmt.Fprintln(l.program.Err, text)
}

func (l *progressLine) note(text string) {
	l.end()
	_, _ = fmt.Fprintln(l.program.Err, text)
}

func (l *progressLine) end() {
	if l.program.Terminal {
		_, _ = fmt.Fprintln(l.program.Err)
	}
}
