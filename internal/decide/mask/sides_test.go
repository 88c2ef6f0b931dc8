package mask

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestSidesSayWhatDiffersAndNotWhatItIs(t *testing.T) {
	secret := coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "secrets"}, Namespace: "shop", Name: "login"}
	list := coffer.ObjectRef{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "bundles"}, Namespace: "shop", Name: "b"}
	for _, tt := range []struct {
		name        string
		ref         coffer.ObjectRef
		sides, want []string
	}{
		{"equal values are masked alike", secret,
			[]string{`{"data":{"a":"aHVudGVy"}}`, `{"data":{"a":"aHVudGVy"}}`}, []string{`{"data":{"a":"***"}}`, `{"data":{"a":"***"}}`}},
		{"a value that changes", secret,
			[]string{`{"data":{"a":"b25l","b":"c2FtZQ=="}}`, `{"data":{"a":"dHdv","b":"c2FtZQ=="}}`, `{"data":{"a":"b25l","b":"c2FtZQ=="}}`},
			[]string{`{"data":{"a":"*** (value 1)","b":"***"}}`, `{"data":{"a":"*** (value 2)","b":"***"}}`, `{"data":{"a":"*** (value 1)","b":"***"}}`}},
		{"a value that is gone on one side", secret,
			[]string{`{"data":{"a":"b25l"}}`, ``, `{"data":{}}`}, []string{`{"data":{"a":"***"}}`, ``, `{"data":{}}`}},
		{"a value that is what masks it", secret,
			[]string{`{"data":{"a":"***"}}`, `{"data":{"a":"b25l"}}`}, []string{`{"data":{"a":"*** (value 1)"}}`, `{"data":{"a":"*** (value 2)"}}`}},
		{"a value that is no text", secret,
			[]string{`{"data":{"a":{"x":1}}}`, `{"data":{"a":{"x":2}}}`}, []string{`{"data":{"a":"*** (value 1)"}}`, `{"data":{"a":"*** (value 2)"}}`}},
		{"a Secret in another object", list,
			[]string{`{"items":[{"kind":"Secret","data":{"a":"b25l"}},{"b":1}]}`, `{"items":[{"kind":"Secret","data":{"a":"dHdv"}}]}`},
			[]string{`{"items":[{"data":{"a":"*** (value 1)"},"kind":"Secret"},{"b":1}]}`, `{"items":[{"data":{"a":"*** (value 2)"},"kind":"Secret"}]}`}},
		{"an annotation that repeats the object", secret,
			[]string{
				`{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"a\":\"b25l\"}}"}}}`,
				`{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"a\":\"dHdv\"}}"}}}`,
			},
			[]string{
				`{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"a\":\"***\"}} (value 1)"}}}`,
				`{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"a\":\"***\"}} (value 2)"}}}`,
			}},
		{"what is no Secret is as it was", list, []string{`{"b": 1}`, `{"b": 2}`}, []string{`{"b": 1}`, `{"b": 2}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sides [][]byte
			for _, s := range tt.sides {
				if s == "" {
					sides = append(sides, nil)
					continue
				}
				sides = append(sides, []byte(s))
			}
			masked, err := Sides(tt.ref, sides...)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range masked {
				got = append(got, string(m))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if _, err := Sides(secret, []byte(`{}`), []byte(`{`)); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
		t.Errorf("what is no JSON: %v", err)
	}
}

func TestWhatIsSaidOfASecretDoesNotTellIt(t *testing.T) {
	secret := coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "secrets"}, Name: "login"}
	body := []byte(`{"data":{"a":"aHVudGVyMg=="},"stringData":{"b":"correct-horse-battery","c":"correct-horse"}}`)
	const said = `denied: "hunter2" (aHVudGVyMg==) and correct-horse-battery, correct-horse are in use`
	got := Text(secret, said, nil, body, []byte(`[`))
	if want := `denied: "***" (***) and ***, *** are in use`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	other := coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "configmaps"}, Name: "login"}
	if got := Text(other, said, body); got != said || strings.Contains(Text(secret, "aHVudGVyMg==", body), "aHV") {
		t.Errorf("%q", got)
	}
}

// Whatever the sides are, no value of a Secret is in what is answered.
func FuzzSides(f *testing.F) {
	f.Add([]byte(`{"data":{"a":"aaaabbbb"}}`), []byte(`{"data":["ccccdddd"]}`))
	f.Add([]byte(`[{"x":[1,2]}]`), []byte(`{"x":null}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		ref := coffer.ObjectRef{GroupResource: secrets, Name: "x"}
		got, err := Sides(ref, a, b)
		if err != nil {
			return
		}
		for i, body := range [][]byte{a, b} {
			alone, err := Secrets(ref, body)
			if err != nil {
				t.Fatal(err)
			}
			// But for the numbers, it is what each is alone.
			plain := strings.NewReplacer(" (value 1)", "", " (value 2)", "").Replace(string(got[i]))
			if !strings.Contains(string(alone), "(value ") && plain != string(alone) {
				t.Errorf("%s, alone %s", got[i], alone)
			}
		}
	})
}
