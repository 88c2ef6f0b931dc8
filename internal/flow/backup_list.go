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
	// sparse is how many objects may follow the first page, if not zero, before the list is given up with errSparse.
	sparse int64
	// begun says that there was a page, later that there was one of another moment, and captured counts the objects of all.
	begun, later bool
	captured     int
	// unreadable says that there was something that is no object.
	unreadable bool
	// head is what the objects of built-in types lack in a list.
	head []byte
}

// captureType lists one type into the archive. A type that cannot be read is a gap and a warning: the rest is backed
// up.
func (b *backup) captureType(ctx context.Context, t coffer.ResourceType, out *archive.Writer, to *collection) error {
	c := &typeCapture{backup: b, t: t, out: out, to: to, head: fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,`, t.APIVersion(), t.Kind)}
	began := b.Now()
	err := c.list(ctx)
	switch code := coffer.CodeOf(err); {
	case code == coffer.CodeLocationNotReady:
		return err
	case code == coffer.CodeNotFound:
		b.recordGap(to, coffer.TypeGap{What: t.GroupResource.String(), Reason: "the type went away while the backup was running: " + err.Error()})
	case unlistable(err):
		b.recordGap(to, coffer.TypeGap{What: t.GroupResource.String(), Reason: err.Error()})
	case err != nil:
		return err
	}
	to.progress(t.GroupResource, 0, 0)
	if c.captured > 0 {
		b.Log.Info("type captured", "type", t.GroupResource.String(), "objects", c.captured, "took", b.Now().Sub(began).Round(time.Millisecond))
	}
	return nil
}

const (
	// maxNamespaceLists is up to how many chosen namespaces are always listed one by one.
	maxNamespaceLists = 5
	// maxSparseLists is up to how many are listed one by one if the cluster has many objects in other namespaces.
	maxSparseLists = 100
	// requestWorth is how many objects are read in the time that a request takes.
	requestWorth = 50
	// maxRefusals is after how many namespaces that refuse a list, and none that allows it, the others are not asked.
	maxRefusals = 5
)

// errSparse says that the chosen namespaces have so little of a type that they are listed one by one.
var errSparse = errors.New("other namespaces hold too much")

// list lists the type: in the whole cluster, from which the rest is thrown away, or in one chosen namespace after the
// other where that is cheaper, or where nothing else is allowed.
func (c *typeCapture) list(ctx context.Context) error {
	if !c.t.Namespaced {
		return c.Cluster.List(ctx, c.t, "", c.page)
	}
	names, bounded := c.scope.Namespaces(c.t.GroupResource)
	if bounded && len(names) <= maxNamespaceLists {
		return c.listEach(ctx, names)
	}
	if bounded && len(names) <= maxSparseLists {
		c.sparse = int64(len(names)) * requestWorth
	}
	err := c.Cluster.List(ctx, c.t, "", c.page)
	if errors.Is(err, errSparse) || coffer.CodeOf(err) == coffer.CodeForbidden && !c.begun {
		return c.listEach(ctx, names)
	}
	return err
}

func (c *typeCapture) listEach(ctx context.Context, names []string) error {
	c.sparse = 0
	var refused []string
	var refusal error
	for i, namespace := range names {
		err := c.Cluster.List(ctx, c.t, namespace, c.page)
		if coffer.CodeOf(err) != coffer.CodeForbidden {
			if err != nil {
				return err
			}
			continue
		}
		refused, refusal = append(refused, namespace), err
		if i+1 == maxRefusals && len(refused) == maxRefusals {
			return err
		}
	}
	if refusal == nil || len(refused) == len(names) {
		return refusal
	}
	return coffer.Errorf(coffer.CodeForbidden, "in namespaces %s, not in others: %w", someOf(refused), refusal)
}

// page takes one page of a list into the archive. What is left of a member at its end makes a smaller one: nothing is in
// memory of lists that wait for their next page.
func (c *typeCapture) page(p coffer.Page) error {
	if !c.begun && c.sparse > 0 && p.Remaining > c.sparse {
		return errSparse
	}
	c.begun = true
	if p.Later != "" && !c.later {
		c.later = true
		c.seen.distrust()
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
	c.captured += len(captured)
	c.to.captured(c.t, captured)
	c.to.progress(c.t.GroupResource, len(p.Items), p.Remaining)
	return nil
}

// object takes one object into the archive, if it is selected and did not come before.
func (c *typeCapture) object(raw json.RawMessage, batch *archive.Batch) (coffer.ObjectRef, bool, error) {
	h, err := coffer.DecodeHeader(raw)
	if err != nil || h.Metadata.Name == "" {
		c.noteUnreadable(err)
		return coffer.ObjectRef{}, false, nil
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

// noteUnreadable records, once, that an API server sends what is no object.
func (c *typeCapture) noteUnreadable(err error) {
	if err == nil {
		err = errors.New("it has no name")
	}
	if !c.unreadable {
		c.unreadable = true
		c.recordGap(c.to, coffer.TypeGap{What: c.t.GroupResource.String(), Reason: "the API server sends what cannot be read as an object, and only the others are captured: " + err.Error()})
	}
}

// noteInconsistent records that a type is not of one moment.
func (c *typeCapture) noteInconsistent(reason string) {
	c.to.inconsistent(coffer.TypeGap{What: c.t.GroupResource.String(), Reason: reason})
	c.warn(coffer.CodeInconsistent, c.t.GroupResource.String(), "its objects are not all of one moment: "+reason)
}

// noteNotArchivable records an object that was asked for and that no archive can hold.
func (b *backup) noteNotArchivable(to *collection, ref coffer.ObjectRef, err error) {
	to.skipped(coffer.SkippedObject{ObjectRef: ref, Code: coffer.CodeObjectNotCaptured, Reason: err.Error()})
	b.warn(coffer.CodeObjectNotCaptured, ref.String(), "it is not in the recovery point: "+err.Error())
}
