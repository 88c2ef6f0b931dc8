package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Shown is a resource as clients and the audit log see it: what was sent, with what the server adds over it. A null among the facts
// hides a field.
func Shown(r catalogue.Resource) (json.RawMessage, error) {
	text := r.Body
	for _, layer := range []json.RawMessage{r.Facts, own(r)} {
		if len(layer) == 0 {
			continue
		}
		var err error
		if text, err = jsonpatch.MergePatch(text, layer); err != nil {
			return nil, fmt.Errorf("merge what the server knows of %s: %w", r.ID, err)
		}
	}
	return text, nil
}

// ETag is how a version is written. One that is made anew after it was deleted has others than the one before.
func ETag(r catalogue.Resource) string {
	return strconv.Quote(strconv.FormatInt(r.Version, 10) + "-" + strconv.FormatInt(r.Created.At.UnixMicro(), 36))
}

// ParseETag is the condition that a resource still has the ETag.
func ParseETag(text string) (c catalogue.Condition, ok bool) {
	number, created, found := strings.Cut(strings.Trim(strings.TrimPrefix(text, "W/"), `"`), "-")
	version, err := strconv.ParseInt(number, 10, 64)
	if !found || err != nil || version < 1 {
		return c, false
	}
	micros, err := strconv.ParseInt(created, 36, 64)
	return catalogue.Condition{Version: version, Created: time.UnixMicro(micros).UTC()}, err == nil
}

// own is what all resources have.
func own(r catalogue.Resource) []byte {
	text, err := json.Marshal(map[string]any{
		"id": r.ID, "name": r.ID.Name(), "type": r.ID.Type(), "eTag": ETag(r),
		"systemData": map[string]any{
			"createdBy": r.Created.By, "createdAt": r.Created.At, "lastModifiedBy": r.Changed.By, "lastModifiedAt": r.Changed.At,
		},
	})
	if err != nil {
		panic(err) // Only values that JSON has words for are in it.
	}
	return text
}

func orEmpty(object json.RawMessage) json.RawMessage {
	if len(object) == 0 {
		return json.RawMessage("{}")
	}
	return object
}

// mergePatch merges a change into a body.
func mergePatch(body, change json.RawMessage) (json.RawMessage, error) {
	text, err := jsonpatch.MergePatch(body, change)
	if err != nil {
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "the change cannot be merged: %w", err)
	}
	return text, nil
}

func mustBeObject(body json.RawMessage) error {
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 || trimmed[0] != '{' {
		return coffer.Errorf(coffer.CodeInvalidInput, "the body is not a JSON object").WithHint("send {\"location\": ..., \"properties\": {...}}")
	}
	return nil
}

// maxKept is how large the body of a resource may be: pages have 500 of them, the audit log two with each entry, and all are in memory
// at a time.
const maxKept = 256 << 10

// checkSize refuses a body that is too large to be kept.
func checkSize(id catalogue.ID, body json.RawMessage) error {
	if len(body) > maxKept {
		return coffer.Errorf(coffer.CodeTooLarge, "%s has %d bytes: at most %d are kept of a resource", id, len(body), maxKept).
			WithHint("leave out what is not its settings")
	}
	return nil
}

// withoutIdentity takes out of a body who its identity is: that is for the server to say, and whoever could say it would be assigned
// what roles others mean for the resource.
func withoutIdentity(body json.RawMessage) (json.RawMessage, error) {
	var said struct {
		Identity map[string]json.RawMessage `json:"identity"`
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Identity == nil {
		return body, nil //nolint:nilerr // Judge says what is wrong with its form.
	}
	return jsonpatch.MergePatch(body, []byte(`{"identity":{"principalId":null,"tenantId":null}}`))
}

// withoutRequests takes out of a body which operation requests of a resource guard its request has named: they are for that one, and would be
// in every later change that is merged into the body.
func withoutRequests(body json.RawMessage) (json.RawMessage, error) {
	const name = "resourceGuardOperationRequests"
	var said struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return body, nil //nolint:nilerr // Judge says what is wrong with its form.
	}
	text, named := said.Properties[name]
	if !named {
		return body, nil
	}
	var requests []string
	if err := json.Unmarshal(text, &requests); err != nil {
		return body, nil //nolint:nilerr // As before.
	}
	return jsonpatch.MergePatch(body, facts(object{"properties": object{name: nil}}))
}

// setProperty sets a field of a body's properties.
func setProperty(body json.RawMessage, name string, value any) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	properties := map[string]json.RawMessage{}
	if err := json.Unmarshal(orEmpty(all["properties"]), &properties); err != nil {
		return nil, err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	properties[name] = text
	if all["properties"], err = json.Marshal(properties); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}
