package mask

import (
	"encoding/base64"
	"reflect"
	"slices"
	"strings"
)

// lastApplied is the annotation in which kubectl keeps an object as it was applied.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// repeating are annotations in which tools keep an object as it was applied, in forms that cannot be looked through.
var repeating = []string{"kapp.k14s.io/original", "objectset.rio.cattle.io/applied", "banzaicloud.com/last-applied"}

// metadata masks annotations. values are those of the Secret that the metadata is of.
func metadata(v any, secret bool, values []string) any {
	fields, ok := v.(map[string]any)
	if !ok {
		return masked(v, secret)
	}
	for field, v := range fields {
		annotations, ok := v.(map[string]any)
		if field != "annotations" || !ok {
			fields[field] = masked(v, false)
			continue
		}
		for name, v := range annotations {
			annotations[name] = annotation(name, v, secret, values)
		}
	}
	return fields
}

func annotation(name string, v any, secret bool, values []string) any {
	text, ok := v.(string)
	switch {
	case !ok && secret:
		return hidden(v)
	case !ok:
		return masked(v, false)
	case secret && (slices.Contains(repeating, name) || len(values) > maxValues):
		return Masked
	}
	text, isJSON := embedded(text, secret && name == lastApplied)
	repeats := func(value string) bool {
		return strings.Contains(text, value) || len(text) >= shortestPart && strings.Contains(value, text)
	}
	if secret && (name == lastApplied && !isJSON || slices.ContainsFunc(values, repeats)) {
		return Masked
	}
	return text
}

// embedded is a text that may be JSON with what is secret in it masked, and as it was if there is nothing.
func embedded(text string, secret bool) (answer string, isJSON bool) {
	if !secret && !mentions([]byte(text)) {
		return text, false
	}
	value, err := decode([]byte(text))
	if err != nil {
		return text, false
	}
	before, err := decode([]byte(text))
	if err != nil {
		return text, false
	}
	after := masked(value, secret)
	if reflect.DeepEqual(before, after) {
		return text, true
	}
	changed, err := encode(after)
	if err != nil {
		return Masked, true
	}
	return string(changed), true
}

// shortest is how long a value has to be for a text that has it to repeat it, and not to have it by chance.
const shortest = 4

// shortestPart is how long a text has to be for a value that has it to hold it as a secret, and not a word.
const shortestPart = 12

// maxValues is how many values are looked for in annotations; a Secret of more does not show those at all.
const maxValues = 400

// valuesOf are the values of a Secret, as they stand there and in plain.
func valuesOf(o map[string]any, secret bool) []string {
	if !secret {
		return nil
	}
	var values []string
	add := func(value string) {
		if value = strings.TrimSpace(value); len(value) >= shortest {
			values = append(values, value)
		}
	}
	for field, v := range o {
		fields, ok := v.(map[string]any)
		if !ok || slices.Contains(shown, field) {
			continue
		}
		for _, v := range fields {
			value, ok := v.(string)
			if !ok || value == Masked {
				continue
			}
			add(value)
			if plain, err := base64.StdEncoding.DecodeString(value); err == nil {
				add(string(plain))
			}
		}
	}
	return values
}
