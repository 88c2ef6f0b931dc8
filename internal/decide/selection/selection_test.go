package selection

import (
	"strconv"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestNamespaces(t *testing.T) {
	system := SystemNamespaces("dataprotection-microsoft")
	for _, tt := range []struct {
		name  string
		rules Rules
		ns    string
		want  bool
	}{
		{"everything takes a user's namespace", Rules{SystemNamespaces: system}, "shop", true},
		{"everything takes default", Rules{SystemNamespaces: system}, "default", true},
		{"everything leaves kube-system out", Rules{SystemNamespaces: system}, "kube-system", false},
		{"everything leaves the extension out", Rules{SystemNamespaces: system}, "dataprotection-microsoft", false},
		{"a system namespace is taken by name", Rules{Included: []string{"kube-system"}, SystemNamespaces: system}, "kube-system", true},
		{"a chosen namespace is taken", Rules{Included: []string{"a", "b"}}, "b", true},
		{"another is not", Rules{Included: []string{"a", "b"}}, "c", false},
		{"an excluded one is not", Rules{Excluded: []string{"a"}}, "a", false},
		{"the rest then is", Rules{Excluded: []string{"a"}}, "b", true},
		{"a name is not a prefix", Rules{Included: []string{"shop"}}, "shop-2", false},
		{"a pattern takes what it matches", Rules{Included: []string{"shop-*"}}, "shop-2", true},
		{"a pattern is anchored at its end", Rules{Included: []string{"*-test"}}, "a-tests", false},
		{"a pattern is anchored at its start", Rules{Included: []string{"test-?"}}, "my-test-1", false},
		{"a question mark is one letter", Rules{Included: []string{"a?"}}, "a", false},
		{"a set is one of its letters", Rules{Included: []string{"env-[ab]"}}, "env-b", true},
		{"a set is none but its letters", Rules{Included: []string{"env-[ab]"}}, "env-c", false},
		{"a star takes a user's namespace", Rules{Included: []string{"*"}, SystemNamespaces: system}, "shop", true},
		{"a star leaves kube-system out", Rules{Included: []string{"*"}, SystemNamespaces: system}, "kube-system", false},
		{"a pattern leaves kube-system out", Rules{Included: []string{"kube-*"}, SystemNamespaces: system}, "kube-system", false},
		{"a star and a name take kube-system", Rules{Included: []string{"*", "kube-system"}, SystemNamespaces: system}, "kube-system", true},
		{"an excluded pattern wins", Rules{Included: []string{"shop-*"}, Excluded: []string{"*-test"}}, "shop-test", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.rules.Namespace(tt.ns)
			if d.Include != tt.want {
				t.Errorf("Namespace(%q) = %+v, want %v", tt.ns, d, tt.want)
			}
			if !d.Include && d.Reason == "" {
				t.Error("a no without a reason")
			}
		})
	}
}

func TestNamespacesThatAreNoneAreRefused(t *testing.T) {
	for _, name := range []string{"", "Shop", "a_b", "-a", "a.b", "**", "a**", "{a,b}", "[a", "a]", "[]", "!a", "[^a]", "a b", `a\*`, "shop/", strings.Repeat("a", 64), "ä*"} {
		for field, rules := range map[string]Rules{"includedNamespaces": {Included: []string{name}}, "excludedNamespaces": {Excluded: []string{name}}} {
			err := rules.Check()
			if coffer.CodeOf(err) != coffer.CodeInvalid || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), strconv.Quote(name)) {
				t.Errorf("%s %q: %v", field, name, err)
			}
		}
	}
	for _, name := range []string{"a", "0", "a-b", "*", "?", "a*", "[ab]-*", "[a-c]x"} {
		if err := (Rules{Included: []string{name}}).Check(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestContradictionsAreRefused(t *testing.T) {
	err := Rules{Included: []string{"a", "b"}, Excluded: []string{"b"}}.Check()
	if coffer.CodeOf(err) != coffer.CodeInvalid {
		t.Errorf("Check = %v, want %s", err, coffer.CodeInvalid)
	}
	for _, rules := range []Rules{{Excluded: []string{"*"}}, {Included: []string{"a*"}, Excluded: []string{"a*"}}, {Included: []string{"ab"}, Excluded: []string{"a*"}}} {
		if err := rules.Check(); coffer.CodeOf(err) != coffer.CodeInvalid {
			t.Errorf("%+v: %v", rules, err)
		}
	}
	if err := (Rules{Included: []string{"a", "c*"}, Excluded: []string{"b", "cd*"}}).Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
}
