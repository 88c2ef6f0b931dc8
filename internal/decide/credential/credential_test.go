package credential

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestASecretHoldsForItsOwnClientOnly(t *testing.T) {
	id, text := Make([RandomSize]byte{1, 2, 3, 250, 251, 252, 253})
	if got, ok := ID(text); !ok || got != id {
		t.Errorf("the id of %s is %q, not %q", string(text), got, id)
	}
	hash := Hash("0000-aa", text)
	for name, c := range map[string]struct {
		hash   []byte
		client string
		text   Text
		want   bool
	}{
		"the client itself":                 {hash, "0000-aa", text, true},
		"the client in another spelling":    {hash, "0000-AA", text, true},
		"another client":                    {hash, "0000-ab", text, false},
		"another secret":                    {hash, "0000-aa", text[:len(text)-1] + "-", false},
		"no secret":                         {hash, "0000-aa", "", false},
		"no hash":                           {nil, "0000-aa", text, false},
		"a client that swallows a boundary": {hash, "0000-aa\x00" + string(text[:1]), text[1:], false},
	} {
		if Holds(c.hash, c.client, c.text) != c.want {
			t.Errorf("%s: %v", name, !c.want)
		}
	}
}

func TestWhatHasNotTheFormOfASecretHasNoID(t *testing.T) {
	_, text := Make([RandomSize]byte{})
	for _, bad := range []Text{"", "cofs_", "cofs__", text[1:], text + "x", text[:len(text)-1], "cofs_" + Text(strings.Repeat("a", 10000))} {
		if id, ok := ID(bad); ok {
			t.Errorf("%.60q has the id %q", string(bad), id)
		}
	}
}

func TestASecretIsNotPrinted(t *testing.T) {
	_, text := Make([RandomSize]byte{7})
	encoded, err := json.Marshal(struct{ T Text }{text})
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %s %q %#v %+v %s", text, text, text, text, struct{ T Text }{text}, encoded)
	if strings.Contains(printed, string(text[10:])) {
		t.Errorf("it was printed: %s", printed)
	}
}

func FuzzID(f *testing.F) {
	_, text := Make([RandomSize]byte{9})
	f.Add(string(text))
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := ID(Text(s)); ok && !strings.HasPrefix(s, prefix+id+"_") {
			t.Errorf("%q has the id %q", s, id)
		}
	})
}
