package coffer

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const example = `{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web-1","namespace":"shop","uid":"u","labels":{"app":"web"},
	"annotations":{"a":"b"},"deletionTimestamp":"2026-01-01T00:00:00Z","managedFields":[{"f:data":{}}],
	"ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"o","controller":true,"blockOwnerDeletion":true}]},
	"spec":{"replicas":2,"template":{"metadata":{"name":"inner"}}}}`

// What is read must be what the standard decoder reads, whatever it thinks of the names of fields in other cases.
func TestTheHeaderIsThatOfTheStandardDecoder(t *testing.T) {
	for name, body := range map[string]string{
		"a header":                 example,
		"of a list, without types": `{"metadata":{"name":"a"}}`,
		"nulls":                    `{"apiVersion":null,"metadata":{"name":"a","labels":null,"ownerReferences":null,"annotations":{"x":null}}}`,
		"a name twice":             `{"metadata":{"name":"a","uid":"1"},"metadata":{"name":"b"}}`,
		"a label twice":            `{"metadata":{"name":"a","labels":{"x":"1","x":"2"}}}`,
		"not UTF-8":                "{\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"\xff\"}},\"data\":\"\xc3\"}",
		"half a surrogate":         `{"metadata":{"name":"a","annotations":{"x":"\ud800"}}}`,
		"large numbers":            `{"metadata":{"name":"a"},"spec":123456789012345678901234567890}`,
		"deep":                     `{"metadata":{"name":"a"},"spec":` + strings.Repeat("[", 9_990) + strings.Repeat("]", 9_990) + `}`,
		"null":                     `null`,
	} {
		t.Run(name, func(t *testing.T) {
			var want Header
			if err := json.Unmarshal([]byte(body), &want); err != nil {
				t.Fatal(err)
			}
			got, err := DecodeHeader([]byte(body))
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v, -standard +ours:\n%s", err, diff)
			}
		})
	}
}

func TestWhatIsNoObjectHasNoHeader(t *testing.T) {
	for _, body := range []string{
		``, `[]`, `"a"`, `{"metadata":{"name":"a"}`, `{"metadata":{"name":"a"}} x`, `{"metadata":{"name":1}}`, `{"metadata":{"name":"a"},}`,
		`{"metadata":{"name":"a"},"spec":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`,
		"{\"metadata\":{\"name\":\"a\"},\"x\":\"\n\"}",
	} {
		if h, err := DecodeHeader([]byte(body)); err == nil {
			t.Errorf("%.60q: %+v", body, h)
		}
	}
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(`{"metadata":{"name":"a","name":"b"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := DecodeHeader(body); err == nil && !json.Valid(body) {
			t.Errorf("accepted, and no JSON: %q", body)
		}
	})
}

func BenchmarkDecodeHeader(b *testing.B) {
	b.SetBytes(int64(len(example)))
	for b.Loop() {
		if _, err := DecodeHeader([]byte(example)); err != nil {
			b.Fatal(err)
		}
	}
}
