package arm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of a body. ARM's own is four million bytes; nothing that a client sends nests half as deep.
const (
	MaxBody   = 4 << 20
	maxDepth  = 40
	maxTokens = 200_000
)

// Decode reads a body: fields that T does not have are ignored, the case of names does not matter, null is as good as nothing.
// An error is an *Error: the body is too large, is not JSON, names a field twice, or has a value of another type than T has.
// Words and required fields are not looked at: the Problems of a type are for those that decide on the whole of it.
func Decode[T any](body []byte) (T, error) {
	var into T
	if err := bounded(body); err != nil {
		return into, err
	}
	if err := json.Unmarshal(body, &into, json.MatchCaseInsensitiveNames(true)); err != nil {
		var none T
		return none, explain(body, err)
	}
	return into, nil
}

// DecodeKept reads what a server has written itself, at a third of what Decode takes: names are as T has them, and nothing is bounded.
func DecodeKept[T any](body []byte) (into T, err error) {
	return into, json.Unmarshal(body, &into)
}

// strict reads an object of Coffer's own fields. ARM ignores fields that it does not know; here one that is misspelled may be the one
// that says not to write.
func strict[T any](d *jsontext.Decoder, into *T) error {
	return json.UnmarshalDecode(d, into, json.RejectUnknownMembers(true))
}

// bounded refuses a body that costs more than it is worth, and one that is no JSON object.
func bounded(body []byte) error {
	if len(body) > MaxBody {
		return &Error{Problem: Problem{Message: fmt.Sprintf("has %d bytes: at most %d are possible", len(body), MaxBody)}}
	}
	d := jsontext.NewDecoder(bytes.NewReader(body))
	if kind := d.PeekKind(); kind != '{' && kind != jsontext.KindInvalid {
		return &Error{Problem: Problem{Message: "is " + kindName(kind) + ": expected an object"}}
	}
	for n := 0; ; n++ {
		token, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return nil
		case errors.Is(err, io.EOF):
			return &Error{Problem: Problem{Message: "is empty: expected a JSON object"}}
		case err != nil:
			return explain(body, err)
		case n > maxTokens:
			return &Error{Problem: Problem{Message: fmt.Sprintf("has more than %d names and values", maxTokens)}}
		case token.Kind() == '{' || token.Kind() == '[':
			if d.StackDepth() > maxDepth {
				return &Error{Problem: Problem{Path: path(body, d.StackPointer()), Message: fmt.Sprintf("is nested more than %d deep", maxDepth)}}
			}
		}
	}
}

// explain says what an error of the decoder means to those who have written the body.
func explain(body []byte, err error) error {
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		message := "is not JSON: " + syntactic.Err.Error()
		if errors.Is(err, jsontext.ErrDuplicateName) {
			message = "is there twice"
		} else if at := syntactic.ByteOffset; at > 0 {
			message += fmt.Sprintf(", after %d bytes", at)
		}
		return &Error{Problem: Problem{Path: path(body, syntactic.JSONPointer), Message: message}, Err: err}
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		if errors.Is(err, json.ErrUnknownName) {
			return &Error{Problem: Problem{Path: path(body, semantic.JSONPointer), Message: "is not a field that is known here" + knownFields(semantic.GoType)}, Err: err}
		}
		message := "is " + kindName(semantic.JSONKind)
		// Numbers are shown. A string may be a secret.
		if semantic.JSONKind == '0' && len(semantic.JSONValue) > 0 {
			message = "is " + string(semantic.JSONValue[:min(len(semantic.JSONValue), maxShown)])
		}
		message += ": expected " + typeName(semantic.GoType)
		if semantic.GoType == nil && semantic.Err != nil {
			message = "cannot be read: " + semantic.Err.Error()
		}
		return &Error{Problem: Problem{Path: path(body, semantic.JSONPointer), Message: message}, Err: err}
	}
	return &Error{Problem: Problem{Message: "cannot be read: " + err.Error()}, Err: err}
}

// knownFields are those of a type, in the words of a body.
func knownFields(t reflect.Type) string {
	if t == nil || t.Kind() != reflect.Struct {
		return ""
	}
	var names []Word
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, Word(name))
		}
	}
	return ": expected " + alternatives(names)
}

// maxShown bounds what is shown of a value.
const maxShown = 100

// path writes a pointer in the words of a path. Whether a number is a name or the place in an array, the body says.
func path(body []byte, pointer jsontext.Pointer) string {
	arrays := arraysAlong(body, pointer)
	var b strings.Builder
	at := jsontext.Pointer("")
	for token := range pointer.Tokens() {
		if arrays[at] {
			b.WriteString("[" + token + "]")
		} else {
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(strings.ToValidUTF8(token[:min(len(token), maxShown)], ""))
		}
		at = at.AppendToken(token)
	}
	return b.String()
}

// arraysAlong are the arrays that a pointer leads through.
func arraysAlong(body []byte, pointer jsontext.Pointer) map[jsontext.Pointer]bool {
	found := map[jsontext.Pointer]bool{}
	d := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		token, err := d.ReadToken()
		if err != nil || d.StackDepth() > maxDepth {
			return found
		}
		if token.Kind() != '[' {
			continue
		}
		if at := d.StackPointer(); at.Contains(pointer) {
			found[at] = true
		}
	}
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "nothing"
}

func typeName(t reflect.Type) string {
	if t == nil {
		return "another type"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "an array"
	}
	if t.PkgPath() == "time" {
		return "a time such as 2026-01-31T02:30:00Z"
	}
	return "an object"
}
