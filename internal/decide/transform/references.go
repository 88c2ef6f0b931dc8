package transform

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// maxNotes bounds the notes on one object. One more says that there are more.
const maxNotes = 10

// encoded are types with a field whose values are base64. What is in them is not shown.
var encoded = map[coffer.GroupResource]string{{Resource: "secrets"}: "data"}

// noteReferences looks for what names a namespace that has another name now and could not follow it: whether what looks like
// a reference is one, only its reader knows.
func (w *work) noteReferences() {
	if len(w.Namespaces) == 0 {
		return
	}
	s := search{work: w, encoded: encoded[w.Target.GroupResource]}
	before := len(w.notes)
	s.object(nil, w.object)
	// Maps have no order.
	slices.SortFunc(w.notes[before:], func(a, b Note) int { return strings.Compare(a.Field, b.Field) })
	if more := len(w.notes) - maxNotes; more > 0 {
		w.notes = append(w.notes[:maxNotes], Note{Field: "…", Reason: fmt.Sprintf("%d more like these", more)})
	}
}

type search struct {
	*work
	// encoded is the object's field whose values are base64.
	encoded string
}

// step is one step of a path, and those before it. Of most paths nobody wants the text.
type step struct {
	before *step
	key    string
	// index of an element, whose key is that of its list.
	index int
	list  bool
}

// String is the path, as spec.rules[0].host.
func (p *step) String() string {
	switch {
	case p == nil:
		return ""
	case p.list:
		return at(p.before.String(), p.index)
	case p.before == nil:
		return p.key
	}
	return p.before.String() + "." + p.key
}

func (s search) object(path *step, object map[string]any) {
	byName := text(object, "key") == nameLabel
	// An environment variable, or another pair of name and value.
	variable := strings.HasSuffix(strings.ToLower(text(object, "name")), "namespace")
	for key, value := range object {
		to := step{before: path, key: key}
		switch v := value.(type) {
		case string:
			s.text(&to, v, variable && key == "value")
		case map[string]any:
			if path == nil && key == s.encoded {
				s.secret(key, v)
				continue
			}
			s.object(&to, v)
		case []any:
			s.list(&to, v, byName && key == "values" || key == "matchNames" || isNamespaces(key, "namespaces"))
		}
	}
}

// list looks at the elements of a list; names says that they are names of namespaces.
func (s search) list(path *step, list []any, names bool) {
	for i, e := range list {
		to := step{before: path, key: path.key, index: i, list: true}
		switch v := e.(type) {
		case string:
			s.text(&to, v, names)
		case map[string]any:
			s.object(&to, v)
		case []any:
			s.list(&to, v, names)
		}
	}
}

// isNamespaces says whether a key ends with a word, in any case.
func isNamespaces(key, word string) bool {
	return len(key) >= len(word) && strings.EqualFold(key[len(key)-len(word):], word)
}

// text looks at one string; name says that it is the name of a namespace, whatever its key.
func (s search) text(path *step, value string, name bool) {
	if name || path.key == nameLabel || isNamespaces(path.key, "namespace") {
		if to, mapped := s.mapped(value); mapped && !s.settled(path.String()) {
			s.note(path.String(), "it names namespace %s, which is restored as %s, and was left as it is", value, to)
		}
		return
	}
	if what, namespace := s.mention(value); what != "" && !s.settled(path.String()) {
		s.note(path.String(), "it has %s of namespace %s, which is restored as %s, and was left as it is", what, namespace, s.Namespaces[namespace])
	}
}

// settled says that what a field says is right. The object's own namespace was set, and what kubectl applied was applied
// elsewhere.
func (s search) settled(path string) bool {
	switch path {
	case "metadata.namespace", "metadata.labels." + nameLabel, "metadata.annotations." + lastApplied:
		return true
	}
	return s.followed[path]
}

// secret looks at values that must not be shown.
func (s search) secret(field string, values map[string]any) {
	for key, value := range values {
		v, _ := value.(string)
		plain, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			continue
		}
		if _, namespace := s.mention(string(plain)); namespace != "" {
			s.note(field+"."+key, "it has a name of namespace %s, which is restored as %s, and was left as it is", namespace, s.Namespaces[namespace])
		}
	}
}

// mention finds the first host name, or full name of a ServiceAccount, of a namespace that has another name now.
func (s search) mention(text string) (what, namespace string) {
	for _, prefix := range []string{accountUser, accountGroup} {
		if _, rest, found := strings.Cut(text, prefix); found {
			name := rest[:hostLength(rest)]
			if _, mapped := s.mapped(name); mapped {
				return "the ServiceAccount name " + prefix + name, name
			}
		}
	}
	// A host name is where dots are.
	for dot := strings.IndexByte(text, '.'); dot >= 0; dot = strings.IndexByte(text, '.') {
		begin := dot
		for begin > 0 && isHostByte(text[begin-1]) {
			begin--
		}
		host := text[begin : dot+hostLength(text[dot:])]
		namespace := hostNamespace(strings.TrimRight(host, "."))
		if _, mapped := s.mapped(namespace); mapped {
			return "the host name " + host, namespace
		}
		text = text[begin+len(host):]
	}
	return "", ""
}

// hostNamespace is the namespace of a Service's or pod's host name, if it is one: SERVICE.NAMESPACE, or anything before
// NAMESPACE.svc.
func hostNamespace(host string) string {
	first, rest, dotted := strings.Cut(host, ".")
	if !dotted || first == "" {
		return ""
	}
	if !strings.Contains(rest, ".") {
		return rest
	}
	before, after, found := strings.Cut(rest, ".svc")
	if !found || after != "" && after[0] != '.' {
		return ""
	}
	return before[strings.LastIndexByte(before, '.')+1:]
}

func hostLength(text string) int {
	for i := range len(text) {
		if !isHostByte(text[i]) {
			return i
		}
	}
	return len(text)
}

func isHostByte(b byte) bool {
	return 'a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '-' || b == '.'
}
