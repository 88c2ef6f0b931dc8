package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// Messages of pods and names in archives are what somebody likes: a terminal must not obey them.
func TestWhatATerminalWouldObeyIsShown(t *testing.T) {
	const hostile = "a\x1b]0;b\x07c\u009bd\u202ee\nf\tg ü"
	var out bytes.Buffer
	p := &program{Config: Config{Out: &out}}
	if err := p.describe([]field{{"Message", hostile}}); err != nil {
		t.Fatal(err)
	}
	if err := p.describeWarnings(v1alpha1.RunStatus{Warnings: []v1alpha1.Warning{{Code: "C", Resource: hostile, Message: hostile}}}); err != nil {
		t.Fatal(err)
	}
	if err := p.describeChecks([]v1alpha1.RestoreCheckStatus{{Name: hostile, Message: hostile}}); err != nil {
		t.Fatal(err)
	}
	if err := p.table([][]string{{hostile, "x"}}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\u009b\u202e") || strings.Count(out.String(), `a\x1b]0;b\ac\u009bd\u202ee`) != 6 || !strings.Contains(out.String(), "ü") {
		t.Errorf("%q", out.String())
	}
}
