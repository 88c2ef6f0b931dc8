package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

var (
	secret = coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "secrets"}, Namespace: "shop", Name: "login"}
	other  = coffer.ObjectRef{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "things"}, Namespace: "shop", Name: "thing"}
)

func TestValuesOfSecretsAreMasked(t *testing.T) {
	for _, tt := range []struct {
		name       string
		ref        coffer.ObjectRef
		body, want string
	}{
		{"data", secret,
			`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"login"},"type":"Opaque","data":{"user":"cm9vdA==","password":"aHVudGVyMg=="}}`,
			`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"login"},"type":"Opaque","data":{"user":"***","password":"***"}}`},
		{"stringData, immutable", secret,
			`{"apiVersion":"v1","kind":"Secret","immutable":true,"stringData":{"password":"hunter2"},"data":null}`,
			`{"apiVersion":"v1","kind":"Secret","immutable":true,"stringData":{"password":"***"},"data":null}`},
		{"data that is not what it should be", secret,
			`{"kind":"Secret","data":"hunter2","stringData":["hunter2"],"type":{"a":"hunter2"},"metadata":"hunter2"}`,
			`{"kind":"Secret","data":"***","stringData":"***","type":{"a":"***"},"metadata":"***"}`},
		{"fields that no Secret has", secret,
			`{"kind":"Secret","Data":{"a":"hunter2"},"extra":{"deep":{"er":"hunter2"}}}`,
			`{"kind":"Secret","Data":{"a":"***"},"extra":{"deep":"***"}}`},
		{"a Secret that says it is something else", secret,
			`{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"aHVudGVyMg=="}}`,
			`{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"***"}}`},
		{"a Secret that says it is a list", secret,
			`{"apiVersion":"v1","kind":"List","items":[{"data":{"a":"hunter2"}}, "hunter2"],"data":{"a":"hunter2"}}`,
			`{"apiVersion":"v1","kind":"List","items":[{"data":{"a":"***"}}, "***"],"data":{"a":"***"}}`},
		{"what was applied", secret,
			`{"kind":"Secret","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"data\":{\"a\":\"aHVudGVyMg==\"},\"kind\":\"Secret\",\"metadata\":{\"annotations\":{},\"name\":\"login\"}}\n","team":"shop"}},"data":{"a":"aHVudGVyMg=="}}`,
			`{"kind":"Secret","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"data\":{\"a\":\"***\"},\"kind\":\"Secret\",\"metadata\":{\"annotations\":{},\"name\":\"login\"}}","team":"shop"}},"data":{"a":"***"}}`},
		{"what was applied with a value that is no longer there", secret,
			`{"kind":"Secret","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"stringData\":{\"a\":\"older\"}}"}}}`,
			`{"kind":"Secret","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"stringData\":{\"a\":\"***\"}}"}}}`},
		{"what was applied and cannot be read", secret,
			`{"kind":"Secret","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"a\":\"hunter2\"}"}}}`,
			`{"kind":"Secret","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"***"}}}`},
		{"what other tools have applied", secret,
			`{"kind":"Secret","metadata":{"annotations":{"objectset.rio.cattle.io/applied":"H4sIAAAA","note":"it is hunter2","encoded":"see aHVudGVyMg==","n":7}},"data":{"a":"aHVudGVyMg=="}}`,
			`{"kind":"Secret","metadata":{"annotations":{"objectset.rio.cattle.io/applied":"***","note":"***","encoded":"***","n":"***"}},"data":{"a":"***"}}`},
		{"a part of a value, as OpenShift notes it", secret,
			`{"kind":"Secret","metadata":{"annotations":{"openshift.io/token-secret.value":"eyJhbGciOi.token","openshift.io/token-secret.name":"default-token-x","short":"user"}},"data":{".dockercfg":"eyJyZWdpc3RyeSI6eyJ1c2VybmFtZSI6InNlcnZpY2VhY2NvdW50IiwicGFzc3dvcmQiOiJleUpoYkdjaU9pLnRva2VuIn19"}}`,
			`{"kind":"Secret","metadata":{"annotations":{"openshift.io/token-secret.value":"***","openshift.io/token-secret.name":"default-token-x","short":"user"}},"data":{".dockercfg":"***"}}`},
		{"field names in managedFields", secret,
			`{"kind":"Secret","metadata":{"managedFields":[{"manager":"kubectl","fieldsV1":{"f:data":{"f:a":{}}}}]}}`,
			`{"kind":"Secret","metadata":{"managedFields":[{"manager":"kubectl","fieldsV1":{"f:data":{"f:a":{}}}}]}}`},
		{"a list of Secrets", other,
			`{"apiVersion":"v1","kind":"SecretList","items":[{"data":{"a":"hunter2"}},{"kind":"Secret","data":{"a":"hunter2"}}]}`,
			`{"apiVersion":"v1","kind":"SecretList","items":[{"data":{"a":"***"}},{"kind":"Secret","data":{"a":"***"}}]}`},
		{"a list of this and that", other,
			`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"b"}},{"apiVersion":"v1","kind":"Secret","data":{"a":"hunter2"}}]}`,
			`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"b"}},{"apiVersion":"v1","kind":"Secret","data":{"a":"***"}}]}`},
		{"a template", other,
			`{"kind":"Template","objects":[{"apiVersion":"v1","kind":"Secret","stringData":{"a":"hunter2"}}],"n":12345678901234567890}`,
			`{"kind":"Template","objects":[{"apiVersion":"v1","kind":"Secret","stringData":{"a":"***"}}],"n":12345678901234567890}`},
		{"a kind that is spelled with escapes", other,
			`{"kind":"Thing","spec":{"kind":"\u0053ecret","data":{"a":"hunter2"}}}`,
			`{"kind":"Thing","spec":{"kind":"Secret","data":{"a":"***"}}}`},
		{"another's kind of that name", other,
			`{"apiVersion":"acme.io/v1","kind":"Secret","data":{"a":"b"}}`,
			`{"apiVersion":"acme.io/v1","kind":"Secret","data":{"a":"b"}}`},
		{"a Secret in an annotation of something else", other,
			`{"kind":"Thing","metadata":{"annotations":{"a":"{\"kind\":\"Secret\",\"data\":{\"a\":\"hunter2\"}}","b":"about Secrets","c":"{\"say\" : \"Secret\"}"}}}`,
			`{"kind":"Thing","metadata":{"annotations":{"a":"{\"data\":{\"a\":\"***\"},\"kind\":\"Secret\"}","b":"about Secrets","c":"{\"say\" : \"Secret\"}"}}}`},
		{"something that only refers to Secrets", other,
			`{"kind":"Pod","spec":{"volumes":[{"secret":{"secretName":"login"}}],"env":[{"valueFrom":{"secretKeyRef":{"name":"login","key":"a"}}}],"ref":{"kind":"Secret","name":"login"}}}`,
			`{"kind":"Pod","spec":{"volumes":[{"secret":{"secretName":"login"}}],"env":[{"valueFrom":{"secretKeyRef":{"name":"login","key":"a"}}}],"ref":{"kind":"Secret","name":"login"}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Secrets(tt.ref, []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(mustDecode(t, []byte(tt.want)), mustDecode(t, got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestManyValuesHideAnnotations(t *testing.T) {
	data := map[string]any{}
	for i := range maxValues + 1 {
		data[fmt.Sprint(i)] = fmt.Sprintf("value-%d", i)
	}
	body, err := json.Marshal(map[string]any{"data": data, "metadata": map[string]any{"annotations": map[string]any{"note": "anything"}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Secrets(secret, body)
	if err != nil || bytes.Contains(got, []byte("anything")) || bytes.Contains(got, []byte("value-")) {
		t.Errorf("%.100s, %v", got, err)
	}
}

func mustDecode(t *testing.T, text []byte) any {
	t.Helper()
	value, err := decode(text)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}

func TestWhatIsNotJSONIsNotShown(t *testing.T) {
	for _, body := range []string{"", "{", `{"data":{"a":"hunter2"}`, `{} {"data":"hunter2"}`, "hunter2", strings.Repeat("[", 20_000)} {
		got, err := Secrets(secret, []byte(body))
		if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt || got != nil {
			t.Errorf("%.40q: %q, %v", body, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows it: %v", err)
		}
	}
}

// FuzzSecrets holds that whatever stands where a Secret does, and whatever says that it is one, shows no value.
func FuzzSecrets(f *testing.F) {
	for _, body := range []string{
		`{"kind":"Secret","data":{"a":"aHVudGVyMg=="},"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}}}`,
		`{"kind":"List","items":[{"kind":"Secret","data":{"a":"b"}}]}`, `[]`, `{"items":{"kind":"SecretList"}}`, `"\u0053"`, `{"kind":"SecretList","items":[{"data":1}]}`,
		`{"metadata":{"annotations":{"x":"{\"kind\":\"Secret\",\"data\":{\"a\":\"b\"}}"}}}`,
	} {
		f.Add([]byte(body), true, "hunter2!")
		f.Add([]byte(body), false, "hunter2!")
	}
	f.Fuzz(func(t *testing.T, body []byte, isSecret bool, canary string) {
		ref := other
		if isSecret {
			ref = secret
		}
		once, err := Secrets(ref, body)
		if err == nil {
			if json.Valid(body) != json.Valid(once) {
				t.Fatalf("%q became %q", body, once)
			}
			twice, err := Secrets(ref, once)
			if err != nil || !bytes.Equal(once, twice) && json.Valid(body) && !equalJSON(once, twice) {
				t.Fatalf("masked again, %q is %q, %v", once, twice, err)
			}
		}
		// A Secret around what was given, and in it.
		canary = fmt.Sprintf("canary-%x", canary)
		var given any
		if bytes.Contains(body, []byte("canary")) || json.Unmarshal(body, &given) != nil {
			return
		}
		whole := map[string]any{
			"apiVersion": "v1", "kind": "Secret", "extra": given,
			"data":     map[string]any{"a": base64.StdEncoding.EncodeToString([]byte(canary)), "b": given},
			"metadata": map[string]any{"annotations": map[string]any{"note": "it is " + canary, lastApplied: string(body) + canary}},
		}
		for _, v := range []any{whole, map[string]any{"kind": "Thing", "spec": []any{given, whole}}, map[string]any{"kind": "List", "items": []any{whole}}} {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Secrets(ref, text)
			if err != nil {
				t.Fatal(err)
			}
			for _, value := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary))} {
				if bytes.Contains(got, []byte(value)) {
					t.Fatalf("%s shows %s", got, value)
				}
			}
		}
	})
}

func equalJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && cmp.Equal(x, y)
}
