package check

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func mustCheck(t *testing.T, text string) v1alpha1.RestoreCheck {
	t.Helper()
	var c v1alpha1.RestoreCheck
	if err := yaml.UnmarshalStrict([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChecksThatCannotBeMadeAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a command", `{name: a, namespace: n, exec: {pod: p, command: [x]}}`, ""},
		{"a request", `{name: a, namespace: n, http: {service: s, port: "80", path: "/a?b=../c"}}`, ""},
		{"a request to a pod", `{name: a, namespace: n, http: {pod: p.q, port: http, scheme: https}}`, ""},
		{"a query", `{name: a, namespace: n, sql: {podSelector: "app in (a,b),!c", query: select 1, expected: "1"}}`, ""},
		{"no name", `{namespace: n, exec: {pod: p, command: [x]}}`, "checks[0] has no name"},
		{"no namespace", `{name: a, exec: {pod: p, command: [x]}}`, "it has no namespace"},
		{"nothing", `{name: a, namespace: n}`, "0 of exec, http and sql"},
		{"two things", `{name: a, namespace: n, exec: {pod: p, command: [x]}, http: {service: s, port: "80"}}`, "2 of exec, http and sql"},
		{"no pod", `{name: a, namespace: n, exec: {command: [x]}}`, "name a pod, or give a podSelector"},
		{"two pods", `{name: a, namespace: n, exec: {pod: p, podSelector: a=b, command: [x]}}`, "name a pod, or give a podSelector"},
		{"a selector that is none", `{name: a, namespace: n, exec: {podSelector: "a==b=", command: [x]}}`, "podSelector"},
		{"no command", `{name: a, namespace: n, exec: {pod: p, command: []}}`, "exec.command is empty"},
		{"a pattern that is none", `{name: a, namespace: n, exec: {pod: p, command: [x], outputMatches: "("}}`, "exec.outputMatches"},
		{"no port", `{name: a, namespace: n, http: {service: s, port: ""}}`, "http.port"},
		{"a port that leads elsewhere", `{name: a, namespace: n, http: {service: s, port: "80/../../../secrets"}}`, "http.port"},
		{"a Service that leads elsewhere", `{name: a, namespace: n, http: {service: "../pods", port: "80"}}`, "http.service"},
		{"a path that leads elsewhere", `{name: a, namespace: n, http: {service: s, port: "80", path: "/../../../secrets"}}`, "must not leave"},
		{"a path that leads elsewhere in disguise", `{name: a, namespace: n, http: {service: s, port: "80", path: "/%2e%2e/%2E./secrets"}}`, "must not leave"},
		{"a path with another host", `{name: a, namespace: n, http: {service: s, port: "80", path: "//evil/x"}}`, "must not leave"},
		{"a path without a slash", `{name: a, namespace: n, http: {service: s, port: "80", path: "x"}}`, "begin with a slash"},
		{"another scheme", `{name: a, namespace: n, http: {service: s, port: "80", scheme: ftp}}`, "write http or https"},
		{"another database", `{name: a, namespace: n, sql: {pod: p, program: sqlite, query: x, expected: ""}}`, "write psql or mysql"},
		{"a variable that is a script", `{name: a, namespace: n, sql: {pod: p, passwordVariable: "x;rm", query: x, expected: ""}}`, "is not the name of a variable"},
		{"no query", `{name: a, namespace: n, sql: {pod: p, query: " ", expected: ""}}`, "sql.query is empty"},
		{"no time", `{name: a, namespace: n, timeout: 0s, exec: {pod: p, command: [x]}}`, "more than 0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Valid([]v1alpha1.RestoreCheck{mustCheck(t, tt.text)})
			switch {
			case tt.want == "" && err != nil, tt.want != "" && err == nil:
				t.Errorf("Valid = %v", err)
			case err != nil && (coffer.CodeOf(err) != coffer.CodeInvalid || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("Valid = %v, want %q", err, tt.want)
			}
		})
	}
	same := mustCheck(t, `{name: a, namespace: n, exec: {pod: p, command: [x]}}`)
	if err := Valid([]v1alpha1.RestoreCheck{same, same}); err == nil || !strings.Contains(err.Error(), `more than one check "a"`) {
		t.Error(err)
	}
}

func TestQueriesAreRunByTheirPrograms(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"a command", `{exec: {command: [a, "b c"]}}`, []string{"a", "b c"}},
		{"PostgreSQL", `{sql: {database: shop, user: me, query: "select 'a'"}}`, []string{
			"psql", "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", "--username=me", "--dbname=shop", "--command=select 'a'",
		}},
		{"MySQL with a password", `{sql: {program: mysql, user: root, passwordVariable: MYSQL_ROOT_PASSWORD, query: select 1}}`, []string{
			"sh", "-c", `export MYSQL_PWD="$MYSQL_ROOT_PASSWORD"; exec "$@"`, "sh", "mysql", "--batch", "--skip-column-names", "--user=root", "--execute=select 1",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Command(mustCheck(t, tt.text))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWhetherACheckHolds(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		result     coffer.ExecResult
		want       string
	}{
		{"it ended well", `{exec: {command: [x]}}`, coffer.ExecResult{Output: "noise"}, ""},
		{"it ended badly", `{exec: {command: [x]}}`, coffer.ExecResult{ExitCode: 2, Output: "no\n"}, "exit code 2, and 0 was expected: no"},
		{"it ended badly, as it should", `{exec: {command: [x], expectedExitCode: 2}}`, coffer.ExecResult{ExitCode: 2}, ""},
		{"it ended well, and should not", `{exec: {command: [x], expectedExitCode: 2}}`, coffer.ExecResult{}, "exit code 0, and 2 was expected: it said nothing"},
		{"it did not end", `{exec: {command: [x]}}`, coffer.ExecResult{TimedOut: true}, "not done after 1s"},
		{"it says so", `{exec: {command: [x], outputMatches: "^ok \\d+"}}`, coffer.ExecResult{Output: "ok 3"}, ""},
		{"it says something else", `{exec: {command: [x], outputMatches: "^ok \\d+"}}`, coffer.ExecResult{Output: "not ok 3"}, "does not match ^ok \\d+: not ok 3"},
		{"rows", `{sql: {query: x, expected: "1|a\n2|b"}}`, coffer.ExecResult{Output: "1|a\r\n2|b\n\n"}, ""},
		{"other rows", `{sql: {query: x, expected: "10"}}`, coffer.ExecResult{Output: "1\n"}, "not what was expected: 1"},
		{"a remark", `{sql: {program: mysql, query: x, expected: "10"}}`, coffer.ExecResult{Output: "mysql: [Warning] x\n10\n"}, ""},
		{"an error", `{sql: {query: x, expected: ""}}`, coffer.ExecResult{ExitCode: 1, Output: "no such table"}, "exit code 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Ran(mustCheck(t, tt.text), tt.result, time.Second)
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("Ran = %q, want %q", got, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		name   string
		h      v1alpha1.HTTPCheck
		status int
		body   string
		want   string
	}{
		{"it is there", v1alpha1.HTTPCheck{}, 200, "", ""},
		{"nobody is there", v1alpha1.HTTPCheck{}, 503, "no endpoints", "status 503, and 200 was expected: no endpoints"},
		{"it redirects, as it should", v1alpha1.HTTPCheck{ExpectedStatus: 302}, 302, "", ""},
		{"it says something else", v1alpha1.HTTPCheck{BodyMatches: "open"}, 200, "closed", "does not match open: closed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Answered(tt.h, tt.status, tt.body)
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("Answered = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTheFirstReadyPodIsAsked(t *testing.T) {
	pod := func(name, app string, ready bool) corev1.Pod {
		p := corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": app}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}, {Name: "side"}}},
		}
		if ready {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
		return p
	}
	all := []corev1.Pod{pod("c", "db", true), pod("a", "db", false), pod("b", "db", true), pod("d", "web", false)}
	for _, tt := range []struct {
		name                  string
		in                    v1alpha1.CheckedPod
		pod, container, wants string
	}{
		{"by labels", v1alpha1.CheckedPod{PodSelector: "app=db"}, "b", "main", ""},
		{"by name", v1alpha1.CheckedPod{Pod: "c", Container: "side"}, "c", "side", ""},
		{"one that is not ready", v1alpha1.CheckedPod{PodSelector: "app=web"}, "", "", "no pod with labels app=web is ready, of 1"},
		{"one that is not there", v1alpha1.CheckedPod{Pod: "x"}, "", "", "there is no pod x"},
		{"a container that is not there", v1alpha1.CheckedPod{Pod: "c", Container: "x"}, "c", "", `no container "x"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, container, problem := Choose(tt.in, all)
			if got.Name != tt.pod || container != tt.container || !strings.Contains(problem, tt.wants) || (problem == "") != (tt.wants == "") {
				t.Errorf("Choose = %q, %q, %q", got.Name, container, problem)
			}
		})
	}
}

func TestMessagesHoldNoSecrets(t *testing.T) {
	got := Masker([]string{"hunter2", "hunter22", "me", ""})("user me with hunter2 and hunter22, \x1b[31mno\x00", 100)
	if got != "user me with *** and ***, [31mno" {
		t.Errorf("masked: %q", got)
	}
	if got := Masker(nil)(strings.Repeat("ä", 100), 9); got != "ääää…" {
		t.Errorf("masked: %q", got)
	}
}

// Who writes a Secret with an editor or with echo ends it with a newline, which no program prints.
func TestValuesAreMaskedWithoutTheBlanksAroundThem(t *testing.T) {
	mask := Masker([]string{"hunter22\n", "  user=a\npassword=hunter33\r\n", "\n\n\n\n"})
	if got := mask("tried hunter22, then\npassword=hunter33 and a\n\n\n\nb", 100); got != "tried ***, then\n*** and a\n\n\n\nb" {
		t.Errorf("%q", got)
	}
}
