package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	// pageTarget is how many bytes a page is meant to have: enough for the request to cost little against it, and for two of
	// the largest objects.
	pageTarget = 3 << 20
	// pageLimit is how many bytes of a page are read. One that has more is asked for again, with fewer objects.
	pageLimit = 2 * pageTarget
	// objectLimit is how many bytes a page of one object may have, and one of an API server that sends all at once,
	// however many it is asked for.
	objectLimit = 32 << 20
	// firstPage is how many objects are asked for before their size is known: 100 of the largest are 150 MB for the API
	// server, and nearly all types have fewer.
	firstPage = 100
	// largestPage bounds the objects of a page, as small as they may be.
	largestPage = 1000
	// parallelPages is how many pages there are at a time in this process, being read or worked on.
	parallelPages = 4
	// maxRestarts is how often a list is begun anew because its continue token has expired, and how often in a row another
	// token is taken that expires as well.
	maxRestarts = 3
)

// patience says how long an API server is waited for.
type patience struct {
	// page is how long one page may take.
	page time.Duration
	// attempts is how often a page is asked for that does not come, or half as often if each takes all its time. pause
	// is before the second; each further one is twice as long.
	attempts int
	pause    time.Duration
	// busy is how long is waited altogether, page by page, for an API server that says that it has too much to do.
	busy time.Duration
}

var defaultPatience = patience{page: time.Minute, attempts: 6, pause: time.Second, busy: 5 * time.Minute}

// list is one LIST under way.
type list struct {
	cluster   *Cluster
	t         coffer.ResourceType
	namespace string
	// accept is the form in which the objects are wanted.
	accept string
	// token is where to go on, and limit for how many objects to ask.
	token string
	limit int
	// begun says that there was a first page, and ended that there was a last.
	begun, ended bool
	// restarts counts how often the list was begun anew, and expiries the tokens that have expired since the last page.
	restarts, expiries int
	// later is why what comes now is of a later moment than what came before.
	later string
}

// page is one answer, and the buffer that holds it.
type page struct {
	coffer.Page

	release func()
}

// List implements coffer.Cluster. While each works on a page, the next one is read.
func (c *Cluster) List(ctx context.Context, t coffer.ResourceType, namespace string, each func(coffer.Page) error) error {
	return c.list(ctx, &list{cluster: c, t: t, namespace: namespace, limit: firstPage, accept: "application/json"}, each)
}

// metadataOnly asks for the metadata of objects; an API server that cannot leave out the rest sends all.
const metadataOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

// ListMetadata implements coffer.Cluster.
func (c *Cluster) ListMetadata(ctx context.Context, t coffer.ResourceType, namespace string, each func(coffer.Page) error) error {
	return c.list(ctx, &list{cluster: c, t: t, namespace: namespace, limit: firstPage, accept: metadataOnly}, each)
}

func (c *Cluster) list(ctx context.Context, l *list, each func(coffer.Page) error) error {
	first, err := l.next(ctx)
	if err != nil {
		return err
	}
	if l.ended {
		defer first.release()
		return each(first.Page)
	}
	pages := make(chan page)
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error {
		defer close(pages)
		p := first
		for {
			select {
			case pages <- p:
			case <-ctx.Done():
				p.release()
				return ctx.Err()
			}
			if l.ended {
				return nil
			}
			var err error
			if p, err = l.next(ctx); err != nil {
				return err
			}
		}
	})
	both.Go(func() error {
		for p := range pages {
			err := each(p.Page)
			p.release()
			if err != nil {
				return err
			}
		}
		return nil
	})
	return both.Wait()
}

// next reads the next page, as often as it takes.
func (l *list) next(ctx context.Context) (page, error) {
	patience := l.cluster.patience
	attempts, pause, busy := 0, patience.pause, time.Duration(0)
	for {
		p, err := l.read(ctx)
		if err == nil {
			return p, nil
		}
		wait := time.Duration(0)
		if seconds, asked := apierrors.SuggestsClientDelay(err); asked {
			wait = time.Duration(seconds) * time.Second
		}
		switch {
		case ctx.Err() != nil:
			return page{}, ctx.Err()
		case errors.Is(err, errPageTooLarge):
			if l.limit == 1 {
				return page{}, coffer.Errorf(coffer.CodeUnanswered, "list %s: one object, or all of them if the API server does not page, are too large: %w", l.what(), err)
			}
			l.limit = max(l.limit/4, 1)
			continue
		case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
			if !l.resume(err) {
				return page{}, l.unanswered(ctx, err)
			}
			continue
		case apierrors.IsTooManyRequests(err):
			// Priority and fairness has put others first. That is no fault of anybody's.
			wait = max(wait, pause)
			if busy += wait; busy > patience.busy {
				return page{}, l.unanswered(ctx, err)
			}
		case !passing(err):
			if translated := translate(err, "list %s", l.what()); coffer.CodeOf(translated) != "" {
				return page{}, translated
			}
			return page{}, l.unanswered(ctx, err)
		default:
			attempts++
			if late(err) {
				// Fewer may be quick enough.
				attempts++
				l.limit = max(l.limit/10, 1)
			}
			if attempts >= patience.attempts {
				return page{}, l.unanswered(ctx, err)
			}
			wait = min(max(wait, pause), patience.page)
			pause *= 2
		}
		// Those who were sent away together come back apart.
		wait += rand.N(wait/4 + 1) //nolint:gosec // no secret
		select {
		case <-ctx.Done():
			return page{}, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// passing says whether an error may pass by itself.
func passing(err error) bool {
	var status apierrors.APIStatus
	return !errors.As(err, &status) || status.Status().Code >= 500 || late(err)
}

// late says whether an answer did not come in time.
func late(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
}

// resume goes on after the continue token has expired: with the token that the API server offers for that case, after
// the last object that was listed; without one, from the beginning.
func (l *list) resume(err error) bool {
	if l.token = expiredContinue(err); l.token == "" {
		l.restarts++
	} else {
		l.expiries++
	}
	if max(l.restarts, l.expiries) > maxRestarts {
		return false
	}
	switch {
	case l.token != "":
		l.later = "the list took longer than the API server keeps old states: it was continued in a later state"
	case l.begun:
		l.later = "the list took longer than the API server keeps old states, and was begun anew"
	}
	return true
}

// unanswered is the error for a list that is given up: one with a code if the API server has answers for others. If it
// has not, it will be back, and the list will be made anew.
func (l *list) unanswered(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, l.cluster.patience.page)
	defer cancel()
	_, err := l.cluster.client.Get().AbsPath("/api/v1/namespaces").Param("limit", "1").MaxRetries(0).Do(ctx).Raw()
	if err != nil && passing(err) {
		return fmt.Errorf("list %s: %w", l.what(), cause)
	}
	e := coffer.Errorf(coffer.CodeUnanswered, "list %s: the API server does not answer with it, again and again: %w", l.what(), cause)
	// Whoever can do without it goes on.
	e.Transient = true
	return e
}

func (l *list) what() string {
	if l.namespace == "" {
		return l.t.GroupResource.String()
	}
	return l.t.GroupResource.String() + " of namespace " + l.namespace
}

// read asks for one page, once.
func (l *list) read(ctx context.Context) (page, error) {
	c := l.cluster
	// Those who wait are served in turn: all lists begin before the second page of any.
	select {
	case <-ctx.Done():
		return page{}, ctx.Err()
	case c.slots <- struct{}{}:
	}
	buf, _ := c.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	release := func() {
		if cap(*buf) <= pageLimit {
			c.buffers.Put(buf)
		}
		<-c.slots
	}
	p, err := l.decode(ctx, buf)
	if err != nil {
		release()
		return page{}, err
	}
	return page{Page: p, release: release}, nil
}

func (l *list) decode(ctx context.Context, buf *[]byte) (coffer.Page, error) {
	pageCtx, cancel := context.WithTimeout(ctx, l.cluster.patience.page)
	defer cancel()
	request := l.cluster.client.Get().AbsPath(path(l.t, l.namespace)).Param("limit", fmt.Sprint(l.limit)).
		SetHeader("Accept", l.accept).MaxRetries(0)
	if l.token != "" {
		request = request.Param("continue", l.token)
	}
	body, err := request.Stream(pageCtx)
	if err != nil {
		return coffer.Page{}, err
	}
	defer func() { _ = body.Close() }()
	limit := pageLimit
	if l.limit == 1 {
		limit = objectLimit
	}
	if *buf, err = readPage(body, *buf, limit); err != nil {
		return coffer.Page{}, err
	}
	metadata, items, err := splitList(*buf)
	if err != nil {
		return coffer.Page{}, coffer.Errorf(coffer.CodeUnanswered, "list %s: the API server's answer is not a list: %w", l.what(), err)
	}
	var head struct {
		Continue           string `json:"continue"`
		RemainingItemCount int64  `json:"remainingItemCount"`
	}
	if len(metadata) > 0 {
		if err := json.Unmarshal(metadata, &head); err != nil {
			return coffer.Page{}, coffer.Errorf(coffer.CodeUnanswered, "list %s: the API server's answer is not a list: %w", l.what(), err)
		}
	}
	if head.Continue != "" && head.Continue == l.token {
		return coffer.Page{}, coffer.Errorf(coffer.CodeUnanswered, "list %s: the API server goes on from a page to the same page", l.what())
	}
	l.begun, l.token, l.ended, l.expiries = true, head.Continue, head.Continue == "", 0
	if n := len(items); n > 0 {
		l.limit = min(max(pageTarget/(len(*buf)/n+1), 1), 4*l.limit, largestPage)
	}
	return coffer.Page{Items: items, Remaining: max(head.RemainingItemCount, 0), Later: l.later}, nil
}

// errPageTooLarge says that a page has more bytes than are held in memory.
var errPageTooLarge = errors.New("the page is too large")

// readPage reads up to limit bytes into buf, which it replaces by a larger one as need be.
func readPage(r io.Reader, buf []byte, limit int) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= limit {
				return buf, fmt.Errorf("%w: it has more than %d bytes", errPageTooLarge, limit)
			}
			larger := make([]byte, len(buf), min(max(2*cap(buf), 96<<10), limit))
			copy(larger, buf)
			buf = larger
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}
