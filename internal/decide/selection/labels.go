package selection

import (
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	apiselection "k8s.io/apimachinery/pkg/selection"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// labelled is a condition on labels: all of every selector, and all of one of the alternatives, if there are any.
type labelled struct {
	every labels.Selector
	any   []labels.Selector
}

// colonTerm is k:v, as the examples of Terraform's provider have it. Neither keys nor values have colons themselves.
var colonTerm = regexp.MustCompile(`^\s*([^\s:=!<>(),]+)\s*:\s*([^\s:=!<>(),]*)\s*$`)

func parseLabels(every, alternatives []string) (labelled, error) {
	var l labelled
	var all labels.Requirements
	for _, text := range every {
		requirements, err := parseSelector("labelSelectors", text)
		if err != nil {
			return l, err
		}
		all = append(all, requirements...)
	}
	if key := contradiction(all); key != "" {
		return l, coffer.Errorf(coffer.CodeInvalid, "labelSelectors: no object can match what they say of label %q together", key).
			WithHint("all of them have to match; orLabelSelectors are alternatives")
	}
	l.every = labels.NewSelector().Add(all...)
	for _, text := range alternatives {
		requirements, err := parseSelector("orLabelSelectors", text)
		if err != nil {
			return l, err
		}
		if key := contradiction(requirements); key != "" {
			return l, coffer.Errorf(coffer.CodeInvalid, "orLabelSelectors: no object can match what %q says of label %q", text, key)
		}
		l.any = append(l.any, labels.NewSelector().Add(requirements...))
	}
	return l, nil
}

// parseSelector reads one selector: terms of Kubernetes' own syntax, or k:v, separated by commas or semicolons. All
// have to match.
func parseSelector(field, text string) (labels.Requirements, error) {
	refuse := func(problem string) error {
		return coffer.Errorf(coffer.CodeInvalid, "%s: %q is not a label selector: %s", field, text, problem).
			WithHint("write k=v, k!=v, k in (a,b), k notin (a,b), k or !k")
	}
	var all labels.Requirements
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			return nil, refuse("it, or a part of it, is empty")
		}
		if strings.Contains(part, ":") {
			terms := strings.Split(part, ",")
			for i, term := range terms {
				terms[i] = colonTerm.ReplaceAllString(term, "$1=$2")
			}
			part = strings.Join(terms, ",")
		}
		requirements, err := labels.ParseToRequirements(part)
		if err != nil {
			return nil, refuse(err.Error())
		}
		for _, r := range requirements {
			if o := r.Operator(); o == apiselection.GreaterThan || o == apiselection.LessThan {
				return nil, refuse("labels are not compared as numbers")
			}
		}
		if len(requirements) == 0 {
			return nil, refuse("it says nothing")
		}
		all = append(all, requirements...)
	}
	return all, nil
}

// contradiction is a key of which the requirements cannot all be met, or empty. Only what needs no thinking about is
// found: what is left of the values that a key may have.
func contradiction(all labels.Requirements) string {
	for _, r := range all {
		allowed, limited := []string(nil), false
		absent, present := false, false
		for _, other := range all {
			if other.Key() != r.Key() {
				continue
			}
			values := other.ValuesUnsorted()
			switch other.Operator() {
			case apiselection.In, apiselection.Equals, apiselection.DoubleEquals:
				present = true
				if !limited {
					allowed, limited = values, true
				} else {
					allowed = slices.DeleteFunc(slices.Clone(allowed), func(v string) bool { return !slices.Contains(values, v) })
				}
			case apiselection.Exists:
				present = true
			case apiselection.DoesNotExist:
				absent = true
			}
		}
		for _, other := range all {
			if o := other.Operator(); other.Key() == r.Key() && (o == apiselection.NotIn || o == apiselection.NotEquals) {
				allowed = slices.DeleteFunc(slices.Clone(allowed), func(v string) bool { return slices.Contains(other.ValuesUnsorted(), v) })
			}
		}
		if present && absent || limited && len(allowed) == 0 {
			return r.Key()
		}
	}
	return ""
}

// empty says that every object matches.
func (l labelled) empty() bool { return (l.every == nil || l.every.Empty()) && len(l.any) == 0 }

// mismatch is empty if the labels match, or the name of the field by which they do not.
func (l labelled) mismatch(set map[string]string) string {
	if l.every != nil && !l.every.Matches(labels.Set(set)) {
		return "labelSelectors"
	}
	if len(l.any) > 0 && !slices.ContainsFunc(l.any, func(s labels.Selector) bool { return s.Matches(labels.Set(set)) }) {
		return "orLabelSelectors"
	}
	return ""
}

// LabelSelectors are the conditions on labels as alternatives of Kubernetes' own kind; none if there are no conditions.
func (s *Selection) LabelSelectors() []metav1.LabelSelector {
	if s.labels.empty() {
		return nil
	}
	alternatives := s.labels.any
	if len(alternatives) == 0 {
		alternatives = []labels.Selector{labels.NewSelector()}
	}
	var all []metav1.LabelSelector
	for _, a := range alternatives {
		every, _ := s.labels.every.Requirements()
		own, _ := a.Requirements()
		var one metav1.LabelSelector
		for _, r := range slices.Concat(every, own) {
			one.MatchExpressions = append(one.MatchExpressions, expression(r))
		}
		all = append(all, one)
	}
	return all
}

func expression(r labels.Requirement) metav1.LabelSelectorRequirement {
	operator := metav1.LabelSelectorOpIn
	switch r.Operator() {
	case apiselection.NotIn, apiselection.NotEquals:
		operator = metav1.LabelSelectorOpNotIn
	case apiselection.Exists:
		operator = metav1.LabelSelectorOpExists
	case apiselection.DoesNotExist:
		operator = metav1.LabelSelectorOpDoesNotExist
	}
	return metav1.LabelSelectorRequirement{Key: r.Key(), Operator: operator, Values: slices.Sorted(slices.Values(r.ValuesUnsorted()))}
}
