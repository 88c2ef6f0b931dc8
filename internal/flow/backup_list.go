package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/archive"
)

// typeCapture is one type on its way into the archive.
type typeCapture struct {
	*backup
	t    coffer.ResourceType
	out  *archive.Writer
	to   *collection
	seen seenObjects
	// head is what the objects of built-in types lack in a list.
	head []byte
}

// captureType lists one type into the archive. A type that cannot be read is a gap and a warning: the rest is backed
// up.
func (b *backup) captureType(ctx context.Context, t coffer.ResourceType, out *archive.Writer, to *collection) error {
	c := &typeCapture{backup: b, t: t, out: out, to: to, head: fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,`, t.APIVersion(), t.Kind)}
	began, before := b.Now(), to.countOf(t)
	for _, namespace := range b.listNamespaces(t) {
		c.seen = seenObjects{}
		err := b.Cluster.List(ctx, t, namespace, c.page)
		if coffer.Final(err) && coffer.CodeOf(err) != coffer.CodeLocationNotReady || coffer.CodeOf(err) == coffer.CodeUnanswered {
			b.recordGap(to, coffer.TypeGap{What: t.GroupResource.String(), Reason: err.Error()})
			break
		}
		if err != nil {
			return err
		}
	}
	if n := to.countOf(t) - before; n > 0 {
		b.Log.Info("type captured", "type", t.GroupResource.String(), "objects", n, "took", b.Now().Sub(began).Round(time.Millisecond))
	}
	return nil
}

// page takes one page of a list into the archive. What is left of a member at its end makes a smaller one: nothing is in
// memory of lists that wait for their next page.
func (c *typeCapture) page(p coffer.Page) error {
	if p.Later != "" && c.seen.distrust() {
		c.noteInconsistent(p.Later)
	}
	batch := c.out.NewBatch()
	captured := make([]coffer.ObjectRef, 0, len(p.Items))
	for _, raw := range p.Items {
		ref, ok, err := c.object(raw, batch)
		if err != nil {
			return err
		}
		if ok {
			captured = append(captured, ref)
		}
	}
	if err := batch.Close(); err != nil {
		return err
	}
	c.to.captured(c.t, captured)
	return nil
}

// object takes one object into the archive, if it is selected and did not come before.
func (c *typeCapture) object(raw json.RawMessage, batch *archive.Batch) (coffer.ObjectRef, bool, error) {
	var h coffer.Header
	if err := json.Unmarshal(raw, &h); err != nil {
		return coffer.ObjectRef{}, false, fmt.Errorf("read %s: %w", c.t.GroupResource, err)
	}
	ref := coffer.ObjectRef{GroupResource: c.t.GroupResource, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}
	o, found := c.seen.find(h.Metadata)
	switch found {
	case seenBefore:
		return ref, false, nil
	case seenAsOther:
		c.to.skipped(coffer.SkippedObject{ObjectRef: ref, Reason: "it was deleted and made anew while its type was listed: what is in the recovery point is the earlier one"})
		return ref, false, nil
	}
	var err error
	o.archived, err = c.selected(ref, h, raw, batch)
	c.seen.note(o)
	return ref, o.archived, err
}

// selected takes one object into the archive, if it is selected.
func (c *typeCapture) selected(ref coffer.ObjectRef, h coffer.Header, raw json.RawMessage, batch *archive.Batch) (bool, error) {
	decision := c.scope.Object(c.t, h, raw, c.to.needed)
	c.noteDecision(c.to, ref, decision)
	if !decision.Include {
		return false, nil
	}
	parts := c.withType(raw, h)
	if c.t.GroupResource == claimType.GroupResource {
		c.to.hold(ref, bytes.Join(parts, nil))
	} else if err := batch.Add(ref, parts...); errors.Is(err, archive.ErrNotArchivable) {
		c.noteNotArchivable(c.to, ref, err)
		return false, nil
	} else if err != nil {
		return false, err
	}
	c.noteNeeds(c.to, ref, raw)
	return true, nil
}

// withType puts apiVersion and kind into an object from a list, where the API server leaves them out of built-in
// types.
func (c *typeCapture) withType(raw json.RawMessage, h coffer.Header) [][]byte {
	if h.APIVersion != "" && h.Kind != "" {
		return [][]byte{raw}
	}
	return [][]byte{c.head, bytes.TrimPrefix(bytes.TrimSpace(raw), []byte("{"))}
}

// noteInconsistent records that a type is not of one moment.
func (c *typeCapture) noteInconsistent(reason string) {
	c.to.inconsistent(coffer.TypeGap{What: c.t.GroupResource.String(), Reason: reason})
	c.warn(coffer.CodeInconsistent, c.t.GroupResource.String(), "its objects are not all of one moment: "+reason)
}

// noteNotArchivable records an object that was asked for and that no archive can hold.
func (b *backup) noteNotArchivable(to *collection, ref coffer.ObjectRef, err error) {
	to.skipped(coffer.SkippedObject{ObjectRef: ref, Code: coffer.CodeObjectNotCaptured, Reason: err.Error()})
	const shown = 300
	name := ref.String()
	if len(name) > shown {
		name = name[:shown] + "…"
	}
	b.warn(coffer.CodeObjectNotCaptured, name, "it is not in the recovery point: "+err.Error())
}
