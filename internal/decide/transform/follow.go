package transform

import (
	"fmt"
	"strings"
)

const (
	// nameLabel is the label of a Namespace that repeats its name.
	nameLabel = "kubernetes.io/metadata.name"
	// accountUser and accountGroup are how ServiceAccounts, and all of a namespace, are called in full.
	accountUser  = "system:serviceaccount:"
	accountGroup = "system:serviceaccounts:"
)

// followedAnnotations name the namespace that the object's own release is in.
var followedAnnotations = []string{"meta.helm.sh/release-namespace"}

func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// follow lets a field that names a namespace follow it. path is that of the object around.
func (w *work) follow(object map[string]any, path, field string) {
	if to, mapped := w.mapped(text(object, field)); mapped {
		object[field] = to
		w.hasFollowed(path + "." + field)
	}
}

func (w *work) mapped(namespace string) (to string, mapped bool) {
	to, mapped = w.Namespaces[namespace]
	return to, mapped && to != namespace
}

func (w *work) hasFollowed(path string) {
	if w.followed == nil {
		w.followed = map[string]bool{}
	}
	w.followed[path] = true
}

func (w *work) followAnnotations() {
	annotations := child(w.metadata, "annotations")
	for _, a := range followedAnnotations {
		w.follow(annotations, "metadata.annotations", a)
	}
}

// followSubject lets a subject of a binding follow: by its namespace, or by its name in full.
func (w *work) followSubject(subject map[string]any, path string) {
	if subject["kind"] == "ServiceAccount" {
		w.follow(subject, path, "namespace")
		return
	}
	w.followAccount(subject, path)
}

// followAccount lets a field "name" that is the full name of a ServiceAccount, or of all of a namespace, follow.
func (w *work) followAccount(object map[string]any, path string) {
	name := text(object, "name")
	if namespace, found := strings.CutPrefix(name, accountGroup); found {
		if to, mapped := w.mapped(namespace); mapped {
			object["name"] = accountGroup + to
			w.hasFollowed(path + ".name")
		}
	}
	if rest, found := strings.CutPrefix(name, accountUser); found {
		namespace, account, _ := strings.Cut(rest, ":")
		if to, mapped := w.mapped(namespace); mapped {
			object["name"] = accountUser + to + ":" + account
			w.hasFollowed(path + ".name")
		}
	}
}
