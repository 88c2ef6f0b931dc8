package selection

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestTypeSet(t *testing.T) {
	types := []coffer.ResourceType{
		{GroupResource: coffer.GroupResource{Resource: "services"}, Kind: "Service"},
		{GroupResource: coffer.GroupResource{Group: "serving.knative.dev", Resource: "services"}, Kind: "Service"},
		{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "widgets"}, Kind: "Widget"},
	}
	for _, tt := range []struct {
		name               string
		included, excluded []string
		want               string
		warnings           int
	}{
		{"nothing named is everything", nil, nil, "services services.serving.knative.dev widgets.acme.io", 0},
		{"a plain name is the core group's", []string{"services"}, nil, "services", 0},
		{"a kind", []string{"acme.io/Widget"}, nil, "widgets.acme.io", 0},
		{"all but one", nil, []string{"widgets.acme.io"}, "services services.serving.knative.dev", 0},
		{"what is excluded stays so", []string{"*"}, []string{"*.acme.io", "services"}, "services.serving.knative.dev", 0},
		{"what there is not", []string{"gadgets"}, []string{"pods"}, "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, warnings, err := TypeSet("in", tt.included, "out", tt.excluded, types)
			var chosen []string
			for _, typ := range types {
				if set[typ.GroupResource] {
					chosen = append(chosen, typ.GroupResource.String())
				}
			}
			if diff := cmp.Diff(tt.want, strings.Join(chosen, " ")); diff != "" || err != nil || len(warnings) != tt.warnings {
				t.Errorf("%v, %v\n%s", err, warnings, diff)
			}
		})
	}
	if _, _, err := TypeSet("in", nil, "out", []string{"a/b/c/d"}, types); coffer.CodeOf(err) != coffer.CodeInvalid || !strings.Contains(err.Error(), "out") {
		t.Errorf("error %v", err)
	}
}
