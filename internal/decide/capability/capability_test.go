package capability

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/volume"
)

func TestTheVersionOfKubernetesIsJudged(t *testing.T) {
	for serves, want := range map[string]v1alpha1.CheckResult{
		"v1.30.0": v1alpha1.CheckPassed, "v1.34.1-gke.7": v1alpha1.CheckPassed, "v2.0.0": v1alpha1.CheckPassed, "v1.30.0-rc.1": v1alpha1.CheckPassed,
		"v1.29.14": v1alpha1.CheckFailed, "v1.9.0+k3s1": v1alpha1.CheckFailed,
		"": v1alpha1.CheckWarning, "latest": v1alpha1.CheckWarning,
	} {
		if c := Supported(serves); c.Status != want || want != v1alpha1.CheckPassed && c.Remedy == "" {
			t.Errorf("%q: %+v, want %s", serves, c, want)
		}
	}
	chart, err := os.ReadFile("../../../deploy/charts/coffer-extension/Chart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := `kubeVersion: ">=` + OldestKubernetes + `-0"`; !strings.Contains(string(chart), want) {
		t.Errorf("the chart does not say %s", want)
	}
}

func TestAnErrorBecomesACheckWithItsRemedy(t *testing.T) {
	hinted := coffer.Errorf(coffer.CodeHookNotFound, "there is no hook").WithHint("make one")
	for _, tt := range []struct {
		err                   error
		code, message, remedy string
	}{
		{hinted, string(coffer.CodeHookNotFound), "there is no hook", "make one"},
		{fmt.Errorf("BackupHook a/b: %w", hinted), string(coffer.CodeHookNotFound), "BackupHook a/b: there is no hook", "make one"},
		{errors.New("connection reset"), string(coffer.CodeLocationNotReady), "connection reset", ""},
	} {
		c := Refused(Hook, "x", tt.err, coffer.CodeLocationNotReady)
		if c.Status != v1alpha1.CheckFailed || c.Code != tt.code || c.Message != tt.message || c.Remedy != tt.remedy {
			t.Errorf("%v: %+v", tt.err, c)
		}
	}
}

func TestAVerdictCountsAndTheWorstDecides(t *testing.T) {
	of := func(statuses ...v1alpha1.CheckResult) (checks []v1alpha1.Check) {
		for i, s := range statuses {
			checks = append(checks, v1alpha1.Check{Status: s, Code: fmt.Sprintf("%s-%d", s, i)})
		}
		return checks
	}
	for _, tt := range []struct {
		checks       []v1alpha1.Check
		phase        v1alpha1.RunPhase
		code, counts string
	}{
		{nil, v1alpha1.RunCompleted, "", "0 passed, 0 failed, 0 warnings, 0 skipped"},
		{of(v1alpha1.CheckPassed, v1alpha1.CheckSkipped), v1alpha1.RunCompleted, "", "1 passed, 0 failed, 0 warnings, 1 skipped"},
		{of(v1alpha1.CheckWarning, v1alpha1.CheckPassed), v1alpha1.RunCompletedWithWarnings, "", "1 passed, 0 failed, 1 warnings, 0 skipped"},
		{of(v1alpha1.CheckWarning, v1alpha1.CheckFailed, v1alpha1.CheckFailed), v1alpha1.RunFailed, "Failed-1", "0 passed, 2 failed, 1 warnings, 0 skipped"},
		{of(v1alpha1.CheckFailed, v1alpha1.CheckWarning), v1alpha1.RunFailed, "Failed-0", "0 passed, 1 failed, 1 warnings, 0 skipped"},
	} {
		if phase, code, counts := Verdict(tt.checks); phase != tt.phase || code != tt.code || counts != tt.counts {
			t.Errorf("%+v: %s, %s, %s", tt.checks, phase, code, counts)
		}
	}
}

func TestChecksFitIntoAnObject(t *testing.T) {
	var many []v1alpha1.Check
	for range 3 * v1alpha1.MaxChecks {
		many = append(many, v1alpha1.Check{Name: "a", Status: v1alpha1.CheckPassed, Message: strings.Repeat("é", maxText), Resource: "\xff"})
	}
	many = append(many, v1alpha1.Check{Name: "last", Status: v1alpha1.CheckFailed})
	got := Bounded(many)
	if len(got) != v1alpha1.MaxChecks || got[0].Name != "last" || len(got[1].Message) > maxText+3 || got[1].Resource != "?" {
		t.Errorf("%d checks, first %+v", len(got), got[0])
	}
	if last := got[len(got)-1]; last.Name != "More" || last.Status != v1alpha1.CheckPassed || last.Message != fmt.Sprintf("%d more checks are not shown", len(many)-len(got)+1) {
		t.Errorf("%+v", last)
	}
	if len(many[0].Message) != 2*maxText {
		t.Error("the argument was changed")
	}
	if phase, _, _ := Verdict(got); phase != v1alpha1.RunFailed {
		t.Error("the bounded checks have another verdict")
	}
	exactly := many[:v1alpha1.MaxChecks]
	if got := Bounded(exactly); len(got) != len(exactly) || got[len(got)-1].Name == "More" {
		t.Error("as many as fit are not shown")
	}
}

func captured(driver, class string) volume.Decision {
	return volume.Decision{Class: class, Volume: coffer.Volume{Namespace: "shop", Claim: "data-" + driver, Driver: driver, Result: coffer.VolumeCaptured}}
}

func TestSnapshotsAreJudgedByDriverAndClass(t *testing.T) {
	const azure = "disk.csi.azure.com"
	classes := []coffer.SnapshotClass{
		{Name: "bare", Driver: azure}, {Name: "full", Driver: azure, Parameters: map[string]string{"resourceGroup": "snapshots", "incremental": "false"}},
		{Name: "good", Driver: azure, Parameters: map[string]string{"resourceGroup": "snapshots", "incremental": "true"}}, {Name: "lab", Driver: "disk"},
	}
	missing := captured("disk", "")
	missing.Volume.Result, missing.Volume.Code, missing.Volume.Reason = coffer.VolumeSkipped, coffer.CodeSnapshotUnsupported, "there is no class"
	inTree := volume.Decision{Volume: coffer.Volume{Namespace: "shop", Claim: "old", Result: coffer.VolumeSkipped, Code: coffer.CodeSnapshotUnsupported, Reason: "not of a CSI driver"}}
	leftOut := inTree
	leftOut.LeftOut = true
	unavailable := coffer.Errorf(coffer.CodeSnapshotAPIUnavailable, "no API").WithHint("install it")
	for _, tt := range []struct {
		name      string
		decisions []volume.Decision
		err       error
		want      []string
	}{
		{"no volumes", nil, nil, []string{"SnapshotAPI Skipped"}},
		{"no volumes and no API", nil, unavailable, []string{"SnapshotAPI Skipped"}},
		{"one that is left out", []volume.Decision{leftOut}, unavailable, []string{"SnapshotAPI Skipped"}},
		{"a class", []volume.Decision{captured("disk", "lab")}, nil, []string{"SnapshotAPI Passed", "SnapshotClass Passed"}},
		{"no class", []volume.Decision{missing}, nil, []string{"SnapshotAPI Passed", "SnapshotClass Failed"}},
		{"no API", []volume.Decision{missing}, unavailable, []string{"SnapshotAPI Failed", "SnapshotClass Skipped"}},
		{"in-tree and no API", []volume.Decision{inTree}, unavailable, []string{"SnapshotAPI Skipped", "Volumes Warning"}},
		{"in-tree beside a class", []volume.Decision{inTree, captured("disk", "lab")}, nil, []string{"SnapshotAPI Passed", "SnapshotClass Passed", "Volumes Warning"}},
		{"Azure's without a resource group", []volume.Decision{captured(azure, "bare")}, nil, []string{"SnapshotAPI Passed", "SnapshotClass Passed", "SnapshotParameters Warning"}},
		{"Azure's with full copies", []volume.Decision{captured(azure, "full")}, nil, []string{"SnapshotAPI Passed", "SnapshotClass Passed", "SnapshotParameters Passed", "SnapshotParameters Warning"}},
		{"Azure's as it should be", []volume.Decision{captured(azure, "good")}, nil, []string{"SnapshotAPI Passed", "SnapshotClass Passed", "SnapshotParameters Passed", "SnapshotParameters Passed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, Snapshots(tt.decisions, classes, tt.err), tt.want)
		})
	}
}

// expect compares names and results of checks; what is wrong needs a remedy.
func expect(t *testing.T, checks []v1alpha1.Check, want []string) {
	t.Helper()
	var got []string
	for _, c := range checks {
		got = append(got, c.Name+" "+string(c.Status))
		if (c.Status == v1alpha1.CheckFailed || c.Status == v1alpha1.CheckWarning) && (c.Remedy == "" || c.Code == "" || c.Message == "") {
			t.Errorf("%s does not say what is wrong and what to do: %+v", c.Name, c)
		}
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestARestoreIsJudgedByDriversClassesAndVersions(t *testing.T) {
	claim := func(driver, class string) plan.Step {
		return plan.Step{Action: plan.RestoreVolume, Target: coffer.ObjectRef{Namespace: "shop", Name: "data"}, Volume: &coffer.Volume{Driver: driver, StorageClass: class}}
	}
	p := plan.Plan{Steps: []plan.Step{claim("disk", "fast"), {Action: plan.Create}}}
	expect(t, Restored(p, []string{"disk"}, nil), []string{"SnapshotAPI Passed", "CSIDriver Passed"})
	expect(t, Restored(p, []string{"other"}, nil), []string{"SnapshotAPI Passed", "CSIDriver Failed"})
	expect(t, Restored(p, nil, coffer.Errorf(coffer.CodeSnapshotAPIUnavailable, "no").WithHint("install it")), []string{"SnapshotAPI Failed", "CSIDriver Failed"})
	expect(t, Restored(plan.Plan{Steps: []plan.Step{{Action: plan.Create}}}, nil, nil), []string{"SnapshotAPI Skipped"})

	expect(t, Classes(p, nil, []string{"fast"}), []string{"StorageClass Passed"})
	expect(t, Classes(p, nil, []string{"slow"}), []string{"StorageClass Failed"})
	expect(t, Classes(p, map[string]string{"fast": "slow"}, []string{"slow"}), []string{"StorageClass Passed"})
	expect(t, Classes(p, map[string]string{"fast": "gone", "x": "slow"}, []string{"fast", "slow"}), []string{"StorageClass Failed", "StorageClass Passed"})

	expect(t, Served(p), []string{"APIVersions Passed"})
	widget := coffer.ObjectRef{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "widgets"}}
	expect(t, Served(plan.Plan{Steps: []plan.Step{
		{Action: plan.Skip, Warning: coffer.CodeTypeNotCaptured, Reason: "the cluster does not serve it", Target: widget},
		{Action: plan.Skip, Warning: coffer.CodeTypeNotCaptured, Reason: "the cluster does not serve it", Target: widget},
		{Action: plan.Create, Warning: coffer.CodeVersionNotServed, Reason: "at v2", Target: coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "gadgets"}}},
	}}), []string{"APIVersions Warning", "APIVersions Warning"})

	expect(t, Terminating([]string{"a"}, nil), []string{"Namespaces Passed"})
	expect(t, Terminating([]string{"a", "b"}, []string{"b"}), []string{"Namespaces Warning"})
}

func TestWhatMayNotBeDoneIsSaid(t *testing.T) {
	pods := []coffer.GroupResource{{Resource: "pods"}}
	expect(t, []v1alpha1.Check{Access("list", "", nil, true), Access("list", "shop", pods, false), Access("create", "", pods, true)},
		[]string{"Permissions Passed", "Permissions Warning", "Permissions Failed"})
	expect(t, []v1alpha1.Check{Velero(nil), Velero([]coffer.ResourceType{{GroupResource: coffer.GroupResource{Group: "velero.io", Resource: "backups"}}})},
		[]string{"OtherTools Passed", "OtherTools Warning"})
}
