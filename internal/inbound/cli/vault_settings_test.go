package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStorageSettingsAsAzTakesThem(t *testing.T) {
	local := storageSetting{"VaultStore", "LocallyRedundant"}
	for _, tt := range []struct {
		name, text string
		want       []storageSetting
		// refused is part of the error; empty for none.
		refused string
	}{
		{"az's shorthand", "[{type:LocallyRedundant,datastore-type:VaultStore}]", []storageSetting{local}, ""},
		{"with quotes", "[{type:'LocallyRedundant',datastore-type:'VaultStore'}]", []storageSetting{local}, ""},
		{"JSON", `[ {"datastoreType": "VaultStore", "type": "LocallyRedundant"} ]`, []storageSetting{local}, ""},
		{"without brackets", "{type: LocallyRedundant, datastore-type: VaultStore}", []storageSetting{local}, ""},
		{"two", "[{type:LocallyRedundant,datastore-type:VaultStore}, {type:a,datastore-type:b}]", []storageSetting{local, {"b", "a"}}, ""},
		{"nothing", "", nil, "choose the redundancy"},
		{"an empty list", "[]", nil, "not understood"},
		{"a word", "LocallyRedundant", nil, "not understood"},
		{"no end", "[{type:a,datastore-type:b}", nil, "no end"},
		{"no end of the object", "[{type:a,datastore-type:b]", nil, "not understood"},
		{"a comma at the end", "[{type:a,datastore-type:b},]", nil, "not understood"},
		{"no comma between", "[{type:a,datastore-type:b}{type:a,datastore-type:b}]", nil, "not understood"},
		{"half of it", "[{type:a}]", nil, "both needed"},
		{"another name", "[{kind:a,datastore-type:b}]", nil, `"kind" is not known`},
		{"a name twice", "[{type:a,type:b}]", nil, "twice"},
		{"no value", "[{type:,datastore-type:b}]", nil, "without a value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseStorageSettings(tt.text)
			if (err == nil) != (tt.refused == "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
				t.Fatalf("got %v, want %q", err, tt.refused)
			}
			if diff := cmp.Diff(tt.want, got); err == nil && diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzStorageSettings(f *testing.F) {
	f.Add("[{type:LocallyRedundant,datastore-type:VaultStore}]")
	f.Add(`[{"type":"a","datastoreType":"b"},{type:'c',datastore-type:d}]`)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseStorageSettings(text)
		if err != nil {
			return
		}
		written := make([]string, len(all))
		for i, s := range all {
			if s.Type == "" || s.DatastoreType == "" {
				t.Fatalf("%q: %+v", text, all)
			}
			written[i] = `{type:"` + s.Type + `",datastore-type:"` + s.DatastoreType + `"}`
		}
		again, err := parseStorageSettings("[" + strings.Join(written, ",") + "]")
		if err != nil || cmp.Diff(all, again) != "" {
			t.Fatalf("%q is %+v, which written again is %+v: %v", text, all, again, err)
		}
	})
}

func TestTags(t *testing.T) {
	one, empty := "1", ""
	for _, tt := range []struct {
		name    string
		texts   []string
		changes bool
		want    map[string]*string
	}{
		{"some", []string{"a=1", "b="}, false, map[string]*string{"a": &one, "b": &empty}},
		{"an equals sign in the value", []string{"a=1", "c=x=y"}, false, map[string]*string{"a": &one, "c": ptr("x=y")}},
		{"one is taken away", []string{"a=1", "b"}, true, map[string]*string{"a": &one, "b": nil}},
		{"one without a value", []string{"b"}, false, nil},
		{"one without a name", []string{"=b"}, true, nil},
	} {
		got, err := parseTags(tt.texts, tt.changes)
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != (tt.want != nil) {
			t.Errorf("%s: %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

func ptr(text string) *string { return &text }
