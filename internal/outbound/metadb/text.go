package metadb

import (
	"strings"
	"unicode/utf8"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// The longest texts that are taken. All that lie in one index must fit into 2,700 bytes together.
const (
	maxKey  = 2048
	maxWord = 260
)

// field is a text that is to be stored, and what it is.
type field struct {
	what, text string
	longest    int
}

// word is a name that is found again.
func word(what, text string) field { return field{what, text, maxWord} }

// key is an id that is found again.
func key(what string, id catalogue.ID) field { return field{what, string(id), maxKey} }

// checkText refuses what one of the databases cannot keep as it is.
func checkText(fields ...field) error {
	for _, f := range fields {
		switch {
		case len(f.text) > f.longest:
			return coffer.Errorf(coffer.CodeInvalidInput, "the %s has %d bytes: at most %d are possible", f.what, len(f.text), f.longest)
		case !utf8.ValidString(f.text) || strings.ContainsRune(f.text, 0):
			return coffer.Errorf(coffer.CodeInvalidInput, "the %s %q is not text: NUL and what is not UTF-8 are not possible", f.what, f.text)
		}
	}
	return nil
}

// findable says whether such a text can have been stored: asking PostgreSQL for others is an error.
func findable(fields ...field) bool { return checkText(fields...) == nil }

// readable is a text for people: what cannot be kept is marked, and what is too long is cut.
func readable(text string) string {
	const cut = "…"
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) > maxKey {
		text = strings.ToValidUTF8(text[:maxKey-len(cut)], "") + cut
	}
	return text
}
