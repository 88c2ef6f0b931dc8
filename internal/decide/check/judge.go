package check

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	corev1 "k8s.io/api/core/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Choose is the pod in which a check is made: the first by name that matches and is ready. If there is none, it answers why.
func Choose(p v1alpha1.CheckedPod, all []corev1.Pod) (pod corev1.Pod, container, problem string) {
	selector, err := labels.Parse(p.PodSelector)
	if err != nil {
		return pod, "", err.Error()
	}
	matching := 0
	sorted := slices.SortedFunc(slices.Values(all), func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	for _, candidate := range sorted {
		if p.Pod != "" && candidate.Name != p.Pod || p.Pod == "" && !selector.Matches(labels.Set(candidate.Labels)) {
			continue
		}
		matching++
		if candidate.DeletionTimestamp == nil && isReady(candidate) {
			return inContainer(p, candidate)
		}
	}
	what := "pod " + p.Pod
	if p.Pod == "" {
		what = "pod with labels " + p.PodSelector
	}
	if matching == 0 {
		return pod, "", "there is no " + what
	}
	return pod, "", fmt.Sprintf("no %s is ready, of %d", what, matching)
}

func inContainer(p v1alpha1.CheckedPod, pod corev1.Pod) (_ corev1.Pod, container, problem string) {
	for _, c := range pod.Spec.Containers {
		if p.Container == "" || c.Name == p.Container {
			return pod, c.Name, ""
		}
	}
	return pod, "", fmt.Sprintf("pod %s has no container %q", pod.Name, p.Container)
}

func isReady(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// Ran says why a check does not hold by what its command did; empty if it holds.
func Ran(c v1alpha1.RestoreCheck, r coffer.ExecResult, limit time.Duration) string {
	want, pattern := 0, ""
	if c.Exec != nil {
		want, pattern = c.Exec.ExpectedExitCode, c.Exec.OutputMatches
	}
	switch {
	case r.TimedOut:
		return fmt.Sprintf("the command was not done after %s%s", limit.Round(time.Millisecond), saying(r.Output))
	case r.ExitCode != want:
		return fmt.Sprintf("it ended with exit code %d, and %d was expected%s", r.ExitCode, want, saying(r.Output))
	case c.SQL != nil:
		if got, expected := rows(*c.SQL, r.Output), strings.TrimSpace(c.SQL.Expected); got != expected {
			return fmt.Sprintf("the answer is not what was expected%s", saying(got))
		}
	case pattern != "" && !matches(pattern, r.Output):
		return fmt.Sprintf("the output does not match %s%s", pattern, saying(r.Output))
	}
	return ""
}

// rows are what a program prints of a query's answer, without what it has to remark.
func rows(s v1alpha1.SQLCheck, output string) string {
	lines := strings.Split(strings.ReplaceAll(output, "\r\n", "\n"), "\n")
	if s.Program == mysql {
		lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "mysql: [Warning]") })
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// statusOK is the status of an answer that is expected if no other is.
const statusOK = 200

// Answered says why a check does not hold by what was answered to its request; empty if it holds.
func Answered(h v1alpha1.HTTPCheck, status int, body string) string {
	want := cmp.Or(h.ExpectedStatus, statusOK)
	switch {
	case status != want:
		return fmt.Sprintf("it answered status %d, and %d was expected%s", status, want, saying(body))
	case h.BodyMatches != "" && !matches(h.BodyMatches, body):
		return fmt.Sprintf("the answer does not match %s%s", h.BodyMatches, saying(body))
	}
	return ""
}

// matches is false for a pattern that is none: those were refused before.
func matches(pattern, text string) bool {
	found, err := regexp.MatchString(pattern, text)
	return err == nil && found
}

// saying is what was answered, for a message.
func saying(output string) string {
	if output = strings.TrimSpace(output); output == "" {
		return ": it said nothing"
	}
	return ": " + output
}

// leastSecret is how long a value is at least that is masked, and leastLine how long one line of several: shorter ones are in every
// text.
const leastSecret, leastLine = 4, 8

// Masker answers a function that masks the values of Secrets in a text, and keeps at most so many bytes of it.
func Masker(secrets []string) func(text string, most int) string {
	secrets = partsOf(secrets)
	// The longest first: one may be a part of another.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, s := range slices.Compact(secrets) {
		pairs = append(pairs, s, "***")
	}
	mask := strings.NewReplacer(pairs...)
	return func(text string, most int) string {
		text = strings.Map(printable, strings.ToValidUTF8(mask.Replace(text), "?"))
		if len(text) > most {
			text = strings.ToValidUTF8(text[:most], "") + "…"
		}
		return text
	}
}

// partsOf are what to look for: values without the blanks around them, for a file ends with a newline and what is printed of it does
// not, and the lines of those that have several, for programs print files line by line.
func partsOf(secrets []string) []string {
	var parts []string
	for _, s := range secrets {
		if s = strings.TrimSpace(s); len(s) < leastSecret {
			continue
		}
		parts = append(parts, s)
		if !strings.Contains(s, "\n") {
			continue
		}
		for line := range strings.Lines(s) {
			if line = strings.TrimSpace(line); len(line) >= leastLine {
				parts = append(parts, line)
			}
		}
	}
	return parts
}

// printable drops what would write over other lines of a terminal.
func printable(r rune) rune {
	if r < ' ' && r != '\n' && r != '\t' || r == '\x7f' {
		return -1
	}
	return r
}
