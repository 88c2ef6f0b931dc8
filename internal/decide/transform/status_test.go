package transform

import "testing"

func TestStatusIsRestoredWhereAsked(t *testing.T) {
	object := func(annotation string) string {
		if annotation == "" {
			return `{"metadata":{"name":"a"},"status":{"n":9007199254740993}}`
		}
		return `{"metadata":{"name":"a","annotations":{"velero.io/restore-status":"` + annotation + `"}},"status":{"n":9007199254740993}}`
	}
	for _, tt := range []struct {
		name, resource, body string
		asked, want          bool
		notes                int
	}{
		{"nobody asks", "things.acme.io", object(""), false, false, 0},
		{"the restore asks", "things.acme.io", object(""), true, true, 0},
		{"the object asks", "things.acme.io", object(" True "), false, true, 0},
		{"the object refuses", "things.acme.io", object("false"), true, false, 0},
		{"the object says neither", "things.acme.io", object("maybe"), true, true, 1},
		{"there is none", "things.acme.io", `{"metadata":{"name":"a"}}`, true, false, 0},
		{"it is null", "things.acme.io", `{"metadata":{"name":"a"},"status":null}`, true, false, 0},
		{"it says how far the cluster is", "persistentvolumeclaims", object("true"), true, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Apply([]byte(tt.body), Context{Target: ref(tt.resource, "shop", "a"), Status: tt.asked})
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			if tt.want {
				want = `{"status":{"n":9007199254740993}}`
			}
			if string(got.Status) != want || len(got.Notes) != tt.notes {
				t.Errorf("status %s, notes %v", got.Status, got.Notes)
			}
			mustBeFit(t, got.Object)
		})
	}
}
