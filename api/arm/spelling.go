package arm

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// Respell writes the names of a body as a type has them, for Decode takes them in any spelling: what is kept has each field once, and
// where it is looked for. Names that the type does not have, and all values, stay as they are. An error is an *Error.
func Respell(body []byte, like any) ([]byte, error) {
	if err := bounded(body); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	d, e := jsontext.NewDecoder(bytes.NewReader(body)), jsontext.NewEncoder(&out)
	if err := respell(d, e, reflect.TypeOf(like)); err != nil {
		return nil, explain(body, err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// respell copies one value; nil is a type of which nothing is known.
func respell(d *jsontext.Decoder, e *jsontext.Encoder, t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch kind := d.PeekKind(); {
	case t == nil:
	case kind == '{' && t.Kind() == reflect.Slice:
		// One that stands alone, without an array around it: see TaggingCriteria.
		return respell(d, e, t.Elem())
	case kind == '{' && t.Kind() == reflect.Struct:
		fields := map[string]reflect.StructField{}
		fieldsOf(t, fields)
		return respellObject(d, e, func(name string) (string, reflect.Type) {
			if f, known := fields[folded(name)]; known {
				return jsonName(f), f.Type
			}
			return name, nil
		})
	case kind == '{' && t.Kind() == reflect.Map:
		return respellObject(d, e, func(name string) (string, reflect.Type) { return name, t.Elem() })
	case kind == '[' && t.Kind() == reflect.Slice:
		return respellArray(d, e, t.Elem())
	}
	value, err := d.ReadValue()
	if err != nil {
		return err
	}
	return e.WriteValue(value)
}

func respellObject(d *jsontext.Decoder, e *jsontext.Encoder, spell func(name string) (string, reflect.Type)) error {
	if err := copyToken(d, e); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return unexpectedEnd(err)
		}
		name, t := spell(token.String())
		if err := e.WriteToken(jsontext.String(name)); err != nil {
			return err
		}
		if err := respell(d, e, t); err != nil {
			return err
		}
	}
	return copyToken(d, e)
}

func respellArray(d *jsontext.Decoder, e *jsontext.Encoder, item reflect.Type) error {
	if err := copyToken(d, e); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if err := respell(d, e, item); err != nil {
			return unexpectedEnd(err)
		}
	}
	return copyToken(d, e)
}

func copyToken(d *jsontext.Decoder, e *jsontext.Encoder) error {
	token, err := d.ReadToken()
	if err != nil {
		return unexpectedEnd(err)
	}
	return e.WriteToken(token)
}

func unexpectedEnd(err error) error {
	if err == io.EOF { //nolint:errorlint // The decoder answers it as it is.
		return io.ErrUnexpectedEOF
	}
	return err
}

// fieldsOf gathers the fields of a struct, those of embedded ones included, by their folded names.
func fieldsOf(t reflect.Type, into map[string]reflect.StructField) {
	for i := range t.NumField() {
		f := t.Field(i)
		switch name := jsonName(f); {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			fieldsOf(f.Type, into)
		case f.IsExported() && name != "" && name != "-":
			into[folded(name)] = f
		}
	}
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// folded is equal for the spellings that Decode takes for the same name: in any case, of any alphabet, with _ and - or without.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, name)
}
