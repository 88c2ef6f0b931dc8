// Package check decides how a check of a restore test is made, and whether it holds.
package check

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	defaultTimeout = time.Minute
	maxChecks      = 50
	// The programs of SQL checks.
	psql  = "psql"
	mysql = "mysql"
)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Valid refuses checks that cannot be made, whatever was restored.
func Valid(all []v1alpha1.RestoreCheck) error {
	if len(all) > maxChecks {
		return coffer.Errorf(coffer.CodeInvalid, "there are %d checks, and there can be %d", len(all), maxChecks)
	}
	names := map[string]bool{}
	for i, c := range all {
		what := fmt.Sprintf("checks[%d]", i)
		if c.Name == "" {
			return coffer.Errorf(coffer.CodeInvalid, "%s has no name", what)
		}
		what = fmt.Sprintf("check %q", c.Name)
		if names[c.Name] {
			return coffer.Errorf(coffer.CodeInvalid, "there is more than one %s", what)
		}
		names[c.Name] = true
		if problem := problemOf(c); problem != "" {
			return coffer.Errorf(coffer.CodeInvalid, "%s: %s", what, problem)
		}
	}
	return nil
}

func problemOf(c v1alpha1.RestoreCheck) string {
	kinds := 0
	for _, has := range []bool{c.Exec != nil, c.HTTP != nil, c.SQL != nil} {
		if has {
			kinds++
		}
	}
	switch {
	case c.Namespace == "":
		return "it has no namespace: name the one in the recovery point"
	case c.Timeout != nil && c.Timeout.Duration <= 0:
		return fmt.Sprintf("timeout %s: give more than 0s", c.Timeout.Duration)
	case kinds != 1:
		return fmt.Sprintf("it has %d of exec, http and sql: give exactly one", kinds)
	case c.Exec != nil:
		return execProblem(*c.Exec)
	case c.HTTP != nil:
		return httpProblem(*c.HTTP)
	default:
		return sqlProblem(*c.SQL)
	}
}

func podProblem(p v1alpha1.CheckedPod) string {
	if (p.Pod == "") == (p.PodSelector == "") {
		return "name a pod, or give a podSelector"
	}
	if _, err := labels.Parse(p.PodSelector); err != nil {
		return fmt.Sprintf("podSelector %q: %v", p.PodSelector, err)
	}
	return ""
}

func patternProblem(field, pattern string) string {
	if _, err := regexp.Compile(pattern); err != nil {
		return fmt.Sprintf("%s: %v", field, err)
	}
	return ""
}

func execProblem(e v1alpha1.ExecCheck) string {
	if problem := podProblem(e.CheckedPod); problem != "" {
		return problem
	}
	if len(e.Command) == 0 || e.Command[0] == "" {
		return "exec.command is empty"
	}
	return patternProblem("exec.outputMatches", e.OutputMatches)
}

func httpProblem(h v1alpha1.HTTPCheck) string {
	switch {
	case (h.Service == "") == (h.Pod == ""):
		return "http: name a service, or a pod"
	case h.Service != "" && len(validation.IsDNS1123Label(h.Service)) > 0:
		return fmt.Sprintf("http.service %q cannot be the name of a Service", h.Service)
	case h.Pod != "" && len(validation.IsDNS1123Subdomain(h.Pod)) > 0:
		return fmt.Sprintf("http.pod %q cannot be the name of a pod", h.Pod)
	case len(validation.IsDNS1123Label(h.Port)) > 0:
		return fmt.Sprintf("http.port %q is neither a number nor the name of a port", h.Port)
	case h.Scheme != "" && h.Scheme != "http" && h.Scheme != "https":
		return fmt.Sprintf("http.scheme %q: write http or https", h.Scheme)
	case h.Path != "" && !strings.HasPrefix(h.Path, "/"):
		return fmt.Sprintf("http.path %q: begin with a slash", h.Path)
	case climbs(h.Path):
		return fmt.Sprintf("http.path %q: it must not leave the Service", h.Path)
	}
	return patternProblem("http.bodyMatches", h.BodyMatches)
}

// climbs says whether a path leads to what is not below its beginning: the API server would be asked for that instead, with
// all rights of the extension.
func climbs(text string) bool {
	path, err := url.Parse(text)
	if err != nil || path.Host != "" || path.Scheme != "" {
		return text != ""
	}
	return strings.ContainsAny(path.Path, "\\\x00") || slices.ContainsFunc(strings.Split(path.Path, "/"), func(part string) bool {
		return part == ".." || part == "."
	})
}

func sqlProblem(s v1alpha1.SQLCheck) string {
	if problem := podProblem(s.CheckedPod); problem != "" {
		return problem
	}
	switch {
	case s.Program != "" && s.Program != psql && s.Program != mysql:
		return fmt.Sprintf("sql.program %q: write psql or mysql", s.Program)
	case strings.TrimSpace(s.Query) == "":
		return "sql.query is empty"
	case s.PasswordVariable != "" && !variable.MatchString(s.PasswordVariable):
		return fmt.Sprintf("sql.passwordVariable %q is not the name of a variable", s.PasswordVariable)
	}
	return ""
}

// Timeout is how long a check is tried.
func Timeout(c v1alpha1.RestoreCheck) time.Duration {
	if c.Timeout == nil {
		return defaultTimeout
	}
	return c.Timeout.Duration
}

// Pod is the one in which a check is made; nil if it is not made in one.
func Pod(c v1alpha1.RestoreCheck) *v1alpha1.CheckedPod {
	switch {
	case c.Exec != nil:
		return &c.Exec.CheckedPod
	case c.SQL != nil:
		return &c.SQL.CheckedPod
	}
	return nil
}

// Command is what is run in the container for a check that is made in one.
func Command(c v1alpha1.RestoreCheck) []string {
	if c.Exec != nil {
		return c.Exec.Command
	}
	s := *c.SQL
	command, into := psqlCommand(s), "PGPASSWORD"
	if s.Program == mysql {
		command, into = mysqlCommand(s), "MYSQL_PWD"
	}
	if s.PasswordVariable == "" {
		return command
	}
	// The shell knows the variables of the container; what is run is passed beside the script, not in it.
	script := fmt.Sprintf(`export %s="$%s"; exec "$@"`, into, s.PasswordVariable)
	return append([]string{"sh", "-c", script, "sh"}, command...)
}

func psqlCommand(s v1alpha1.SQLCheck) []string {
	command := []string{psql, "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"}
	if s.User != "" {
		command = append(command, "--username="+s.User)
	}
	if s.Database != "" {
		command = append(command, "--dbname="+s.Database)
	}
	return append(command, "--command="+s.Query)
}

func mysqlCommand(s v1alpha1.SQLCheck) []string {
	command := []string{mysql, "--batch", "--skip-column-names"}
	if s.User != "" {
		command = append(command, "--user="+s.User)
	}
	if s.Database != "" {
		command = append(command, "--database="+s.Database)
	}
	return append(command, "--execute="+s.Query)
}
