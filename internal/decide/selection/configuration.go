package selection

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Config is everything that the configuration of a backup says about objects. The zero value takes the whole cluster.
type Config struct {
	Rules
	// IncludedTypes and ExcludedTypes are spellings of resource types. None included means all.
	IncludedTypes, ExcludedTypes []string
	// LabelSelectors have all to match; of OrLabelSelectors, one.
	LabelSelectors, OrLabelSelectors []string
	// Objects are all that is wanted, and what they need.
	Objects []ObjectName
	// Point is the recovery point that is selected from, for a restore; empty is the cluster.
	Point string
}

// source is what is selected from, for messages.
func (c Config) source() string {
	if c.Point != "" {
		return "recovery point " + c.Point
	}
	return "the cluster"
}

// action is what is done with what is selected, for messages.
func (c Config) action() string {
	if c.Point != "" {
		return "restore"
	}
	return "capture"
}

// Space is a namespace of the cluster.
type Space struct {
	Name   string
	Labels map[string]string
}

// Warning is something in a configuration that does not do what it was written for.
type Warning struct {
	// Subject is the field and the text in it.
	Subject string
	Message string
}

// Selection is a Config applied to one cluster. It is safe for concurrent use.
type Selection struct {
	rules  Rules
	labels labelled
	picks  *picks
	// spaces are the decisions on the namespaces that the cluster has.
	spaces map[string]Decision
	// included is nil if all types are; excluded has the spelling by which a type is.
	included map[coffer.GroupResource]bool
	excluded map[coffer.GroupResource]string
}

// Check refuses what can be refused without knowing the cluster.
func (c Config) Check() error {
	_, err := c.parse()
	return err
}

// parsed is a Config whose texts have been read.
type parsed struct {
	included, excluded []spelling
	labels             labelled
}

func (c Config) parse() (parsed, error) {
	var p parsed
	err := c.Rules.Check()
	if err != nil {
		return p, err
	}
	if p.included, err = parseSpellings("includedResourceTypes", c.IncludedTypes); err != nil {
		return p, err
	}
	if p.excluded, err = parseSpellings("excludedResourceTypes", c.ExcludedTypes); err != nil {
		return p, err
	}
	if err := contradictory(p.included, p.excluded); err != nil {
		return p, err
	}
	if p.labels, err = parseLabels(c.LabelSelectors, c.OrLabelSelectors); err != nil {
		return p, err
	}
	return p, c.checkObjects()
}

func parseSpellings(field string, texts []string) ([]spelling, error) {
	var all []spelling
	for _, text := range texts {
		s, err := parseSpelling(field, text)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func contradictory(included, excluded []spelling) error {
	for _, e := range excluded {
		if e.name == "*" && (e.anyGroup || e.group == "*") {
			return coffer.Errorf(coffer.CodeInvalid, "excludedResourceTypes holds %s, which leaves out every type", e.text).
				WithHint("name what is to be left out")
		}
		for _, i := range included {
			if i.name == e.name && i.group == e.group && i.anyGroup == e.anyGroup {
				return coffer.Errorf(coffer.CodeInvalid, "resource type %q is both in includedResourceTypes and in excludedResourceTypes", i.text).
					WithHint("remove it from one of the two")
			}
		}
	}
	return nil
}

func (c Config) checkObjects() error {
	if len(c.Objects) == 0 {
		return nil
	}
	for _, other := range []struct {
		field string
		texts []string
	}{
		{"includedNamespaces", c.Included},
		{"includedResourceTypes", c.IncludedTypes},
		{"labelSelectors", c.LabelSelectors},
		{"orLabelSelectors", c.OrLabelSelectors},
	} {
		if len(other.texts) > 0 {
			return coffer.Errorf(coffer.CodeInvalid, "includedObjects names all that is wanted, and cannot be combined with %s", other.field).
				WithHint("make two of them, or name namespaces, types and labels only")
		}
	}
	for _, name := range c.Objects {
		if _, err := name.check(); err != nil {
			return err
		}
		if by := matching(c.Excluded, name.Namespace); by != "" {
			return coffer.Errorf(coffer.CodeInvalid, "includedObjects: %s is in a namespace that %q of excludedNamespaces leaves out", name, by).
				WithHint("remove one of the two")
		}
	}
	return nil
}

// New applies a configuration to a cluster, or a recovery point, that has these types and namespaces. The warnings name
// what matches nothing there.
func New(c Config, types []coffer.ResourceType, spaces []Space) (*Selection, []Warning, error) {
	p, err := c.parse()
	if err != nil {
		return nil, nil, err
	}
	s := &Selection{rules: c.Rules, labels: p.labels, spaces: map[string]Decision{}}
	if s.picks, err = c.pick(types); err != nil {
		return nil, nil, err
	}
	for _, space := range spaces {
		d := s.name(space.Name)
		if d.Include {
			d = Excluded(space.Labels)
		}
		s.spaces[space.Name] = d
	}
	warnings := append(s.resolveTypes(c, p, types), c.namespaceWarnings(spaces)...)
	if err := s.checkPicks(); err != nil {
		return nil, nil, err
	}
	if err := s.checkTypes(c, types, warnings); err != nil {
		return nil, nil, err
	}
	return s, warnings, nil
}

// name decides on a namespace by its name only. A single object that was named names its namespace.
func (s *Selection) name(namespace string) Decision {
	if s.picks == nil {
		return s.rules.Namespace(namespace)
	}
	if slices.ContainsFunc(s.picks.all, func(p Pick) bool {
		return p.Ref.Namespace == namespace || p.Ref.GroupResource == namespaces && p.Ref.Name == namespace
	}) {
		return yes()
	}
	return unasked("no object of the namespace is among includedObjects")
}

func (s *Selection) resolveTypes(c Config, p parsed, types []coffer.ResourceType) []Warning {
	var warnings []Warning
	s.excluded = map[coffer.GroupResource]string{}
	for _, e := range p.excluded {
		found := e.resolve(types)
		if len(found) == 0 && e.never(found) == "" {
			warnings = append(warnings, e.unknown(c.source(), "excludedResourceTypes", types))
		}
		for _, t := range found {
			s.excluded[t.GroupResource] = e.text
		}
	}
	if len(p.included) == 0 {
		return warnings
	}
	s.included = map[coffer.GroupResource]bool{}
	for _, i := range p.included {
		found := i.resolve(types)
		switch reason := i.never(found); {
		case reason != "":
			warnings = append(warnings, Warning{"includedResourceTypes " + i.text, "the type is never captured: " + reason})
		case len(found) == 0:
			warnings = append(warnings, i.unknown(c.source(), "includedResourceTypes", types))
		}
		for _, t := range found {
			s.included[t.GroupResource] = true
		}
	}
	return warnings
}

// unknown is the warning for a spelling that stands for no type of the source.
func (s spelling) unknown(source, field string, types []coffer.ResourceType) Warning {
	message := source + " has no such resource type that can be captured"
	if source != (Config{}).source() {
		message = source + " has no object of such a type"
	}
	if near := s.nearest(types); len(near) > 0 {
		message += "; did you mean " + strings.Join(near, ", ") + "?"
	} else if source == (Config{}).source() {
		message += "; see `kubectl api-resources`"
	}
	return Warning{field + " " + s.text, message}
}

func (c Config) namespaceWarnings(spaces []Space) []Warning {
	var warnings []Warning
	r := c.Rules
	exists := func(pattern string, wanted func(string) bool) bool {
		return slices.ContainsFunc(spaces, func(s Space) bool { return matches(pattern, s.Name) && wanted(s.Name) })
	}
	whatever := func(string) bool { return true }
	for _, p := range r.Included {
		switch {
		case !isPattern(p):
			// The flow refuses a backup of namespaces that do not exist.
		case !exists(p, whatever):
			warnings = append(warnings, Warning{"includedNamespaces " + p, "no namespace of " + c.source() + " matches it" + c.moment()})
		case !exists(p, func(name string) bool { return r.Namespace(name).Include }):
			warnings = append(warnings, Warning{
				"includedNamespaces " + p, "all that it matches is excluded, or belongs to the system and is taken only if it is named",
			})
		}
	}
	for _, p := range r.Excluded {
		if !exists(p, whatever) {
			warnings = append(warnings, Warning{"excludedNamespaces " + p, c.source() + " has no such namespace" + c.moment()})
		}
	}
	return warnings
}

// moment says that a cluster may change; a recovery point does not.
func (c Config) moment() string {
	if c.Point != "" {
		return ""
	}
	return " at the moment"
}

// checkPicks refuses single objects that an exclusion leaves out.
func (s *Selection) checkPicks() error {
	if s.picks == nil {
		return nil
	}
	for _, p := range s.picks.all {
		if by, excluded := s.excluded[p.Ref.GroupResource]; excluded {
			return coffer.Errorf(coffer.CodeInvalid, "includedObjects: %s is of a type that %q of excludedResourceTypes leaves out", p.Ref, by).
				WithHint("remove one of the two")
		}
	}
	return nil
}

// checkTypes refuses a selection by which no type at all is left.
func (s *Selection) checkTypes(c Config, types []coffer.ResourceType, warnings []Warning) error {
	if c.Point != "" && len(c.IncludedTypes)+len(c.ExcludedTypes) == 0 {
		// It is not the types then of which a recovery point has nothing.
		return nil
	}
	for _, t := range types {
		if d := s.Type(t); d.Include && (s.picks != nil || s.chosen(t.GroupResource)) {
			return nil
		}
	}
	err := coffer.Errorf(coffer.CodeNothingToDo, "includedResourceTypes and excludedResourceTypes leave no resource type to %s", c.action())
	if len(warnings) > 0 {
		return err.WithHint("%s", warnings[0])
	}
	return err
}

// Picks are the single objects that were named.
func (s *Selection) Picks() []Pick {
	if s.picks == nil {
		return nil
	}
	return slices.Clone(s.picks.all)
}

// Whole says whether nothing is left out that a backup of the whole cluster has.
func (s *Selection) Whole() bool {
	return s.rules.Whole() && s.picks == nil && s.included == nil && len(s.excluded) == 0 && s.labels.empty()
}

// Namespace decides on a namespace, also by its labels, if the cluster had it.
func (s *Selection) Namespace(name string) Decision {
	if d, known := s.spaces[name]; known {
		return d
	}
	return s.name(name)
}

// Namespaces are the namespaces of the cluster that hold objects of a type to look at, sorted. A namespace that comes
// later is selected as well, if bounded is false.
func (s *Selection) Namespaces(t coffer.GroupResource) (names []string, bounded bool) {
	var picked map[string]bool
	if s.picks != nil {
		picked = s.picks.namespaces(t)
	}
	for name, d := range s.spaces {
		if d.Include && (picked == nil || picked[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, s.picks != nil || !s.rules.All()
}

// Included and Excluded are the types that the filters came to, sorted, for those who write them down. Nil means that
// no filter was given.
func (s *Selection) Included() []string { return sortedTypes(s.included) }

// Excluded are the types that are left out; see Included.
func (s *Selection) Excluded() []string { return sortedTypes(s.excluded) }

func sortedTypes[V any](types map[coffer.GroupResource]V) []string {
	var names []string
	for t := range types {
		names = append(names, t.String())
	}
	slices.Sort(names)
	return names
}

// String is the warning in one line.
func (w Warning) String() string { return fmt.Sprintf("%s: %s", w.Subject, w.Message) }
