//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func TestRunsAreToldOfInLogsEventsConditionsAndMetrics(t *testing.T) {
	newToolbox(t, "observed", "lab")
	newHook(t, "observe", "observed", "c", "echo frozen", "Fail", "30s")
	mustCoffer(t, "backup", "create", "observed-1", "--included-namespaces", "observed", "--backup-hook-references", "default/observe", "--wait")
	mustFail(t, []string{"UserErrorNamespaceNotFound"}, "backup", "create", "observed-2", "--included-namespaces", "gone", "--wait")

	// A log is whole once its run has ended.
	log := mustCoffer(t, "backup", "logs", "observed-1")
	for _, want := range []string{"step begins", "SnapshottingVolumes", "hook ran", "observed/box", "snapshots cut", "type captured", "recovery point sealed", "run ended"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
	if log := mustCoffer(t, "backup", "logs", "observed-2", "--follow"); !strings.Contains(log, "UserErrorNamespaceNotFound") || !strings.Contains(log, "run ended") {
		t.Errorf("the failed run's log does not say why:\n%s", log)
	}
	mustFail(t, []string{"no backup named nothing"}, "backup", "logs", "nothing")

	for name, want := range map[string]metav1.Condition{
		"observed-1": {Status: metav1.ConditionTrue, Reason: "Succeeded"},
		"observed-2": {Status: metav1.ConditionFalse, Reason: "UserErrorNamespaceNotFound"},
	} {
		got := meta.FindStatusCondition(showBackup(t, name).Status.Conditions, v1alpha1.ConditionSucceeded)
		if got == nil || got.Status != want.Status || got.Reason != want.Reason {
			t.Errorf("%s: condition %+v, want %s %s", name, got, want.Status, want.Reason)
		}
	}
	eventually(t, "the events are there", time.Minute, func(ctx context.Context) (bool, error) {
		var all eventsv1.EventList
		if err := lab.client.List(ctx, &all, client.InNamespace(namespace)); err != nil {
			return false, err
		}
		found := map[string]bool{}
		for _, e := range all.Items {
			found[fmt.Sprint(e.Regarding.Name, " ", e.Type, " ", e.Reason)] = true
		}
		return found["observed-1 Normal Started"] && found["observed-1 Normal Completed"] && found["observed-2 Warning Failed"], nil
	})
	mustSay(t, []string{
		`coffer_runs_total{kind="Backup",phase="Completed"}`, `coffer_runs_total{kind="Backup",phase="Failed"}`,
		"coffer_backup_objects_total", "coffer_backup_longest_freeze_seconds_count", `coffer_storage_location_available{name="default"} 1`,
	}, func() string { return scrape(t) })
	mustCoffer(t, "backup", "delete", "observed-1", "--yes", "--wait")
	// The log goes with its run.
	eventually(t, "the log is gone", time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.RunLogName("Backup", "observed-1")}, &corev1.ConfigMap{})
		return err != nil, client.IgnoreNotFound(err)
	})
}

// mustSay waits until a text holds all words.
func mustSay(t *testing.T, words []string, read func() string) {
	t.Helper()
	eventually(t, fmt.Sprintf("what is said has %q", words), time.Minute, func(context.Context) (bool, error) {
		text := read()
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false, fmt.Errorf("it does not say %q:\n%s", w, text)
			}
		}
		return true, nil
	})
}

// scrape reads the metrics of the extension through the API server.
func scrape(t *testing.T) string {
	t.Helper()
	pods := extensionPods(t)
	if len(pods) != 1 {
		t.Fatalf("there are %d pods of the extension", len(pods))
	}
	set, err := kubernetes.NewForConfig(lab.config)
	if err != nil {
		t.Fatal(err)
	}
	text, err := set.CoreV1().Pods(namespace).ProxyGet("http", pods[0].Name, "8080", "/metrics", nil).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
