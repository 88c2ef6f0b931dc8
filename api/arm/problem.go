package arm

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one place of a body that is not as its type has it.
type Problem struct {
	// Path is written with dots and brackets: properties.policyRules[0].name. Empty is the body itself.
	Path string
	// Message says what is there, and what was expected.
	Message string
}

// String is for a line of text.
func (p Problem) String() string {
	if p.Path == "" {
		return "the body " + p.Message
	}
	return p.Path + " " + p.Message
}

// Error is a body that could not be decoded.
type Error struct {
	Problem

	// Err is the decoder's own error; it may be nil.
	Err error
}

// Error is the problem in one line.
func (e *Error) Error() string { return e.String() }

// Unwrap is the decoder's own error.
func (e *Error) Unwrap() error { return e.Err }

// Word is one of a few words, compared without case as ARM does.
type Word string

// Is says whether two words are the same.
func (w Word) Is(other Word) bool { return strings.EqualFold(string(w), string(other)) }

// Canonical is the word as it is spelled among some, or empty if it is not there.
func (w Word) Canonical(among ...Word) Word {
	if i := slices.IndexFunc(among, w.Is); i >= 0 {
		return among[i]
	}
	return ""
}

// At is the path of a field below another path.
func At(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// Item is the path of an element of the array at a path.
func Item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// maxProblems bounds what is told of one body.
const maxProblems = 50

// form collects what is wrong with the form of a body.
type form []Problem

func (f *form) add(path, format string, args ...any) {
	if len(*f) < maxProblems {
		*f = append(*f, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
}

// required adds a field that is missing, with what was expected where its name does not say that. It answers whether the field is there.
func (f *form) required(path string, there bool, expected ...string) bool {
	switch {
	case there:
	case len(expected) == 0:
		f.add(path, "is missing")
	default:
		f.add(path, "is missing: expected %s", strings.Join(expected, " or "))
	}
	return there
}

// text adds a field that is missing, empty or longer than a client ever makes it.
func (f *form) text(path, value string, most int) {
	switch {
	case value == "":
		f.add(path, "is missing")
	case len(value) > most:
		f.add(path, "has %d characters: at most %d are possible", len(value), most)
	}
}

// word adds a word that is not one of those that are possible. It answers whether it is.
func (f *form) word(path string, value Word, possible ...Word) bool {
	switch {
	case value.Canonical(possible...) != "":
		return true
	case value == "":
		f.add(path, "is missing: expected %s", alternatives(possible))
	default:
		f.add(path, "is %s: expected %s", quote(string(value)), alternatives(possible))
	}
	return false
}

// optional is word for a field that may be left out.
func (f *form) optional(path string, value Word, possible ...Word) {
	if value != "" {
		f.word(path, value, possible...)
	}
}

// count adds an array that has more elements than are possible.
func (f *form) count(path string, n, most int) bool {
	if n > most {
		f.add(path, "has %d elements: at most %d are possible", n, most)
	}
	return n <= most
}

func alternatives(words []Word) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	return strings.Join(texts[:len(texts)-1], ", ") + " or " + texts[len(texts)-1]
}

// quote shows a text that somebody has sent, or its beginning.
func quote(text string) string {
	const shown = 100
	if len(text) > shown {
		return fmt.Sprintf("%q...", strings.ToValidUTF8(text[:shown], ""))
	}
	return fmt.Sprintf("%q", text)
}
