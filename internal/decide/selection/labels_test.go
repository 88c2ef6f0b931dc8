package selection

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestLabelSelectors(t *testing.T) {
	set := map[string]string{"env": "prod", "app.kubernetes.io/name": "web", "empty": ""}
	for _, tt := range []struct {
		name       string
		every, any []string
		want       bool
	}{
		{"none match everything", nil, nil, true},
		{"equality", []string{"env=prod"}, nil, true},
		{"equality with two signs", []string{"env==prod"}, nil, true},
		{"a colon, as in the examples of Terraform", []string{"env:prod"}, nil, true},
		{"a colon with spaces", []string{" env : prod "}, nil, true},
		{"a colon and a prefixed key", []string{"app.kubernetes.io/name:web"}, nil, true},
		{"another value", []string{"env=dev"}, nil, false},
		{"inequality", []string{"env!=dev"}, nil, true},
		{"a set", []string{"env in (dev, prod)"}, nil, true},
		{"a set without it", []string{"env notin (dev,prod)"}, nil, false},
		{"a key", []string{"env"}, nil, true},
		{"no key", []string{"!env"}, nil, false},
		{"an empty value", []string{"empty="}, nil, true},
		{"an empty value after a colon", []string{"empty:"}, nil, true},
		{"the portal's semicolons are and", []string{"env=prod;tier!=web"}, nil, true},
		{"the portal's semicolons are not or", []string{"env=prod;tier=web"}, nil, false},
		{"commas are and", []string{"env=prod,tier=web"}, nil, false},
		{"entries are and", []string{"env=prod", "tier=web"}, nil, false},
		{"one alternative", nil, []string{"tier=web", "env=prod"}, true},
		{"no alternative", nil, []string{"tier=web", "env=dev"}, false},
		{"a selector and an alternative", []string{"app.kubernetes.io/name"}, []string{"tier=web", "env=prod"}, true},
		{"an alternative without the selector", []string{"tier"}, []string{"env=prod"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := parseLabels(tt.every, tt.any)
			if err != nil {
				t.Fatal(err)
			}
			if field := l.mismatch(set); (field == "") != tt.want {
				t.Errorf("mismatch = %q, want match %v", field, tt.want)
			}
			// What is written for Velero says the same.
			if all := (&Selection{labels: l}).LabelSelectors(); len(all) > 0 {
				match := false
				for _, one := range all {
					s, err := metav1.LabelSelectorAsSelector(&one)
					if err != nil {
						t.Fatal(err)
					}
					match = match || s.Matches(labels.Set(set))
				}
				if match != tt.want {
					t.Errorf("Velero's selectors %+v match %v", all, match)
				}
			}
		})
	}
}

func TestSelectorsThatAreNoneAreRefused(t *testing.T) {
	for _, text := range []string{
		"", " ", ";", "a=b;", "=b", "a=b=c", "a b", "a in", "a in (", "a in ()(", "a::b", "a:b:c", "a=b:c", "a>1", "a<1", "-a=b", "a=b c", "a=" + strings.Repeat("x", 64),
		"a/b/c=d", "!", "a,,b", "a=b,", "a in (b", "ä=b",
	} {
		for field, lists := range map[string][2][]string{"labelSelectors": {{text}, nil}, "orLabelSelectors": {nil, {text}}} {
			_, err := parseLabels(lists[0], lists[1])
			if coffer.CodeOf(err) != coffer.CodeInvalid || !strings.Contains(err.Error(), field+": ") {
				t.Errorf("%s %q: %v", field, text, err)
			}
		}
	}
}

func TestSelectorsThatNothingCanMatchAreRefused(t *testing.T) {
	for _, all := range [][]string{{"a=b", "a=c"}, {"a=b", "a!=b"}, {"a=b,!a"}, {"a", "!a"}, {"a in (b,c)", "a in (d)"}, {"a in (b,c)", "a notin (b,c)"}} {
		if _, err := parseLabels(all, nil); coffer.CodeOf(err) != coffer.CodeInvalid || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("%q: %v", all, err)
		}
	}
	for _, all := range [][]string{{"a=b", "c=d"}, {"a in (b,c)", "a=b"}, {"a!=b", "a!=c"}, {"a!=b", "!a"}, {"a", "a=b"}, {"a in (b,c)", "a!=b"}} {
		if _, err := parseLabels(all, nil); err != nil {
			t.Errorf("%q: %v", all, err)
		}
	}
}

func FuzzSelector(f *testing.F) {
	for _, seed := range []string{"a=b", "a:b", "a in (b,c);!d", "a notin (b)", "", ";;", "a=b,", "a::b", "x.y/z=1,b:c", "(", "!"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		requirements, err := parseSelector("labelSelectors", text)
		if err != nil {
			if coffer.CodeOf(err) != coffer.CodeInvalid {
				t.Errorf("%q: an error without its code: %v", text, err)
			}
			return
		}
		if len(requirements) == 0 {
			t.Fatalf("%q says nothing and is accepted", text)
		}
		printed := labels.NewSelector().Add(requirements...).String()
		again, err := parseSelector("labelSelectors", printed)
		if err != nil {
			t.Fatalf("%q prints as %q, which is refused: %v", text, printed, err)
		}
		if once := labels.NewSelector().Add(again...).String(); once != printed {
			t.Errorf("%q prints as %q, and that as %q", text, printed, once)
		}
	})
}
