package reader

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/mask"
	"github.com/coffer-backup/coffer/internal/flow"
)

// contents answers what a recovery point holds.
func (h *Handler) contents(r *http.Request, send func(item any) error) error {
	asked, err := content.ReadContents(r)
	if err != nil {
		return invalid(err)
	}
	request := flow.ContentsRequest{
		StorageLocation: asked.StorageLocation, BackupName: asked.BackupName,
		Namespace: asked.Namespace, Type: asked.Type, Name: asked.Name, Bodies: asked.Objects,
	}
	return h.Contents(r.Context(), request, func(o flow.ContentsItem) error {
		item := content.Item{Group: o.Group, Resource: o.Resource, Namespace: o.Namespace, Name: o.Name, Size: o.Size}
		if !asked.Objects {
			return send(item)
		}
		object, err := h.shownObject(r.Context(), o, asked.Secrets)
		if err != nil {
			return err
		}
		item.Object = object
		return send(item)
	})
}

// largeObject is how large an object is of which one is looked through at a time: decoded, it can be ten times as large. The
// API server takes up to 3 MiB, and hardly any object has one.
const largeObject = 1 << 20

// shownObject is an object's JSON as it is answered.
func (h *Handler) shownObject(ctx context.Context, o flow.ContentsItem, secrets bool) (json.RawMessage, error) {
	if !secrets {
		release, err := h.takeLarge(ctx, o.Size)
		if err != nil {
			return nil, err
		}
		defer release()
		masked, err := mask.Secrets(o.ObjectRef, o.Body)
		if err != nil {
			return nil, err
		}
		o.Body = masked
	}
	if !json.Valid(o.Body) {
		return nil, coffer.Errorf(coffer.CodeArchiveCorrupt, "%s is not JSON", o.ObjectRef)
	}
	return o.Body, nil
}

// takeLarge waits for its turn if an object is large; release ends the turn.
func (h *Handler) takeLarge(ctx context.Context, size int64) (release func(), err error) {
	if size <= largeObject {
		return func() {}, nil
	}
	select {
	case h.large <- struct{}{}:
		return func() { <-h.large }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
