package metadb

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// FuzzReadable holds that whatever a stranger says can be kept, and that what can be kept is kept as it is.
func FuzzReadable(f *testing.F) {
	f.Add("somebody")
	f.Add("a\x00b\xff")
	f.Add(strings.Repeat("ä", maxKey))
	f.Fuzz(func(t *testing.T, text string) {
		got := readable(text)
		if len(got) > maxKey || !utf8.ValidString(got) || strings.ContainsRune(got, 0) || readable(got) != got {
			t.Errorf("%q is kept as %q", text, got)
		}
		if checkText(field{"text", text, maxKey}) == nil && got != text {
			t.Errorf("%q can be kept, and is kept as %q", text, got)
		}
	})
}

// FuzzScopes holds that an entry is found by a scope exactly if its target lies within it.
func FuzzScopes(f *testing.F) {
	f.Add("/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/backupVaults/v", "/subscriptions/S")
	f.Add("/subscriptions/s1", "/subscriptions/s")
	f.Fuzz(func(t *testing.T, target, scope string) {
		in, targetErr := catalogue.ParseID(target)
		under, scopeErr := catalogue.ParseID(scope)
		if targetErr != nil || scopeErr != nil {
			return
		}
		found := false
		for _, s := range scopes(in) {
			found = found || s == under.Key()
		}
		if found != in.Within(under) {
			t.Errorf("%s is found under %s: %v", in, under, found)
		}
	})
}
