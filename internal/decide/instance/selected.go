package instance

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// The bounds of what selects, as the custom resources have them. maxSelectorText bounds all label selectors together: each of
// their terms is compared with every other.
const (
	maxNamespaces   = v1alpha1.MaxNamespaces
	maxNamespace    = 63
	maxTypes        = 800
	maxTypeText     = 320
	maxSelectors    = 100
	maxSelectorText = 4096
	maxObjects      = 500
	maxObjectText   = 700
	maxReferences   = 100
)

// selected is what selects objects of a cluster, or of a recovery point.
type selected struct {
	included, excluded           []string
	includedTypes, excludedTypes []string
	labels, orLabels             []string
	objects                      []v1alpha1.ObjectName
}

func (s selected) config() selection.Config {
	c := selection.Config{
		Rules:         selection.Rules{Included: s.included, Excluded: s.excluded},
		IncludedTypes: s.includedTypes, ExcludedTypes: s.excludedTypes,
		LabelSelectors: s.labels, OrLabelSelectors: s.orLabels,
	}
	for _, o := range s.objects {
		c.Objects = append(c.Objects, selection.ObjectName{Type: o.Type, Namespace: o.Namespace, Name: o.Name})
	}
	return c
}

// selection checks each element by itself, so that all that are wrong are told, and then whether they contradict each other.
func (r *reader) selection(at string, s selected) {
	sound := true
	each := func(field string, texts []string, most int, check func(text string) error) {
		path := at
		if field == "orLabelSelectors" || field == "includedObjects" {
			path = arm.At(at, "coffer")
		}
		sound = r.each(arm.At(path, field), field, texts, most, check) && sound
	}
	each("includedNamespaces", s.included, maxNamespaces, bounded(maxNamespace, func(text string) error { return selection.Rules{Included: []string{text}}.Check() }))
	each("excludedNamespaces", s.excluded, maxNamespaces, bounded(maxNamespace, func(text string) error { return selection.Rules{Excluded: []string{text}}.Check() }))
	each("includedResourceTypes", s.includedTypes, maxTypes, func(text string) error { return checkType("includedResourceTypes", text) })
	each("excludedResourceTypes", s.excludedTypes, maxTypes, func(text string) error { return checkType("excludedResourceTypes", text) })
	length := len(strings.Join(s.labels, ",")) + len(strings.Join(s.orLabels, ","))
	if length > maxSelectorText {
		r.Addf(arm.At(at, "labelSelectors"), "", "have %d characters together: at most %d are possible", length, maxSelectorText)
		return
	}
	each("labelSelectors", s.labels, maxSelectors, func(text string) error { return selection.Config{LabelSelectors: []string{text}}.Check() })
	each("orLabelSelectors", s.orLabels, maxSelectors, func(text string) error { return selection.Config{OrLabelSelectors: []string{text}}.Check() })
	names := make([]string, len(s.objects))
	byText := map[string]v1alpha1.ObjectName{}
	for i, o := range s.objects {
		names[i] = fmt.Sprintf("%q %q %q", o.Type, o.Namespace, o.Name)
		byText[names[i]] = o
	}
	each("includedObjects", names, maxObjects, bounded(maxObjectText, func(text string) error {
		return selected{objects: []v1alpha1.ObjectName{byText[text]}}.config().Check()
	}))
	if sound {
		r.Add(at, s.config().Check())
	}
}

// checkType refuses what is no spelling of a type.
func checkType(field, text string) error {
	return bounded(maxTypeText, func(text string) error { return selection.CheckSpelling(field, text) })(text)
}

// bounded refuses a text that is longer than such a text can be, before it is looked at.
func bounded(most int, check func(text string) error) func(text string) error {
	return func(text string) error {
		if len(text) > most {
			return coffer.Errorf(coffer.CodeInvalidInput, "has %d characters: at most %d are possible", len(text), most)
		}
		return check(text)
	}
}

// each checks the elements of a list, and answers whether all are sound.
func (r *reader) each(path, field string, texts []string, most int, check func(text string) error) bool {
	if !r.count(path, len(texts), most) {
		return false
	}
	sound := true
	for i, text := range texts {
		if err := check(text); err != nil {
			r.Add(arm.Item(path, i), without(field, err))
			sound = false
		}
	}
	return sound
}

func (r *reader) count(path string, n, most int) bool {
	if n > most {
		hint := ""
		if most == maxNamespaces && strings.HasSuffix(path, "Namespaces") {
			hint = "write patterns as in team-*, or leave includedNamespaces empty for all and name the ones to leave out"
		}
		r.Addf(path, hint, "has %d elements: at most %d are possible", n, most)
	}
	return n <= most
}

// without takes the name of a field off a message: the path says it already.
func without(field string, err error) error {
	var coded *coffer.Error
	if !errors.As(err, &coded) {
		return err
	}
	shorter := *coded
	shorter.Message = strings.TrimPrefix(coded.Message, field+": ")
	return &shorter
}

// references checks the names of hooks.
func (r *reader) references(path string, references []v1alpha1.NamespacedReference) []v1alpha1.NamespacedReference {
	if !r.count(path, len(references), maxReferences) {
		return nil
	}
	seen := map[v1alpha1.NamespacedReference]bool{}
	for i, ref := range references {
		r.reference(arm.Item(path, i), ref)
		if seen[ref] {
			r.Addf(arm.Item(path, i), "name each once", "is there a second time")
		}
		seen[ref] = true
	}
	return references
}

func (r *reader) reference(path string, ref v1alpha1.NamespacedReference) {
	const hint = "write the name and the namespace of the object, both"
	if problems := validation.IsDNS1123Subdomain(ref.Name); len(problems) > 0 {
		r.Addf(arm.At(path, "name"), hint, "is %s, which no object is called: %s", shown(ref.Name), problems[0])
	}
	if problems := validation.IsDNS1123Label(ref.Namespace); len(problems) > 0 {
		r.Addf(arm.At(path, "namespace"), hint, "is %s, which no namespace is called: %s", shown(ref.Namespace), problems[0])
	}
}
