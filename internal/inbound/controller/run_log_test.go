package controller

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
)

// Whoever waits for the end of a run and reads its log then finds how it has ended, even if the process dies right after that.
func TestTheLogOfARunIsWholeOnceTheRunHasEnded(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	object := &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "one", UID: "uid"}}
	log := ""
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(object).WithStatusSubresource(object).WithInterceptorFuncs(interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			if o.(*v1alpha1.Backup).Status.Phase.Final() {
				log = mustReadLog(t, c, "one")
			}
			return c.SubResource(sub).Update(ctx, o, opts...)
		},
	}).Build()
	r := &runReconciler[*v1alpha1.Backup]{
		Options: Options{Client: c, Log: slog.New(slog.DiscardHandler), Events: events.NewFakeRecorder(10), Metrics: NewMetrics(prometheus.NewRegistry())},
		kind: kind[*v1alpha1.Backup]{
			name:        "Backup",
			empty:       func() *v1alpha1.Backup { return &v1alpha1.Backup{} },
			status:      func(b *v1alpha1.Backup) *v1alpha1.RunStatus { return &b.Status.RunStatus },
			cancelAsked: func(b *v1alpha1.Backup) bool { return b.Spec.Cancel },
			advance: func(ctx context.Context, c flow.Config, b *v1alpha1.Backup, persist func(context.Context) error) error {
				c.Log.Info("step begins")
				b.Status.Phase = v1alpha1.RunInProgress
				if err := persist(ctx); err != nil {
					return err
				}
				b.Status.Phase, b.Status.Reason = v1alpha1.RunFailed, "UserErrorNamespaceNotFound"
				return persist(ctx)
			},
		},
	}
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"step begins", "run ended", "UserErrorNamespaceNotFound"} {
		if !strings.Contains(log, want) {
			t.Errorf("when the run had ended, its log did not say %q: %q", want, log)
		}
	}
	if n := strings.Count(mustReadLog(t, c, "one"), "run ended"); n != 1 {
		t.Errorf("the log says %d times that the run has ended", n)
	}
}

// mustReadLog is the log of a Backup as it is stored; empty if there is none.
func mustReadLog(t *testing.T, c client.Client, name string) string {
	t.Helper()
	var kept corev1.ConfigMap
	err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: v1alpha1.RunLogName("Backup", name)}, &kept)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return ""
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(kept.BinaryData[v1alpha1.RunLogField]))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A log that cannot be saved once is saved the next time, though nothing was added to it.
func TestALogThatWasNotSavedIsSavedLater(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	away := true
	c := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if away {
				return errors.New("the API server is away")
			}
			return c.Create(ctx, o, opts...)
		},
	}).Build()
	l := newRunLog(c, &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "one", UID: "uid"}}, "Backup", slog.New(slog.DiscardHandler))
	l.log.Info("step begins")
	if err := l.save(t.Context()); err == nil {
		t.Fatal("it was saved")
	}
	away = false
	if err := l.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log := mustReadLog(t, c, "one"); !strings.Contains(log, "step begins") {
		t.Errorf("the log is %q", log)
	}
}
