package modifier

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// operationEntry is one operation of a JSON patch, as users write it: the value is a text that says its type.
type operationEntry struct {
	Operation string `json:"operation"`
	From      string `json:"from,omitempty"`
	Path      string `json:"path"`
	Value     string `json:"value,omitempty"`
}

const operationTest = "test"

// operations are a JSON patch, applied as a whole or not at all.
type operations struct {
	// field holds the operations in the rule, and names describe each.
	field string
	names []string
	patch jsonpatch.Patch
}

func compileOperations(field string, entries []operationEntry) (patch, error) {
	o := operations{field: field}
	var texts []json.RawMessage
	for i, e := range entries {
		e.Operation = strings.ToLower(e.Operation)
		text, err := e.text()
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", field, i, err)
		}
		texts = append(texts, text)
		o.names = append(o.names, e.Operation+" "+shorten(e.Path))
	}
	all, err := json.Marshal(texts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if o.patch, err = jsonpatch.DecodePatch(all); err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return o, nil
}

// text is an operation as RFC 6902 has it.
func (e operationEntry) text() (json.RawMessage, error) {
	known := []string{"add", "remove", "replace", "copy", "move", operationTest}
	if !slices.Contains(known, e.Operation) {
		return nil, fmt.Errorf("operation %q is not known: use one of %s", shorten(e.Operation), strings.Join(known, ", "))
	}
	if err := checkPath("path", e.Path); err != nil {
		return nil, err
	}
	operation := map[string]any{"op": e.Operation, "path": e.Path}
	switch e.Operation {
	case "copy", "move":
		if err := checkPath("from", e.From); err != nil {
			return nil, err
		}
		operation["from"] = e.From
	case "remove":
	default:
		value, err := typed(e.Value)
		if err != nil {
			return nil, err
		}
		operation["value"] = value
	}
	return json.Marshal(operation)
}

// checkPath refuses what is no path of an object's field. An empty step means the field of no name, which no object has: the
// library takes it for the object around, and could be made to put that into itself.
func checkPath(field, path string) error {
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.HasSuffix(path, "/") {
		return fmt.Errorf("%s %q is not a path like /spec/replicas", field, shorten(path))
	}
	return nil
}

// typed gives a value the type that its text says, as Velero does: a JSON object or array, a number, true, false and null are
// what they say, all else is a string, and so is what stands in quotes of its own.
func typed(text string) (json.RawMessage, error) {
	if strings.HasPrefix(text, `"`) && strings.HasSuffix(text, `"`) {
		return quoted(strings.TrimSuffix(strings.TrimPrefix(text, `"`), `"`))
	}
	if text == "null" {
		return json.RawMessage(text), nil
	}
	if lower := strings.ToLower(text); lower == "true" || lower == "false" {
		return json.RawMessage(lower), nil
	}
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		if !json.Valid([]byte(text)) {
			return nil, fmt.Errorf("value %q begins like a JSON object or array and is none: to mean the string, write '\"…\"' around it", shorten(text))
		}
		return json.RawMessage(text), nil
	}
	// ParseFloat takes Inf and 0x10 as well, which JSON does not.
	if _, err := strconv.ParseFloat(text, 64); err == nil && json.Valid([]byte(text)) {
		return json.RawMessage(text), nil
	}
	return quoted(text)
}

// quoted is the JSON string of a text. Velero puts quotes around it and no more, so that the escapes of JSON mean in it what
// they do there; a text of which that makes no JSON stands for itself.
func quoted(text string) (json.RawMessage, error) {
	if raw := json.RawMessage(`"` + text + `"`); json.Valid(raw) {
		return raw, nil
	}
	return json.Marshal(text)
}

func (o operations) apply(object []byte) ([]byte, error) {
	changed, err := o.first(len(o.patch), object)
	if err == nil {
		return changed, nil
	}
	// The library does not say which operation it was: it is the last one of the shortest patch that fails.
	at := sort.Search(len(o.patch), func(i int) bool {
		_, err := o.first(i+1, object)
		return err != nil
	})
	if at == len(o.patch) {
		return nil, fmt.Errorf("%s: %w", o.field, err)
	}
	if o.patch[at].Kind() == operationTest {
		return nil, fmt.Errorf("%s[%d] (%s): %w", o.field, at, o.names[at], errGuard)
	}
	return nil, fmt.Errorf("%s[%d] (%s): %s", o.field, at, o.names[at], problem(err))
}

// first applies the first n operations.
func (o operations) first(n int, object []byte) ([]byte, error) {
	options := jsonpatch.NewApplyOptions()
	options.AccumulatedCopySizeLimit = maxObject
	options.EscapeHTML = false
	return o.patch[:n].ApplyWithOptions(object, options)
}

// problem says in a few words what the library says in many.
func problem(err error) string {
	var tooLarge *jsonpatch.AccumulatedCopySizeError
	switch {
	case errors.As(err, &tooLarge):
		return fmt.Sprintf("it copies more than the %d bytes that an API server takes", maxObject)
	case errors.Is(err, jsonpatch.ErrInvalidIndex):
		return "the list has no such element"
	case errors.Is(err, jsonpatch.ErrMissing):
		return "the object has no such field"
	}
	return shorten(err.Error())
}
