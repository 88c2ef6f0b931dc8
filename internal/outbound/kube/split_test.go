package kube

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestListsAreSplitAsTheyStand(t *testing.T) {
	for name, tt := range map[string]struct {
		text, metadata string
		items          []string
	}{
		"metadata first":          {`{"kind":"List","metadata":{"continue":"x"},"items":[{"a":1},{"b":[{}]}]}`, `{"continue":"x"}`, []string{`{"a":1}`, `{"b":[{}]}`}},
		"metadata last":           {`{"items":[{"a":1}],"metadata":{}}`, `{}`, []string{`{"a":1}`}},
		"nothing in it":           {`{"metadata":{},"items":[]}`, `{}`, nil},
		"null, as of old":         {`{"items":null,"metadata":{}}`, `{}`, nil},
		"white space":             {" {\n \"items\" : [ {\"a\" : 1} ,\t{} ] } \n", ``, []string{`{"a" : 1}`, `{}`}},
		"brackets in strings":     {`{"items":[{"a":"}]{[\""},{"b":"\\"}]}`, ``, []string{`{"a":"}]{[\""}`, `{"b":"\\"}`}},
		"a key items within":      {`{"x":{"items":[1]},"items":[{"items":[2]}]}`, ``, []string{`{"items":[2]}`}},
		"numbers and other words": {`{"n":-1.5e3,"b":true,"z":null,"items":[1,"2",null]}`, ``, []string{`1`, `"2"`, `null`}},
	} {
		t.Run(name, func(t *testing.T) {
			metadata, items, err := splitList([]byte(tt.text))
			if err != nil || string(metadata) != tt.metadata || len(items) != len(tt.items) {
				t.Fatalf("splitList = %s, %s, %v", metadata, items, err)
			}
			for i := range items {
				if string(items[i]) != tt.items[i] {
					t.Errorf("item %d is %s", i, items[i])
				}
			}
		})
	}
}

func TestWhatIsNoListIsRefused(t *testing.T) {
	for _, text := range []string{
		"", " ", "{", "{}", "[]", "null", `{"items":`, `{"items":[`, `{"items":[{}`, `{"items":[{}]`, `{"items":[{}]}}`, `{"items":[{}]} x`,
		`{"items":["a]}`, `{"items":{}}`, `{items:[]}`, `{"items" []}`, `{"items":[],}`, `{"items":[,]}`, `{"items":[{}{}]}`, `{"a":1 "items":[]}`,
		"not found", "\x00", `{"items":[{}],"metadata":"\`,
	} {
		if metadata, items, err := splitList([]byte(text)); err == nil {
			t.Errorf("splitList(%q) = %s, %s", text, metadata, items)
		}
	}
}

func FuzzSplitList(f *testing.F) {
	for _, seed := range []string{`{"metadata":{"continue":"x"},"items":[{"a":"\\\""},{}]}`, `{"items":null}`, `{`, `{"items":[[[[`, `{"items":[1,]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, items, err := splitList(data)
		var want struct {
			Items []json.RawMessage `json:"items"`
		}
		if !json.Valid(data) || !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
			return
		}
		if json.Unmarshal(data, &want) != nil || strings.Count(strings.ToLower(string(data)), `items"`) != 1 || !bytes.Contains(data, []byte(`"items"`)) {
			return
		}
		if err != nil {
			// It has the key somewhere within.
			if want.Items != nil {
				t.Fatalf("splitList(%q): %v", data, err)
			}
			return
		}
		if len(items) != len(want.Items) {
			t.Fatalf("splitList(%q) finds %d items of %d", data, len(items), len(want.Items))
		}
		for i := range items {
			if !bytes.Equal(items[i], want.Items[i]) {
				t.Fatalf("splitList(%q): item %d is %q, want %q", data, i, items[i], want.Items[i])
			}
		}
	})
}
