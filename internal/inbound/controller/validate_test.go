package controller

import (
	"log/slog"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func TestAValidationThatHasEndedGoesAfterAnHour(t *testing.T) {
	for name, tt := range map[string]struct {
		ended time.Duration
		gone  bool
	}{"just now": {0, false}, "two hours ago": {2 * time.Hour, true}} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := v1alpha1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			ended := metav1.NewTime(time.Now().Add(-tt.ended))
			object := &v1alpha1.ValidateForBackup{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "one", UID: "uid", Finalizers: []string{finalizer}},
				Status:     v1alpha1.ValidationStatus{RunStatus: v1alpha1.RunStatus{Phase: v1alpha1.RunFailed, CompletionTime: &ended}},
			}
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(object).WithStatusSubresource(object).Build()
			r := &runReconciler[*v1alpha1.ValidateForBackup]{Options: Options{Client: c, Log: slog.New(slog.DiscardHandler)}, kind: validateForBackup()}
			result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Get(t.Context(), client.ObjectKeyFromObject(object), &v1alpha1.ValidateForBackup{})
			if gone := apierrors.IsNotFound(err); gone != tt.gone || err != nil && !gone {
				t.Errorf("%v", err)
			}
			if again := result.RequeueAfter > 0 && result.RequeueAfter <= keptValidation; again == tt.gone {
				t.Errorf("it is looked at again after %s", result.RequeueAfter)
			}
		})
	}
}
