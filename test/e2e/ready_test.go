//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	nouns "github.com/coffer-backup/coffer/internal/coffer"
)

// patients are a workload that works and three that do not, each for a reason of its own. The one that crashes is not ready either in the moment
// in which it runs.
const patients = `
apiVersion: v1
kind: Namespace
metadata: {name: patients}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: sound, namespace: patients}
spec:
  replicas: 2
  selector: {matchLabels: {app: sound}}
  template:
    metadata: {labels: {app: sound}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: __IMAGE__, imagePullPolicy: Never, command: [sleep, "100000"]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: imageless, namespace: patients}
spec:
  selector: {matchLabels: {app: imageless}}
  template:
    metadata: {labels: {app: imageless}}
    spec:
      containers: [{name: c, image: "localhost/nowhere:1", imagePullPolicy: Never}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: crashing, namespace: patients}
spec:
  serviceName: crashing
  selector: {matchLabels: {app: crashing}}
  template:
    metadata: {labels: {app: crashing}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - {name: c, image: __IMAGE__, imagePullPolicy: Never, command: [sh, -c, "exit 3"], readinessProbe: {exec: {command: ["false"]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: homeless, namespace: patients}
spec:
  selector: {matchLabels: {app: homeless}}
  template:
    metadata: {labels: {app: homeless}}
    spec:
      nodeSelector: {no: such-node}
      containers: [{name: c, image: __IMAGE__, imagePullPolicy: Never, command: [sleep, "100000"]}]
`

func TestARestoreSaysWhichWorkloadsAreNotReadyAndWhy(t *testing.T) {
	s := shopIn(t, "patients")
	apply(t, strings.ReplaceAll(patients, "__IMAGE__", lab.images.Toolbox))
	mustCoffer(t, "backup", "create", "patients", "--included-namespaces", "patients", "--wait")
	mustDestroy(t, s)
	mustCoffer(t, "restore", "create", "patients", "--backup-name", "patients", "--ready-timeout", "60s", "--wait")
	r := showRestore(t, "patients")
	if r.Status.Phase != v1alpha1.RunCompletedWithWarnings || r.Status.Progress.WorkloadsTotal != 4 || r.Status.Progress.WorkloadsReady != 1 || r.Status.ReadyTime != nil {
		t.Errorf("status %+v", r.Status)
	}
	for resource, words := range map[string][]string{
		"deployments.apps patients/imageless": {"0 of its 1 pods", "container c waits: ErrImageNeverPull"},
		"statefulsets.apps patients/crashing": {"pod crashing-0", "exit code 3"},
		"deployments.apps patients/homeless":  {"it is not scheduled: Unschedulable"},
	} {
		at := slices.IndexFunc(r.Status.Warnings, func(w v1alpha1.Warning) bool {
			return w.Code == string(nouns.CodeWorkloadNotReady) && w.Resource == resource
		})
		if at < 0 {
			t.Errorf("no warning about %s: %+v", resource, r.Status.Warnings)
			continue
		}
		for _, word := range words {
			if message := r.Status.Warnings[at].Message; !strings.Contains(message, word) {
				t.Errorf("%s: %q does not say %q", resource, message, word)
			}
		}
	}
	if out := mustCoffer(t, "restore", "show", "patients"); !strings.Contains(out, "1 ready of 4") {
		t.Errorf("coffer restore show:\n%s", out)
	}
	mustCoffer(t, "backup", "delete", "patients", "--yes", "--wait")
}

func TestARestoreSaysHowLongTheRecoveryTook(t *testing.T) {
	s := newToolbox(t, "recovered", "lab")
	mustCoffer(t, "backup", "create", "recovered", "--included-namespaces", "recovered", "--wait")
	mustDestroy(t, s)
	mustCoffer(t, "restore", "create", "recovered", "--backup-name", "recovered", "--wait")
	r := showRestore(t, "recovered")
	if r.Status.Phase != v1alpha1.RunCompleted || r.Status.ReadyTime == nil || r.Status.Progress.WorkloadsReady != 1 {
		t.Errorf("status %+v", r.Status)
	}
	if out := mustCoffer(t, "restore", "show", "recovered"); !strings.Contains(out, "1 ready of 1, ") {
		t.Errorf("coffer restore show:\n%s", out)
	}
	mustCoffer(t, "backup", "delete", "recovered", "--yes", "--wait")
}
