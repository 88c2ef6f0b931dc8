//go:build e2e

package e2e

import (
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestNamesOfEveryLegalCharacterComeBack takes objects whose names are as long and as odd as the API server allows:
// those of RBAC may hold anything but "/" and "%".
func TestNamesOfEveryLegalCharacterComeBack(t *testing.T) {
	ns := strings.Repeat("n", 62) + "9"
	s := shopIn(t, ns)
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ns, Name: name} }
	objects := []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}}
	for _, name := range []string{
		"a:b", " ", "a b", `"quoted" 'and' \back`, "?query=1#part&more", "..a", "a..", "...", "*", "ünïcode-模型-🗄", "tab\tline\nend", "~", "a.json",
		strings.Repeat("x", 5_000), strings.Repeat("\t", 100_000),
	} {
		objects = append(objects, &rbacv1.Role{ObjectMeta: meta(name)})
	}
	// DNS subdomains, here of 253 characters; and keys, of which an empty value and bytes that are not UTF-8 are legal.
	long := strings.Repeat("a.", 126) + "z"
	objects = append(objects,
		&corev1.ConfigMap{ObjectMeta: meta(long), Data: map[string]string{"._-": "", strings.Repeat("k", 253): "value"}},
		&corev1.Secret{ObjectMeta: meta("0"), Data: map[string][]byte{"bytes": {0, 0xff, 0xfe, '"', '\n'}}})
	for _, o := range objects {
		if err := lab.client.Create(t.Context(), o); err != nil {
			t.Fatalf("%q: %v", o.GetName(), err)
		}
	}
	run := strings.Repeat("r", 199) + "9"
	mustCoffer(t, "backup", "create", run, "--included-namespaces", ns, "--wait")
	mustDestroy(t, s)
	mustCoffer(t, "restore", "create", run, "--backup-name", run, "--wait")
	for _, o := range objects {
		if err := lab.client.Get(t.Context(), keyOf(o), o); err != nil {
			t.Errorf("%q: %v", o.GetName(), err)
		}
	}
	secret, _ := objects[len(objects)-1].(*corev1.Secret)
	if !maps.EqualFunc(secret.Data, map[string][]byte{"bytes": {0, 0xff, 0xfe, '"', '\n'}}, func(a, b []byte) bool { return string(a) == string(b) }) {
		t.Errorf("the Secret holds %q", secret.Data)
	}
	mustCoffer(t, "backup", "delete", run, "--yes", "--wait")
}
