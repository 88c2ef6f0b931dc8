package controller

import (
	"context"
	"log/slog"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
)

// The object of a test that has kept something goes when that is removed, and not before.
func TestAnEndedRunThatHoldsSomethingIsCancelledWhenItIsDeleted(t *testing.T) {
	for name, kept := range map[string][]string{"something is kept": {"test-0-shop"}, "nothing is kept": nil} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := v1alpha1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			test := &v1alpha1.RestoreTest{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "proof", Finalizers: []string{finalizer}},
				Status: v1alpha1.RestoreTestStatus{
					RestoreStatus: v1alpha1.RestoreStatus{RunStatus: v1alpha1.RunStatus{Phase: v1alpha1.RunCompleted}}, ScratchNamespaces: kept,
				},
			}
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(test).WithStatusSubresource(test).Build()
			cancelled := 0
			r := &runReconciler[*v1alpha1.RestoreTest]{Options: Options{Client: c, Log: slog.New(slog.DiscardHandler)}, kind: kind[*v1alpha1.RestoreTest]{
				name:   "RestoreTest",
				empty:  func() *v1alpha1.RestoreTest { return &v1alpha1.RestoreTest{} },
				status: func(x *v1alpha1.RestoreTest) *v1alpha1.RunStatus { return &x.Status.RunStatus },
				holds:  flow.KeepsTraces,
				cancel: func(context.Context, flow.Config, *v1alpha1.RestoreTest, func(context.Context) error) error {
					cancelled++
					return nil
				},
			}}
			reconcile := func() {
				t.Helper()
				if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(test)}); err != nil {
					t.Fatal(err)
				}
			}
			reconcile()
			var now v1alpha1.RestoreTest
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(test), &now); err != nil {
				t.Fatal(err)
			}
			if holds := len(now.Finalizers) > 0; holds != (kept != nil) || cancelled > 0 {
				t.Errorf("ended: finalizers %v, cancelled %d times", now.Finalizers, cancelled)
			}
			if err := c.Delete(t.Context(), &now); err != nil {
				t.Fatal(err)
			}
			reconcile()
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(test), &now); !apierrors.IsNotFound(err) {
				t.Errorf("deleted: %v", err)
			}
			if (cancelled == 1) != (kept != nil) {
				t.Errorf("cancelled %d times", cancelled)
			}
		})
	}
}
