package selection

import (
	"slices"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestTypesAreFoundByEverySpelling(t *testing.T) {
	// Of the last two, nobody knows the kind.
	types := append(slices.Clone(servedTypes), newType("old.io", "widgets", "", false), newType("old.io", "factories", "", false))
	for _, tt := range []struct {
		text string
		want []string
		near []string
	}{
		{"Secret", []string{"secrets"}, nil},
		{"v1/Secret", []string{"secrets"}, nil},
		{"apps/v1/deployments", []string{"deployments.apps"}, nil},
		{"services", []string{"services"}, nil},
		{"ingress", []string{"ingresses.networking.k8s.io", "ingresses.extensions"}, nil},
		{"*.acme.io", []string{"rockets.acme.io", "planets.acme.io"}, nil},
		{"widgets", []string{"widgets.old.io"}, nil},
		{"Widget", []string{"widgets.old.io"}, nil},
		{"old.io/v2/Factory", []string{"factories.old.io"}, nil},
		{"scret", nil, []string{"secrets"}},
		{"Widgte", nil, []string{"widgets.old.io"}},
		{"spaceship", nil, nil},
		{"*ship", nil, nil},
	} {
		found, near, err := FindTypes("kind", tt.text, types)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
		}
		var names []string
		for _, g := range found {
			names = append(names, g.String())
		}
		if !slices.Equal(names, tt.want) || !slices.Equal(near, tt.near) {
			t.Errorf("%s: %q, near %q; want %q, near %q", tt.text, names, near, tt.want, tt.near)
		}
	}
	for _, text := range []string{"", "a/b/c/d", "se cret", "["} {
		if _, _, err := FindTypes("kind", text, types); coffer.CodeOf(err) != coffer.CodeInvalid || CheckSpelling("kind", text) == nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
