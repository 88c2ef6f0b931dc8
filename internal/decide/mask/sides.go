package mask

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Sides is Secrets for several states of one object, of which some may be missing (nil). Where they differ in what is hidden, that
// is said: values that are equal bear the same number, and others another one. No more is told of them.
func Sides(ref coffer.ObjectRef, sides ...[]byte) ([][]byte, error) {
	if !IsSecret(ref) && !slices.ContainsFunc(sides, mentions) {
		return sides, nil
	}
	before, after := make([]any, len(sides)), make([]any, len(sides))
	for i, body := range sides {
		before[i], after[i] = absent{}, absent{}
		if body == nil {
			continue
		}
		var err error
		if before[i], err = decode(body); err != nil {
			return nil, coffer.Errorf(coffer.CodeArchiveCorrupt, "%s is not JSON: %w", ref, err)
		}
		if after[i], err = decode(body); err != nil {
			return nil, coffer.Errorf(coffer.CodeArchiveCorrupt, "%s is not JSON: %w", ref, err)
		}
		after[i] = masked(after[i], IsSecret(ref))
	}
	texts := make([][]byte, len(sides))
	for i, value := range numbered(before, after) {
		if sides[i] == nil {
			continue
		}
		var err error
		if texts[i], err = encode(value); err != nil {
			return nil, fmt.Errorf("encode %s: %w", ref, err)
		}
	}
	return texts, nil
}

// absent stands for a value that a side does not have.
type absent struct{}

// numbered walks through the sides as they were and as they are masked, and answers the latter with what is hidden numbered where
// it differs.
func numbered(before, after []any) []any {
	for _, key := range keysOf(after) {
		pick := func(side any) any {
			fields, _ := side.(map[string]any)
			return valueOr(fields, key)
		}
		for i, value := range numbered(each(before, pick), each(after, pick)) {
			if fields, ok := after[i].(map[string]any); ok && value != any(absent{}) {
				fields[key] = value
			}
		}
	}
	for at := range longest(after) {
		pick := func(side any) any {
			if list, _ := side.([]any); at < len(list) {
				return list[at]
			}
			return absent{}
		}
		for i, value := range numbered(each(before, pick), each(after, pick)) {
			if list, _ := after[i].([]any); at < len(list) {
				list[at] = value
			}
		}
	}
	return numberedTexts(before, after)
}

// numberedTexts numbers what is hidden at one place.
func numberedTexts(before, after []any) []any {
	out := slices.Clone(after)
	values := make([]string, len(after))
	var distinct []string
	for i := range after {
		text, isText := after[i].(string)
		if !isText || text != Masked && reflect.DeepEqual(before[i], after[i]) {
			continue
		}
		// What was decoded can be encoded.
		value, _ := json.Marshal(before[i])
		values[i] = string(value)
		if !slices.Contains(distinct, values[i]) {
			distinct = append(distinct, values[i])
		}
	}
	if len(distinct) < 2 {
		return out
	}
	for i, value := range values {
		if value != "" {
			out[i] = fmt.Sprintf("%s (value %d)", after[i], slices.Index(distinct, value)+1)
		}
	}
	return out
}

func each(sides []any, pick func(any) any) []any {
	picked := make([]any, len(sides))
	for i, side := range sides {
		picked[i] = pick(side)
	}
	return picked
}

func valueOr(fields map[string]any, key string) any {
	if value, ok := fields[key]; ok {
		return value
	}
	return absent{}
}

// keysOf are the fields that any of the sides has, if they are objects.
func keysOf(sides []any) []string {
	var keys []string
	seen := map[string]bool{}
	for _, side := range sides {
		fields, _ := side.(map[string]any)
		for key := range fields {
			if !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func longest(sides []any) int {
	n := 0
	for _, side := range sides {
		list, _ := side.([]any)
		n = max(n, len(list))
	}
	return n
}

// Text answers a text about an object, such as why it was refused, with the values that the object's states have as a Secret
// replaced by Masked.
func Text(ref coffer.ObjectRef, text string, sides ...[]byte) string {
	if !IsSecret(ref) {
		return text
	}
	for _, body := range sides {
		value, err := decode(body)
		fields, isObject := value.(map[string]any)
		if err != nil || !isObject {
			continue
		}
		values := valuesOf(fields, true)
		// A value that is a part of another one must not keep that from being found.
		slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
		for _, v := range values {
			text = strings.ReplaceAll(text, v, Masked)
		}
	}
	return text
}

// IsSecret says whether an object is a Secret by its type.
func IsSecret(ref coffer.ObjectRef) bool { return ref.GroupResource == secrets }
