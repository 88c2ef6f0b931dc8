package main

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

const (
	planStep   = `{"step":{"resource":"configmaps","namespace":"shop","name":"settings","action":"patch","order":1,"uid":"u"}}`
	existing   = `{"step":{"resource":"services","namespace":"shop","name":"web","action":"skip","order":1,"uid":"u","reason":"it exists"}}`
	conflict   = `{"step":{"resource":"secrets","namespace":"shop","name":"login","action":"fail","order":1,"uid":"u","reason":"it exists"}}`
	planHead   = `{"head":{"digest":"sha256:00","backup":"run-1","manifestDigest":"sha256:11","notSelected":[{"what":"pods","reason":"x","objects":5}]}}`
	planned    = `"endTime":"2026-11-21T08:01:00Z","extendedInfo":{"warningDetails":[{"resourceName":"pods","warning":{"code":"C","message":"look"}}]}`
	diffOfStep = `{"step":0,"resource":"configmaps","namespace":"shop","name":"settings","action":"patch","changes":"--- a\n+++ b\n@@ -1 +1 @@\n-a: 1\n+a: 2\n"}`
)

// restoreAnswers are those of a restore of instance shop, whose plan is made by job j1.
func restoreAnswers(plan string) map[string][]string {
	return map[string][]string{
		"GET " + instancePath:                     {instanceAnswer},
		"GET " + instancePath + "/recoveryPoints": {`{"value":[` + point("p1", "2026-11-20T00:00:00Z") + `,` + point("p2", "2026-11-21T00:00:00Z") + `,` + point("p0", "2026-11-19T00:00:00Z") + `]}`},
		"POST " + instancePath + "/restore":       {began}, "POST " + instancePath + "/providers/Coffer.Backup/plan": {began},
		"POST " + instancePath + "/validateRestore": {`{"objectType":"OperationJobExtendedInfo"}`},
		"GET " + jobPath: {job("RestorePlan", "Restore", "Completed", planned)},
		"GET " + jobPath + "/providers/Coffer.Backup/plan": {`{"value":[` + planHead + `,` + plan + `]}`},
		"GET " + jobPath + "/providers/Coffer.Backup/diff": {`{"value":[` + diffOfStep + `]}`},
	}
}

func TestARestoreIsAskedForByFlagsOrByAFile(t *testing.T) {
	request := "POST " + instancePath + "/restore"
	v := newVaultServer(t, restoreAnswers(planStep))
	flags := []string{"backup-instance", "restore", "trigger", "-n", "shop", "--recovery-point-id", "latest", "--namespace-mappings", "shop=shop-copy", "--conflict-policy", "Patch"}
	stdout, stderr, code := v.run(t.Context(), t, flags...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	mustHave(t, "stdout", stdout, "coffer job wait j1 ")
	const target = `"objectType":"Datasource","datasourceType":"Microsoft.ContainerService/managedClusters","resourceID":"` + clusterPath + `"`
	byFlags := v.body(request)
	mustHave(t, "the request", byFlags, `"objectType":"AzureBackupRecoveryPointBasedRestoreRequest","recoveryPointId":"p2","sourceDataStoreType":"OperationalStore"`, target,
		`"recoveryOption":"FailIfExists"`, `"conflictPolicy":"Patch","namespaceMappings":{"shop":"shop-copy"}`)

	initialize := []string{"backup-instance", "restore", "initialize"}
	stdout, stderr, code = v.run(t.Context(), t, append(initialize, flags[3:]...)...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	file := writeFile(t, stdout)
	if _, stderr, code := v.run(t.Context(), t, "backup-instance", "restore", "trigger", "-n", "shop", "--restore-request-object", file); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	if got := v.body(request); got != byFlags {
		t.Errorf("by the file %s\nby flags   %s", got, byFlags)
	}

	other := strings.Replace(clusterPath, "production", "standby", 1)
	criteria := writeFile(t, "objectType: KubernetesClusterRestoreCriteria\nincludeClusterScopeResources: false\nincludedNamespaces: [a]\n")
	if _, stderr, code := v.run(t.Context(), t, "backup-instance", "validate-for-restore", "-n", "shop", "--recovery-point-id", "p1", "--target-cluster", other, "--restore-configuration", criteria); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	mustHave(t, "what is validated", v.body("POST "+instancePath+"/validateRestore"), `{"restoreRequestObject":{`, `"recoveryPointId":"p1"`, `"sourceResourceId":"`+clusterPath+`"`, `"resourceID":"`+other+`"`, `"includedNamespaces":["a"]`)
}

func TestAPlanIsShownWithTheCommandThatCarriesItOut(t *testing.T) {
	v := newVaultServer(t, restoreAnswers(planStep+","+existing))
	stdout, stderr, code := v.run(t.Context(), t, "instance", "restore", "plan", "-n", "shop", "--recovery-point-id", "latest", "--included-namespaces", "shop", "--conflict-policy", "Patch", "--storage-location", "other", "--diff")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	mustHave(t, "the plan", stdout, "patch    configmaps   shop        settings", "1 to patch, 1 existing", "5 objects of the recovery point that are not asked for", "-a: 1\n+a: 2", "pods", "look",
		"coffer backup-instance restore trigger -g shop -v shop-vault -n shop --recovery-point-id p2 --storage-location=other --included-namespaces=shop --conflict-policy=Patch --plan-digest=sha256:00 --wait")
	if v.times("POST "+instancePath+"/restore") != 0 {
		t.Error("it restores")
	}

	// The command asks for what was planned, and for its digest.
	line := stdout[strings.Index(stdout, "coffer backup-instance restore trigger"):]
	if _, stderr, code := v.run(t.Context(), t, strings.Fields(line)[1:]...); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	asked, done := map[string]any{}, map[string]any{}
	for text, into := range map[string]*map[string]any{v.body("POST " + instancePath + "/providers/Coffer.Backup/plan"): &asked, v.body("POST " + instancePath + "/restore"): &done} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	options := done["restoreTargetInfo"].(map[string]any)["restoreCriteria"].([]any)[0].(map[string]any)["coffer"].(map[string]any)
	if options["planDigest"] != "sha256:00" || options["storageLocation"] != "other" {
		t.Errorf("the digest, or the location, is not asked for: %v", options)
	}
	delete(options, "planDigest")
	if a, d := mustJSON(t, asked), mustJSON(t, done); a != d {
		t.Errorf("planned  %s\nrestored %s", a, d)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAPlanThatCannotBeCarriedOutHasAnExitCodeOfItsOwn(t *testing.T) {
	v := newVaultServer(t, restoreAnswers(conflict))
	stdout, _, code := v.run(t.Context(), t, "instance", "restore", "plan", "-n", "shop", "--recovery-point-id", "p1", "--conflict-policy", "Fail")
	if code != 3 {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, "the plan", stdout, "1 objects exist, and their conflict policy is Fail")
	answers := restoreAnswers(planStep)
	answers["GET "+jobPath] = []string{job("RestorePlan", "Restore", "Failed", `"errorDetails":[{"code":"E","message":"it is broken","recommendedAction":["mend it"]}]`)}
	_, stderr, code := newVaultServer(t, answers).run(t.Context(), t, "instance", "restore", "plan", "-n", "shop", "--recovery-point-id", "p1")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, "stderr", stderr, "E: it is broken; what to do: mend it")
}

func TestADiffIsOfWhatARestoreWouldPatch(t *testing.T) {
	answers := restoreAnswers(planStep)
	answers["GET "+jobPath+"/providers/Coffer.Backup/diff?name=settings&type=ConfigMap"] = answers["GET "+jobPath+"/providers/Coffer.Backup/diff"]
	v := newVaultServer(t, answers)
	stdout, stderr, code := v.run(t.Context(), t, "point", "diff", "-n", "shop", "latest", "--object-type", "ConfigMap", "--object-name", "settings")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	mustHave(t, "the diff", stdout, "-a: 1\n+a: 2", "Diff: 1 objects change")
	mustHave(t, "what is planned", v.body("POST "+instancePath+"/providers/Coffer.Backup/plan"), `"conflictPolicy":"Patch"`, `"recoveryPointId":"p2"`)
}

func TestARecoveryPointIsLookedInto(t *testing.T) {
	const p2 = "GET " + instancePath + "/recoveryPoints/p2"
	answers := restoreAnswers(planStep)
	answers[p2] = []string{point("p2", "2026-11-21T00:00:00Z")}
	maps.Copy(answers, pages(p2+"/providers/Coffer.Backup/contents", `{"resource":"pods","namespace":"shop","name":"a","size":1500}`, `{"group":"apps","resource":"deployments","namespace":"shop","name":"web","size":7}`))
	answers[p2+"/providers/Coffer.Backup/contents?name=a&namespace=shop&objects=true&type=Pod"] = []string{`{"value":[{"resource":"pods","name":"a","size":1,"object":{"kind":"Pod","metadata":{"name":"a"}}}]}`}
	answers[p2+"/providers/Coffer.Backup/contents?name=none"] = []string{`{"value":[]}`}
	answers[p2+"/providers/Coffer.Backup/coverage"] = []string{`{"value":[{"kind":"Point","point":{"name":"run-1","objects":12,"partial":true}},{"kind":"Captured","what":"pods","objects":3},
		{"kind":"Gap","what":"widgets.acme.io","reason":"no answer"},{"kind":"SkippedObject","object":{"resource":"secrets","namespace":"a","name":"b"},"code":"C","reason":"too large"},
		{"kind":"Volume","volume":{"namespace":"shop","claim":"data","result":"Captured","size":1073741824}}]}`}
	answers["GET "+instancePath+"/providers/Coffer.Backup/search?name=settings"] = []string{`{"value":[{"recoveryPointId":"` + instancePath + `/recoveryPoints/p2","recoveryPointTime":"2026-11-21T00:00:00Z","item":{"resource":"configmaps","namespace":"shop","name":"settings","size":9}}]}`}
	answers["GET "+instancePath+"/providers/Coffer.Backup/search?name=none"] = []string{`{"value":[]}`}
	v := newVaultServer(t, answers)
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr []string
	}{
		{"list", 0, []string{"p1     2026-11-20T00:00:00Z   Default         2026-12-01T00:00:00Z   OperationalStore   Completed"}, nil},
		{"show latest", 0, []string{"Name:", "p2"}, nil},
		{"contents latest", 0, []string{"pods               shop        a      1.5 KiB", "deployments.apps   shop        web    7 B"}, nil},
		{"contents latest -o json", 0, []string{`"resource": "deployments"`}, nil},
		{"contents p2 --included-namespace shop --type Pod --name a --objects", 0, []string{"kind: Pod\n"}, nil},
		{"contents p2 --included-namespace shop --type Pod --name a --objects -o json", 0, []string{`"kind": "List"`, `"kind": "Pod"`}, nil},
		{"contents p2 --name none", 1, nil, []string{"recovery point p2 has no such object named none"}},
		{"coverage p2", 0, []string{
			"incomplete   recovery point run-1       12", "captured     pods                       3", "missing      widgets.acme.io                             no answer",
			"skipped      secrets a/b                          C      too large", "captured     volume shop/data 1.0 GiB",
		}, nil},
		{"search --name settings", 0, []string{"p2               2026-11-21T00:00:00Z   configmaps   shop        settings   9 B"}, nil},
		{"search --name none", 0, nil, []string{"No recovery point has such an object."}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			stdout, stderr, code := v.run(t.Context(), t, strings.Fields("recovery-point "+tt.args+" -n shop")...)
			if code != tt.code {
				t.Errorf("exit code %d\n%s", code, stderr)
			}
			mustHave(t, "stdout", stdout, tt.stdout...)
			mustHave(t, "stderr", stderr, tt.stderr...)
		})
	}
}
