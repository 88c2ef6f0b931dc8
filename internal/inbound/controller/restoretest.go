package controller

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
)

func setUpRestoreTest(m ctrl.Manager, o Options) error {
	return setUpRun(m, o, kind[*v1alpha1.RestoreTest]{
		name:   "RestoreTest",
		empty:  func() *v1alpha1.RestoreTest { return &v1alpha1.RestoreTest{} },
		status: func(t *v1alpha1.RestoreTest) *v1alpha1.RunStatus { return &t.Status.RunStatus },
		advance: func(ctx context.Context, c flow.Config, t *v1alpha1.RestoreTest, persist func(context.Context) error) error {
			return flow.RestoreTest(ctx, c, t, persist)
		},
		cancelAsked: func(t *v1alpha1.RestoreTest) bool { return t.Spec.Cancel },
		holds:       flow.KeepsTraces,
		cancel: func(ctx context.Context, c flow.Config, t *v1alpha1.RestoreTest, persist func(context.Context) error) error {
			return flow.CancelRestoreTest(ctx, c, t, persist)
		},
	})
}
