package cli

import (
	"fmt"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// fill gives every field of a spec a value that is not its zero value.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("v%d", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n) * 1e9)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(value, n)
			v.SetMapIndex(reflect.ValueOf(fmt.Sprintf("k%d", *n)), value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic(v.Kind())
	}
}

// parsed is the spec that a command line asks for.
func parsed(t *testing.T, args []string) v1alpha1.RestoreSpec {
	t.Helper()
	var spec v1alpha1.RestoreSpec
	p := &program{}
	cmd := p.newRestoreCreate()
	var f restoreFlags
	probe := &cobra.Command{Use: "x", RunE: func(cmd *cobra.Command, _ []string) (err error) {
		spec, err = f.spec(cmd)
		return err
	}}
	f.define(probe)
	probe.Flags().StringVar(&f.given.PlanDigest, "plan-digest", "", "")
	for _, a := range args {
		name, _, _ := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		if cmd.Flags().Lookup(name) == nil {
			t.Errorf("restore create has no flag %s", name)
		}
	}
	probe.SetArgs(args)
	if err := probe.Execute(); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return spec
}

// Whoever carries out what was shown has to ask for the same: a field that is not repeated here would be left out of it.
func TestACommandRepeatsEveryFieldOfARestore(t *testing.T) {
	var full v1alpha1.RestoreSpec
	n := 0
	fill(reflect.ValueOf(&full).Elem(), &n)
	full.PlanOnly, full.Cancel = false, false
	full.IncludedObjects[1].Namespace = ""
	full.LabelSelectors[0] = "a in (b, 'c'),!d"
	full.Priorities[1] = "-"
	full.ExcludedNamespaces[0] = `with,comma and "quotes"`
	none := false
	for name, spec := range map[string]v1alpha1.RestoreSpec{
		"everything": full,
		"nothing": {
			BackupName: "one", StorageLocation: "default", PersistentVolumeRestoreMode: v1alpha1.RestoreWithVolumeData,
			ConflictPolicy: v1alpha1.ConflictSkip, IncludeClusterScopeResources: &none,
		},
	} {
		args := restoreArgs(spec)
		if diff := cmp.Diff(spec, parsed(t, args)); diff != "" {
			t.Errorf("%s: %q\n-spec +asked for:\n%s", name, args, diff)
		}
		// A shell reads the same words.
		out, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\n' `+shellText(args)).Output()
		if want := strings.Join(args, "\n") + "\n"; err != nil || string(out) != want {
			t.Errorf("%s: %v, the shell reads\n%s\nwant\n%s", name, err, out, want)
		}
	}
	all := v1alpha1.RestoreSpec{BackupName: "one", RestoreStatus: &v1alpha1.StatusSelection{}}
	if got := shellText(restoreArgs(all)); got != `--backup-name=one '--restore-status-included-types=*'` {
		t.Errorf("%s", got)
	}
}
