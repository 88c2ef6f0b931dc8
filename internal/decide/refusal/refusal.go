// Package refusal gathers what is wrong with a request into one error. Who has made ten mistakes is told of ten.
package refusal

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// List gathers. The zero value is empty, and ready.
type List struct {
	code coffer.Code
	// fields are the first of count.
	fields []coffer.RefusedField
	count  int
	hints  []string
}

// Bounds of what is told.
const (
	maxFields = 50
	maxSaid   = 10
	maxHints  = 5
)

// Addf adds a problem with the field at a path. hint says what to do; it may be empty.
func (l *List) Addf(path, hint, format string, args ...any) {
	if l.count++; len(l.fields) < maxFields {
		l.fields = append(l.fields, coffer.RefusedField{Path: path, Reason: fmt.Sprintf(format, args...)})
	}
	if hint != "" && len(l.hints) < maxHints && !slices.Contains(l.hints, hint) {
		l.hints = append(l.hints, hint)
	}
}

// Add adds an error that is about the field at a path, with its hint and code; nil adds nothing.
func (l *List) Add(path string, err error) {
	if err == nil {
		return
	}
	var coded *coffer.Error
	if !errors.As(err, &coded) {
		l.Addf(path, "", "%s", err.Error())
		return
	}
	l.Addf(path, coded.Hint, "%s", coded.Message)
	if coded.Code != coffer.CodeInvalid {
		l.Code(coded.Code)
	}
}

// Code sets the code of the error: the first one that is not the general one stays.
func (l *List) Code(code coffer.Code) {
	if l.code == "" || l.code == coffer.CodeInvalidInput {
		l.code = code
	}
}

// Form adds what is wrong with the form of a body.
func (l *List) Form(problems []arm.Problem) {
	for _, p := range problems {
		l.Addf(p.Path, "", "%s", p.Message)
	}
}

// Has says whether one of the first problems is with the field at a path, or below it.
func (l *List) Has(path string) bool {
	return slices.ContainsFunc(l.fields, func(f coffer.RefusedField) bool {
		rest, below := strings.CutPrefix(f.Path, path)
		return below && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// Err is one error for everything, with what says what is refused ("the backup policy"); nil if there is nothing. Its Fields are
// the problems.
func (l *List) Err(what string) error {
	if len(l.fields) == 0 {
		return nil
	}
	said := make([]string, 0, maxSaid)
	for _, f := range l.fields[:min(maxSaid, len(l.fields))] {
		said = append(said, strings.TrimPrefix(f.Path+" ", " ")+f.Reason)
	}
	if more := l.count - len(said); more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	code := l.code
	if code == "" {
		code = coffer.CodeInvalidInput
	}
	err := coffer.Errorf(code, "%s is refused: %s", what, strings.Join(said, "; "))
	err.Fields = slices.Clone(l.fields)
	hints := l.hints
	if len(hints) == 0 {
		hints = []string{"correct what is named and send it again"}
	}
	return err.WithHint("%s", strings.Join(hints, "; "))
}

// Undecodable is the error of arm.Decode with ARM's code, and its path among the Fields. Any other error stays as it is.
func Undecodable(err error) error {
	var body *arm.Error
	if !errors.As(err, &body) {
		return err
	}
	coded := coffer.Errorf(coffer.CodeInvalidContent, "the body of the request cannot be read: %w", err)
	coded.Fields = []coffer.RefusedField{{Path: body.Path, Reason: body.Message}}
	return coded.WithHint("send a JSON object with the fields of the resource's type")
}
