package modifier

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/coffer-backup/coffer/internal/coffer"
)

type conditionsEntry struct {
	Namespaces        []string              `json:"namespaces,omitempty"`
	GroupResource     string                `json:"groupResource"`
	ResourceNameRegex string                `json:"resourceNameRegex,omitempty"`
	LabelSelector     *metav1.LabelSelector `json:"labelSelector,omitempty"`
	Matches           []matchEntry          `json:"matches,omitempty"`
}

type matchEntry struct {
	Path  string `json:"path,omitempty"`
	Value string `json:"value,omitempty"`
}

// conditions say which objects a rule is about. All of them have to be met.
type conditions struct {
	// groupResource is a pattern of RESOURCE.GROUP in which a wildcard stops at a dot, unless it is **.
	groupResource *regexp.Regexp
	// namespaces are patterns of names in the recovery point; none means all. They do not touch what is in no namespace.
	namespaces []*regexp.Regexp
	// name is nil for any.
	name *regexp.Regexp
	// labels is nil for any.
	labels labels.Selector
	// matches are test operations; nil for none.
	matches patch
}

func (e conditionsEntry) compile() (conditions, error) {
	var c conditions
	if e.GroupResource == "" {
		return c, fmt.Errorf("conditions.groupResource is missing: write deployments.apps, persistentvolumeclaims, *.apps or **")
	}
	pattern, err := compilePattern(e.GroupResource, '.')
	if err != nil {
		return c, fmt.Errorf("conditions.groupResource: %w", err)
	}
	c.groupResource = pattern
	for i, n := range e.Namespaces {
		pattern, err := compilePattern(n)
		if err != nil {
			return c, fmt.Errorf("conditions.namespaces[%d]: %w", i, err)
		}
		c.namespaces = append(c.namespaces, pattern)
	}
	if e.ResourceNameRegex != "" {
		if c.name, err = regexp.Compile(e.ResourceNameRegex); err != nil {
			return c, fmt.Errorf("conditions.resourceNameRegex: %s", shorten(err.Error()))
		}
	}
	if e.LabelSelector != nil {
		if c.labels, err = metav1.LabelSelectorAsSelector(e.LabelSelector); err != nil {
			return c, fmt.Errorf("conditions.labelSelector: %s", shorten(err.Error()))
		}
	}
	if len(e.Matches) > 0 {
		var tests []operationEntry
		for _, m := range e.Matches {
			tests = append(tests, operationEntry{Operation: operationTest, Path: m.Path, Value: m.Value})
		}
		if c.matches, err = compileOperations("conditions.matches", tests); err != nil {
			return c, err
		}
	}
	return c, nil
}

// concern looks at what names say.
func (c conditions) concern(ref coffer.ObjectRef) bool {
	if ref.Namespace != "" && len(c.namespaces) > 0 && !slices.ContainsFunc(c.namespaces, func(g *regexp.Regexp) bool { return g.MatchString(ref.Namespace) }) {
		return false
	}
	return c.groupResource.MatchString(ref.GroupResource.String()) && (c.name == nil || c.name.MatchString(ref.Name))
}

// met looks at what the object itself says. A path that it does not have is not met.
func (c conditions) met(object []byte) bool {
	if c.labels != nil {
		var h coffer.Header
		// What has labels that are none has none.
		if err := json.Unmarshal(object, &h); err != nil || !c.labels.Matches(labels.Set(h.Metadata.Labels)) {
			return false
		}
	}
	if c.matches == nil {
		return true
	}
	_, err := rule{patch: c.matches}.apply(object)
	return err == nil
}
