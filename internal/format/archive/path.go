package archive

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	versionPath = "metadata/version"
	// formatVersion is Velero's, written since its 1.4.
	formatVersion = "1.1.0\n"
)

// Path is where an object stands in the tar.
func Path(ref coffer.ObjectRef) string {
	if ref.Namespace == "" {
		return "resources/" + ref.GroupResource.String() + "/cluster/" + ref.Name + ".json"
	}
	return "resources/" + ref.GroupResource.String() + "/namespaces/" + ref.Namespace + "/" + ref.Name + ".json"
}

// ParsePath is the inverse of Path. It answers false for the copies that Velero keeps under a version, which repeat
// what stands under the path without one, and an error for anything that cannot be an object's path.
func ParsePath(path string) (coffer.ObjectRef, bool, error) {
	segments := strings.Split(path, "/")
	if slices.ContainsFunc(segments, func(s string) bool { return s == "" || s == "." || s == ".." }) {
		return coffer.ObjectRef{}, false, fmt.Errorf("archive path %s is not a plain relative path", quoted(path))
	}
	if segments[0] == "metadata" {
		return coffer.ObjectRef{}, false, nil
	}
	notAnObject := func() (coffer.ObjectRef, bool, error) {
		return coffer.ObjectRef{}, false, fmt.Errorf("archive path %s is not of an object", quoted(path))
	}
	if segments[0] != "resources" || len(segments) < 4 {
		return notAnObject()
	}
	ref := coffer.ObjectRef{GroupResource: coffer.ParseGroupResource(segments[1])}
	rest := segments[2:]
	name, isJSON := strings.CutSuffix(rest[len(rest)-1], ".json")
	switch {
	case rest[0] == "namespaces" && len(rest) == 3 && isJSON:
		ref.Namespace, ref.Name = rest[1], name
	case rest[0] == "cluster" && len(rest) == 2 && isJSON:
		ref.Name = name
	case len(rest) >= 3 && (rest[1] == "namespaces" || rest[1] == "cluster"):
		return coffer.ObjectRef{}, false, nil
	default:
		return notAnObject()
	}
	// One object has one path: a type with an empty group behind its dot, say, would be another spelling of it.
	if ref.Resource == "" || ref.Name == "" || Path(ref) != path {
		return notAnObject()
	}
	return ref, true, nil
}

// preferredSuffix marks the copies that repeat what stands under the path without a version.
const preferredSuffix = "-preferredversion"

// parseCopy reads the path of a copy at another version than the object's: Velero, asked to, archives every version that
// the source cluster serves. It answers false for every other path.
func parseCopy(path string) (ref coffer.ObjectRef, version string, isCopy bool) {
	folder, rest, _ := strings.Cut(strings.TrimPrefix(path, "resources/"), "/")
	version, rest, _ = strings.Cut(rest, "/")
	if version == "" || strings.HasSuffix(version, preferredSuffix) {
		return ref, "", false
	}
	ref, isObject, err := ParsePath("resources/" + folder + "/" + rest)
	return ref, version, err == nil && isObject && path == "resources/"+folder+"/"+version+"/"+rest
}
