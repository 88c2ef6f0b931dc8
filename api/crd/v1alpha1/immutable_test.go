package v1alpha1_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// The rules compare field by field: one that is added to a spec has to be added to them.
func TestEveryFieldOfASpecButCancelIsImmutable(t *testing.T) {
	for file, spec := range map[string]any{"backups": v1alpha1.BackupSpec{}, "restores": v1alpha1.RestoreSpec{}, "restoretests": v1alpha1.RestoreTestSpec{}} {
		definition, err := os.ReadFile("../../../deploy/charts/coffer-extension/crds/clusterbackup.dataprotection.microsoft.com_" + file + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		rules := strings.Join(strings.Fields(string(definition)), " ")
		for field := range reflect.TypeOf(spec).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if rule := "self." + name + " == oldSelf." + name; name != "cancel" && !strings.Contains(rules, rule) {
				t.Errorf("%s: spec.%s may be changed: the rule lacks %q", file, name, rule)
			}
		}
	}
}
