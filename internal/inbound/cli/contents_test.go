package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func newPod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: name, Labels: map[string]string{"app.kubernetes.io/name": "coffer-extension"}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

func unready(pod *corev1.Pod) { pod.Status.Conditions[0].Status = corev1.ConditionFalse }

// extension is a cluster whose extension gives an answer.
type extension struct {
	pods []client.Object
	list error
	// dial, if set, is the error of every connection.
	dial   error
	answer func(w http.ResponseWriter, r *http.Request)

	// dialled are the pods that were connected to, and asked what they were asked for.
	dialled []string
	asked   string
}

// run runs the command line against it.
func (e *extension) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.asked = r.URL.RequestURI()
		e.answer(w, r)
	}))
	defer server.Close()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(e.pods...).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			if e.list != nil {
				return e.list
			}
			return c.List(ctx, list, o...)
		},
	}).Build()
	var out, errs bytes.Buffer
	code = Run(t.Context(), Config{
		Out: &out, Err: &errs,
		ClientFunc: func(Target) (client.Client, error) { return c, nil },
		DialFunc: func(ctx context.Context, at Target, pod string, port int) (net.Conn, error) {
			if e.dialled = append(e.dialled, at.Namespace+"/"+pod); port != content.Port {
				t.Errorf("port %d", port)
			}
			if e.dial != nil {
				return nil, e.dial
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
		},
	}, append([]string{"backup", "contents"}, args...))
	return out.String(), errs.String(), code
}

// answers gives lines.
func answers(lines ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", content.MediaType)
		_, _ = fmt.Fprintln(w, strings.Join(lines, "\n"))
	}
}

const (
	secretItem = `{"item":{"resource":"secrets","namespace":"shop","name":"login","size":1536,"object":{"apiVersion":"v1","kind":"Secret","metadata":{"name":"login"},"data":{"a":"***"}}}}`
	deployItem = `{"item":{"group":"apps","resource":"deployments","namespace":"shop","name":"web","size":7,"object":{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","generation":12345678901234567}}}}`
	foulItem   = `{"item":{"resource":"configmaps","name":"\u001b[2Jx","size":1}}`
	refusal    = `{"error":{"code":"RecoveryPointIntegrityCheckFailed","message":"it was altered","hint":"restore another"}}`
)

func TestContentsArePrinted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		lines  []string
		code   int
		stdout string
		stderr string
	}{
		{"a table", []string{"one"}, []string{secretItem, deployItem, `{"end":{"items":2}}`}, exitOK,
			"TYPE               NAMESPACE   NAME    SIZE\nsecrets            shop        login   1.5 KiB\ndeployments.apps   shop        web     7 B\n", ""},
		{"names that a terminal would obey", []string{"one"}, []string{foulItem, `{"end":{"items":1}}`}, exitOK,
			"TYPE         NAMESPACE   NAME         SIZE\nconfigmaps               \"\\x1b[2Jx\"   1 B\n", ""},
		{"YAML", []string{"one", "-o", "yaml"}, []string{secretItem, deployItem, `{"end":{"items":2}}`}, exitOK,
			"apiVersion: v1\ndata:\n  a: '***'\nkind: Secret\nmetadata:\n  name: login\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  generation: 12345678901234567\n  name: web\n", ""},
		{"JSON", []string{"one", "-o", "json"}, []string{deployItem, deployItem, `{"end":{"items":2}}`}, exitOK, "", ""},
		{"nothing", []string{"one", "--namespace", "none"}, []string{`{"end":{"items":0}}`}, exitOK, "", "Nothing in recovery point one matches.\n"},
		{"nothing, as JSON", []string{"one", "-o", "json"}, []string{`{"end":{"items":0}}`}, exitOK, "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"List\",\n  \"items\": []\n}\n", "Nothing in recovery point one matches.\n"},
		{"no such object", []string{"one", "--name", "x"}, []string{`{"end":{"items":0}}`}, exitFailed, "", "coffer: recovery point one has no such object named x\n"},
		{"refused", []string{"one"}, []string{refusal}, exitFailed, "", "coffer: contents of one: RecoveryPointIntegrityCheckFailed: it was altered; restore another\n"},
		{"refused in the middle", []string{"one", "-o", "yaml"}, []string{secretItem, refusal}, exitFailed,
			"apiVersion: v1\ndata:\n  a: '***'\nkind: Secret\nmetadata:\n  name: login\n--- # not complete: there is more in the recovery point\n",
			"coffer: contents of one: RecoveryPointIntegrityCheckFailed: it was altered; restore another\n"},
		{"cut", []string{"one"}, []string{deployItem}, exitFailed,
			"TYPE               NAMESPACE   NAME   SIZE\ndeployments.apps   shop        web    7 B\n", "coffer: contents of one: the answer was cut off after 1 items; try again\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &extension{pods: []client.Object{newPod("a")}, answer: answers(tt.lines...)}
			stdout, stderr, code := e.run(t, tt.args...)
			if code != tt.code || stderr != tt.stderr || tt.stdout != "" && stdout != tt.stdout {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
			if tt.name == "JSON" {
				var list corev1.List
				if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list.Items) != 2 || list.Kind != "List" || !strings.Contains(stdout, "12345678901234567") {
					t.Errorf("%v\n%s", err, stdout)
				}
			}
		})
	}
}

func TestACutListIsNoJSON(t *testing.T) {
	for _, lines := range [][]string{{deployItem}, {deployItem, refusal}, {deployItem, `{"end":{"items":2}}`}} {
		e := &extension{pods: []client.Object{newPod("a")}, answer: answers(lines...)}
		stdout, _, code := e.run(t, "one", "-o", "json")
		if code != exitFailed || json.Valid([]byte(stdout)) {
			t.Errorf("exit code %d\n%s", code, stdout)
		}
	}
}

func TestALongTableIsPrintedInPages(t *testing.T) {
	var lines []string
	for i := range 3*pageRows + 7 {
		lines = append(lines, fmt.Sprintf(`{"item":{"resource":"pods","namespace":"shop","name":"pod-%d","size":1}}`, i))
	}
	e := &extension{pods: []client.Object{newPod("a")}, answer: answers(append(lines, fmt.Sprintf(`{"end":{"items":%d}}`, len(lines)))...)}
	stdout, stderr, code := e.run(t, "one")
	if rows := strings.Count(stdout, "\n"); code != exitOK || rows != len(lines)+1 || strings.Count(stdout, "TYPE") != 1 {
		t.Errorf("exit code %d, %d lines, %s", code, rows, stderr)
	}
}

func TestWhatIsAskedForIsSent(t *testing.T) {
	for args, want := range map[string]string{
		"one": "/v1/storage-locations/default/backups/one/contents",
		"one --storage-location objects --namespace shop --kind apps/v1/Deployment --name web -o yaml --show-secrets": "/v1/storage-locations/objects/backups/one/contents?name=web&namespace=shop&objects=true&secrets=true&type=apps%2Fv1%2FDeployment",
		"one -o json": "/v1/storage-locations/default/backups/one/contents?objects=true",
	} {
		e := &extension{pods: []client.Object{newPod("a")}, answer: answers(`{"end":{"items":0}}`)}
		if _, stderr, _ := e.run(t, strings.Fields(args)...); e.asked != want {
			t.Errorf("coffer backup contents %s asks %s, want %s\n%s", args, e.asked, want, stderr)
		}
	}
}

func TestAnyReadyPodIsAsked(t *testing.T) {
	elsewhere := func(pod *corev1.Pod) { pod.Namespace = "backups" }
	for _, tt := range []struct {
		name string
		e    extension
		args []string
		want string
		says []string
	}{
		{"the one that is ready", extension{pods: []client.Object{newPod("a", unready), newPod("b"), newPod("c")}}, nil, "dataprotection-microsoft/b", nil},
		{"in its own namespace", extension{pods: []client.Object{newPod("a"), newPod("b", elsewhere)}}, []string{"--extension-namespace", "backups"}, "backups/b", nil},
		{"none", extension{}, nil, "", []string{"no Backup extension runs in namespace dataprotection-microsoft", "coffer extension install", "--extension-namespace"}},
		{"none in that namespace", extension{pods: []client.Object{newPod("a")}}, []string{"--extension-namespace", "x"}, "", []string{"no Backup extension runs in namespace x"}},
		{"one that is not ready", extension{pods: []client.Object{newPod("a", unready)}}, nil, "", []string{"no pod of the Backup extension is ready: a is running and not ready", "kubectl describe pod"}},
		{"one without its image", extension{pods: []client.Object{newPod("a", unready, func(pod *corev1.Pod) {
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}}}}
		})}}, nil, "", []string{"a waits: ImagePullBackOff: no such image"}},
		{"forbidden to list", extension{list: apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))}, nil, "",
			[]string{"you may not look into recovery points", "list pods", "pods/portforward in namespace dataprotection-microsoft", "every Secret"}},
		{"forbidden to forward", extension{pods: []client.Object{newPod("a")}, dial: coffer.Errorf(coffer.CodeForbidden, `pods "a" is forbidden: no`)}, nil, "",
			[]string{"you may not look into recovery points", "pods/portforward"}},
		{"an extension that serves nothing", extension{pods: []client.Object{newPod("a")}, dial: errors.New("dial tcp4 127.0.0.1:8082: connect: connection refused")}, nil, "",
			[]string{"in pod a serves no contents", "coffer extension install", "serveContents=false"}},
		{"an older extension", extension{pods: []client.Object{newPod("a")}, answer: http.NotFound}, nil, "", []string{"does not know this request (it answered 404 Not Found)", "upgrade"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.e.answer == nil {
				tt.e.answer = answers(`{"end":{"items":0}}`)
			}
			_, stderr, code := tt.e.run(t, append([]string{"one"}, tt.args...)...)
			if tt.want != "" && (code != exitOK || strings.Join(tt.e.dialled, " ") != tt.want) {
				t.Errorf("exit code %d, connected to %v, want %s\n%s", code, tt.e.dialled, tt.want, stderr)
			}
			for _, w := range tt.says {
				if code != exitFailed || !strings.Contains(stderr, w) {
					t.Errorf("exit code %d, want %q:\n%s", code, w, stderr)
				}
			}
		})
	}
}

func TestAFinishedBackupSaysHowToLookIntoIt(t *testing.T) {
	b := &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Name: "one", Namespace: v1alpha1.DefaultNamespace}}
	b.Spec.StorageLocation = "default"
	if got := contentsCommand(b); got != "" {
		t.Errorf("before it is made: %q", got)
	}
	b.Status.Phase, b.Status.ManifestDigest = v1alpha1.RunCompletedWithWarnings, "sha256:00"
	if got := contentsCommand(b); got != "coffer backup contents one" {
		t.Errorf("%q", got)
	}
	b.Spec.StorageLocation, b.Namespace = "objects", "backups"
	if got := contentsCommand(b); got != "coffer backup contents one --storage-location objects --extension-namespace backups" {
		t.Errorf("%q", got)
	}
}
