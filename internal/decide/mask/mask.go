// Package mask hides the values of Secrets in what people are shown.
package mask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Masked stands for each value that is hidden. It is no base64, so that no API server takes a masked Secret for a Secret.
const Masked = "***"

// secrets is the type whose objects are Secrets whatever they say of themselves.
var secrets = coffer.GroupResource{Resource: "secrets"}

// shown are the fields of a Secret that say nothing of what it holds.
var shown = []string{"apiVersion", "kind", "metadata", "type", "immutable"}

// Secrets answers an object's JSON with the values of every Secret in it replaced by Masked: those of data and stringData,
// and what repeats them in annotations. Keys stay. A Secret is what stands in an archive as one (of such, no field is shown
// that Secrets do not have), and whatever in an object says that it is one: an item of a List, a template, an object in an
// annotation. Everything else is as it was, though perhaps written another way. What is not JSON is an error, and nothing is
// answered.
func Secrets(ref coffer.ObjectRef, body []byte) ([]byte, error) {
	if ref.GroupResource != secrets && !mentions(body) {
		return body, nil
	}
	value, err := decode(body)
	if err != nil {
		return nil, coffer.Errorf(coffer.CodeArchiveCorrupt, "%s is not JSON: %w", ref, err)
	}
	text, err := encode(masked(value, ref.GroupResource == secrets))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", ref, err)
	}
	return text, nil
}

// mentions says whether there may be a Secret in a text: the word may be spelled with escapes.
func mentions(body []byte) bool {
	return bytes.Contains(body, []byte("Secret")) || bytes.Contains(body, []byte(`\u`))
}

func decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	// Numbers stay as they are written.
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("something follows its end")
	}
	return value, nil
}

func encode(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(text.Bytes(), "\n"), nil
}

// masked masks in place what is not inside of a Secret, and answers what it has become.
func masked(v any, secret bool) any {
	switch v := v.(type) {
	case map[string]any:
		return object(v, secret)
	case []any:
		for i := range v {
			v[i] = masked(v[i], secret)
		}
		return v
	}
	if secret {
		return hidden(v)
	}
	return v
}

// object masks an object, which is a Secret if secret says so or it does.
func object(o map[string]any, secret bool) any {
	kind, _ := o["kind"].(string)
	version, _ := o["apiVersion"].(string)
	ofSecrets := secret || kind == "SecretList" && !strings.Contains(version, "/")
	says := kind == "Secret" && !strings.Contains(version, "/")
	values := valuesOf(o, secret || says)
	for field, v := range o {
		items, isArray := v.([]any)
		switch {
		case field == "items" && isArray && strings.HasSuffix(kind, "List"):
			o[field] = masked(items, ofSecrets)
		case field == "metadata":
			o[field] = metadata(v, secret || says, values)
		case secret && (!slices.Contains(shown, field) || !isScalar(v)), says && holdsValues(field):
			o[field] = hidden(v)
		default:
			o[field] = masked(v, false)
		}
	}
	return o
}

// holdsValues says whether a field of a Secret holds values. What refers to Secrets has their kind as well, but not these.
func holdsValues(field string) bool {
	return strings.EqualFold(field, "data") || strings.EqualFold(field, "stringData")
}

func isScalar(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// hidden is a field with every value in it masked; its keys say what there is.
func hidden(v any) any {
	fields, ok := v.(map[string]any)
	switch {
	case v == nil:
		return nil
	case !ok:
		return Masked
	}
	for k, value := range fields {
		if value != nil {
			fields[k] = Masked
		}
	}
	return fields
}
