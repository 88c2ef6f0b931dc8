package flow

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/conflict"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/transform"
)

// create creates one object, and counts what became of it. Only an error that may pass by itself is returned.
func (a *application) create(ctx context.Context, i int, body []byte) error {
	s := a.step(i)
	object, err := a.transformed(a.creation(s), body)
	if err != nil {
		return err
	}
	stored, conceded, err := a.post(ctx, s, object.Object)
	switch {
	case coffer.CodeOf(err) == coffer.CodeExists:
		a.meets(i)
		return nil
	case coffer.CodeOf(err) == coffer.CodeForbidden:
		return a.forbidden(ctx, i, err)
	case coffer.Final(err):
		a.failed(i, err)
		return nil
	case err != nil:
		return err
	}
	if err := a.noteUID(i, stored); err != nil {
		return err
	}
	if err := a.writeStatus(ctx, s, object.Status); err != nil {
		return err
	}
	result := note{reason: conceded}
	if conceded != "" {
		a.warn(coffer.CodeFieldsKept, s.Target.String(), conceded)
		result.code = coffer.CodeFieldsKept
	} else if s.Action == plan.Patch {
		result.reason = "changed meanwhile: it was gone, and was created again"
	}
	a.conclude(i, createdBy(s), result)
	return nil
}

// creation is how the object of a step is transformed when it is created.
func (a *application) creation(s *plan.Step) transform.Context {
	c := a.transformation(s)
	if len(s.Owners) > 0 {
		c.Annotations = map[string]string{pendingOwners: a.run()}
	}
	if s.RestoresData() {
		c.Snapshot, c.RestoreSize = a.snapshots[snapshotKey(*s.Volume)], s.Volume.RestoreSize
	}
	return c
}

// createdBy is what became of an object that a step has created.
func createdBy(s *plan.Step) outcome {
	if s.Action == plan.Replace {
		return outcomeReplaced
	}
	return outcomeCreated
}

// concessions bounds how often an object is tried with less.
const concessions = 20

// post creates an object, or what the API server accepts of it.
func (a *application) post(ctx context.Context, s *plan.Step, object []byte) (stored []byte, conceded string, err error) {
	return a.conceding(s, object, func(object []byte) (stored []byte, err error) {
		err = a.insist(ctx, func() (err error) {
			stored, err = a.creator.Create(ctx, s.Type, s.Target.Namespace, object)
			return err
		})
		return stored, err
	})
}

// tryPost is post as a dry run. What an object that exists has taken is nothing against it: it gives that back before it is made
// anew.
func (a *application) tryPost(ctx context.Context, s *plan.Step, object []byte, exists bool) (stored []byte, conceded string, err error) {
	return a.conceding(s, object, func(object []byte) ([]byte, error) {
		stored, err := a.creator.TryCreate(ctx, s.Type, s.Target.Namespace, object)
		for range concessions {
			less, _, ok := conflict.Concede(s.Target.GroupResource, object, coffer.RefusedFields(err))
			if !exists || !ok {
				break
			}
			object = less
			stored, err = a.creator.TryCreate(ctx, s.Type, s.Target.Namespace, object)
		}
		return stored, err
	})
}

// refusal is why the API server would not take an object in the place of one that is to be deleted for it; nil if it would, or if
// it cannot be asked. Without it, a policy, a quota or a webhook would leave nothing of either.
func (a *application) refusal(ctx context.Context, i int, body []byte) (refused, err error) {
	s := a.step(i)
	object, _, err := a.shaped(a.creation(s), body, unnoted)
	if err == nil {
		err = a.insist(ctx, func() error {
			_, _, err := a.tryPost(ctx, s, object.Object, true)
			return err
		})
	}
	switch code := coffer.CodeOf(err); {
	case code == coffer.CodeExists, code == coffer.CodeNotTryable:
		return nil, nil
	case coffer.Final(err):
		return fmt.Errorf("it was left as it is, for the API server would not take it again: %w; restore again once it does", err), nil
	}
	return nil, err
}

// conceding creates an object. If the API server does not accept what this object can do without, it is created without, with a
// note.
func (a *application) conceding(s *plan.Step, object []byte, create func([]byte) ([]byte, error)) (stored []byte, conceded string, err error) {
	var notes []string
	for {
		stored, err = create(object)
		if coffer.CodeOf(err) != coffer.CodeRejected || len(notes) == concessions {
			return stored, strings.Join(notes, "; "), err
		}
		less, note, ok := conflict.Concede(s.Target.GroupResource, object, coffer.RefusedFields(err))
		if !ok || a.object.Spec.PreserveNodePorts {
			return nil, "", err
		}
		object, notes = less, append(notes, note)
	}
}

// meets notes that the object of a step was found to exist.
func (a *application) meets(i int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.met = append(a.met, i)
}

// takeMet are the steps whose objects were found to exist since it was last asked.
func (a *application) takeMet() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	met := a.met
	a.met = nil
	return met
}

// forbidden counts an object that the extension may not create, unless it exists: who is allowed nothing is not told so, nor is
// whose quota is full, and it may be the work of an earlier process.
func (a *application) forbidden(ctx context.Context, i int, refusal error) error {
	s := a.step(i)
	_, err := a.Cluster.Get(ctx, s.Type, s.Target.Namespace, s.Target.Name)
	switch {
	case err == nil:
		a.meets(i)
		return nil
	case coffer.Final(err):
		a.failed(i, refusal)
		return nil
	}
	return err
}

// writeRetries is how often an object is tried that the API server met with an internal error, as it does when a
// webhook does not answer.
const writeRetries = 6

func (a *application) insist(ctx context.Context, write func() error) error {
	pause := a.RetryPause
	for attempt := 1; ; attempt++ {
		err := write()
		if coffer.CodeOf(err) != coffer.CodeServerError {
			return err
		}
		if attempt == writeRetries {
			return coffer.Errorf(coffer.CodeRejected, "after %d tries: %w", attempt, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// noteUID remembers what UID an archived object has in the cluster now.
func (a *application) noteUID(i int, stored []byte) error {
	uid, err := uidOf(stored)
	if err == nil {
		a.knowUID(i, uid)
	}
	return err
}

func (a *application) knowUID(i int, uid string) {
	archived := a.items[a.step(i).Item].UID
	if archived == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.uids[archived] = uid
}

func (a *application) uid(archived string) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	uid, known := a.uids[archived]
	return uid, known
}
