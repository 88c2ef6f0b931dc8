package modifier

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxPattern is longer than any name.
const maxPattern = 512

// compilePattern compiles a pattern of whole names: * and ?, of which neither crosses a separator, ** which does, [abc], [a-z], [!a], {a,b}
// and \ before what is meant as it is. It becomes a regular expression, which takes linear time for any name.
func compilePattern(text string, separators ...rune) (*regexp.Regexp, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("%q is longer than any name", shorten(text))
	}
	t := translation{rest: text, any: "."}
	if len(separators) > 0 {
		t.any = "[^" + regexp.QuoteMeta(string(separators)) + "]"
	}
	t.out.WriteString(`(?s)\A(?:`)
	err := t.translate()
	if err != nil {
		return nil, fmt.Errorf("%q is not a pattern of names: %w", text, err)
	}
	t.out.WriteString(`)\z`)
	pattern, err := regexp.Compile(t.out.String())
	if err != nil {
		return nil, fmt.Errorf("%q is not a pattern of names", text)
	}
	return pattern, nil
}

// translation makes a regular expression of a pattern.
type translation struct {
	rest string
	// any is the expression for one character that a star stands for.
	any string
	// braces are those that are open.
	braces int
	out    strings.Builder
}

func (t *translation) next() rune {
	r, size := utf8.DecodeRuneInString(t.rest)
	t.rest = t.rest[size:]
	return r
}

func (t *translation) literal(r rune) { t.out.WriteString(regexp.QuoteMeta(string(r))) }

func (t *translation) translate() error {
	for t.rest != "" {
		switch r := t.next(); {
		case r == '*':
			t.stars()
		case r == '?':
			t.out.WriteString(t.any)
		case r == '[':
			if err := t.set(); err != nil {
				return err
			}
		case r == '{':
			t.braces++
			t.out.WriteString("(?:")
		case r == ',' && t.braces > 0:
			t.out.WriteString("|")
		case r == '}' && t.braces > 0:
			t.braces--
			t.out.WriteString(")")
		case r == '\\' && t.rest == "":
			return fmt.Errorf("nothing follows its last character")
		case r == '\\':
			t.literal(t.next())
		default:
			t.literal(r)
		}
	}
	if t.braces > 0 {
		return fmt.Errorf("a brace is not closed")
	}
	return nil
}

func (t *translation) stars() {
	if rest := strings.TrimLeft(t.rest, "*"); rest != t.rest {
		t.rest = rest
		t.out.WriteString(".*")
		return
	}
	t.out.WriteString(t.any + "*")
}

// set reads one of several characters.
func (t *translation) set() error {
	chars, rest, closed := strings.Cut(t.rest, "]")
	t.rest = rest
	chars, not := strings.CutPrefix(chars, "!")
	if !closed || chars == "" {
		return fmt.Errorf("a bracket is not closed, or holds nothing")
	}
	t.out.WriteString("[")
	if not {
		t.out.WriteString("^")
	}
	all := []rune(chars)
	for i, r := range all {
		if r == '-' && i > 0 && i < len(all)-1 {
			t.out.WriteString("-")
			continue
		}
		t.out.WriteString(`\x{` + fmt.Sprintf("%x", r) + "}")
	}
	t.out.WriteString("]")
	return nil
}
