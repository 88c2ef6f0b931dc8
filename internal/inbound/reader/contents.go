package reader

import (
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
		object, err := shownObject(o, asked.Secrets)
		if err != nil {
			return err
		}
		item.Object = object
		return send(item)
	})
}

// shownObject is an object's JSON as it is answered.
func shownObject(o flow.ContentsItem, secrets bool) (json.RawMessage, error) {
	if !secrets {
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
