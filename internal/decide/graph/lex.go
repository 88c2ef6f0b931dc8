package graph

import (
	"regexp"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Bounds of a query: the longest that the Azure CLI makes is some 1,500 characters, with a list of names.
const (
	maxQuery = 32 << 10
	maxDepth = 64
	maxSteps = 100
)

// kind is what a token is.
type kind int

const (
	end kind = iota
	word
	text
	number
	// moment is datetime(...), which is written without quotes.
	moment
	sign
)

type token struct {
	kind  kind
	value string
	at    int
}

// maxToken bounds all tokens but texts. Only so much is looked at for each: a long query would take the square of its length.
const maxToken = 256

// shapes are tried in this order. Operators are words, but for those of signs.
var shapes = []struct {
	kind kind
	form *regexp.Regexp
}{
	{moment, regexp.MustCompile(`(?i)^datetime\([^()]*\)`)},
	{number, regexp.MustCompile(`^[0-9]+(\.[0-9]+)?`)},
	{word, regexp.MustCompile(`^!?[A-Za-z_][A-Za-z0-9_]*~?`)},
	{sign, regexp.MustCompile(`^(==|=~|!=|!~|<=|>=|[|=<>.,()\[\]-])`)},
}

func lex(query string) ([]token, error) {
	if len(query) > maxQuery {
		return nil, refused("the query has %d characters: at most %d are possible", len(query), maxQuery)
	}
	var found []token
	for at := 0; at < len(query); {
		rest := query[at:]
		if trimmed := strings.TrimLeft(rest, " \t\r\n"); len(trimmed) < len(rest) {
			at += len(rest) - len(trimmed)
			continue
		}
		t := read(rest)
		if t.kind == end || t.kind != text && len(t.value) == maxToken {
			return nil, refused("the query cannot be understood at %.40q", rest)
		}
		t.at = at
		at += len(t.value)
		if t.kind == text {
			t.value = t.value[1 : len(t.value)-1]
		}
		found = append(found, t)
	}
	return append(found, token{kind: end, at: len(query)}), nil
}

// read is the token that something begins with, a text with its quotes; none is of kind end.
func read(rest string) token {
	if quote := rest[0]; quote == '\'' || quote == '"' {
		if length := strings.IndexByte(rest[1:], quote); length >= 0 {
			return token{kind: text, value: rest[:length+2]}
		}
		return token{}
	}
	rest = rest[:min(maxToken, len(rest))]
	for _, s := range shapes {
		if match := s.form.FindString(rest); match != "" {
			return token{kind: s.kind, value: match}
		}
	}
	return token{}
}

func refused(format string, args ...any) error {
	return coffer.Errorf(coffer.CodeInvalidInput, format, args...).
		WithHint("a table, where, extend, project, order by and take are understood, as the Azure CLI sends them")
}
