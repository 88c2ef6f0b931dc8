package arm

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNamesAreKeptAsTheirTypeHasThem(t *testing.T) {
	for body, want := range map[string]string{
		`{"Location":"a","TAGS":{"Owner":"ü<"},"unKnown":[1e400,0.10,12345678901234567890,null]}`:                                                       `{"location":"a","tags":{"Owner":"ü<"},"unKnown":[1e400,0.10,12345678901234567890,null]}`,
		`{"Properties":{"SecuritySettings":{"soft_delete-settings":{"STATE":"on","x":{"State":1}}},"storagesettings":[{"Type":"LocallyRedundant"},7]}}`: `{"properties":{"securitySettings":{"softDeleteSettings":{"state":"on","x":{"State":1}}},"storageSettings":[{"type":"LocallyRedundant"},7]}}`,
		// A long s, and the sign of Kelvin.
		"{\"propertie\u017f\":null,\"tag\u017f\":{}}": `{"properties":null,"tags":{}}`,
		`{"properties":"no object"}`:                  `{"properties":"no object"}`,
	} {
		got, err := Respell([]byte(body), VaultResource{})
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, want %s (%v)", body, got, want, err)
		}
	}
	got, err := Respell([]byte(`{"properties":{"policyRules":[{"Trigger":{"taggingcriteria":{"IsDefault":true}}}]}}`), PolicyResource{})
	if err != nil || string(got) != `{"properties":{"policyRules":[{"trigger":{"taggingCriteria":{"isDefault":true}}}]}}` {
		t.Errorf("a criterion that stands alone: %s (%v)", got, err)
	}
	for _, body := range []string{`{"location":"a","Location":"b"}`, `{"properties":{"x":1}`, `[]`, ``, `{"tags":[}`} {
		if got, err := Respell([]byte(body), VaultResource{}); !errors.As(err, new(*Error)) {
			t.Errorf("%s: %s, %v", body, got, err)
		}
	}
}

// FuzzRespell holds that a body means the same as before to those who decode it.
func FuzzRespell(f *testing.F) {
	f.Add([]byte(`{"Properties":{"dataSourceInfo":{"ResourceId":"/a"},"policyInfo":null},"tags":{"A":null}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		before, err := Decode[InstanceResource](body)
		if err != nil {
			return
		}
		spelled, err := Respell(body, InstanceResource{})
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		after, err := Decode[InstanceResource](spelled)
		if err != nil {
			t.Fatalf("%s became %s: %v", body, spelled, err)
		}
		if diff := diffJSON(t, before, after); diff != "" {
			t.Errorf("%s became %s: %s", body, spelled, diff)
		}
	})
}

func diffJSON(t *testing.T, a, b any) string {
	t.Helper()
	return cmp.Diff(mustEncode(t, a), mustEncode(t, b))
}

func mustEncode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
