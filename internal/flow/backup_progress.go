package flow

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/archive"
)

// progressInterval is how often the status tells how far a capture is.
const progressInterval = 2 * time.Second

// reportProgress keeps the status up to date until done is closed.
func (b *backup) reportProgress(ctx context.Context, out *archive.Writer, to *collection, done <-chan struct{}) {
	began := b.Now()
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	tell := func() {
		b.update(func() { to.report(&b.object.Status.Progress, out.Bytes(), b.Now().Sub(began)) })
	}
	tell()
	for {
		select {
		case <-done:
			tell()
			// Also if it was given up in the middle.
			b.update(func() { b.object.Status.Progress.TimeLeft = nil })
			return
		case <-tick.C:
			tell()
			// Progress that cannot be shown now is shown next time.
			_ = b.save(ctx)
		}
	}
}

// progress notes that objects of a type were read, and about how many are still to come.
func (c *collection) progress(t coffer.GroupResource, listed int, remaining int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listed += int64(listed)
	if remaining > 0 {
		c.remaining[t] = remaining
	} else {
		delete(c.remaining, t)
	}
}

// report says how far a capture is that began so long ago. All lists begin at once: after the first pages of all, what the
// API server says to be left is about all there is.
func (c *collection) report(p *v1alpha1.BackupProgress, bytes int64, elapsed time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var left int64
	for _, n := range c.remaining {
		left += n
	}
	p.Objects, p.Bytes, p.ObjectsListed, p.ObjectsExpected = c.objects, bytes, c.listed, c.listed+left
	p.ObjectsPerSecond, p.TimeLeft = rate(c.listed, elapsed), nil
	if p.ObjectsPerSecond > 0 && left > 0 {
		p.TimeLeft = &metav1.Duration{Duration: (time.Duration(float64(left) / float64(p.ObjectsPerSecond) * float64(time.Second))).Round(time.Second)}
	}
}

// rate is so many per second, and at least one if there were any.
func rate(n int64, elapsed time.Duration) int64 {
	if n == 0 || elapsed <= 0 {
		return n
	}
	return max(1, int64(float64(n)/elapsed.Seconds()))
}
