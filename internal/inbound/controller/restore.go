package controller

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
)

func setUpRestore(m ctrl.Manager, o Options) error {
	return setUpRun(m, o, kind[*v1alpha1.Restore]{
		name:   "Restore",
		empty:  func() *v1alpha1.Restore { return &v1alpha1.Restore{} },
		status: func(r *v1alpha1.Restore) *v1alpha1.RunStatus { return &r.Status.RunStatus },
		advance: func(ctx context.Context, c flow.Config, r *v1alpha1.Restore, persist func(context.Context) error) error {
			return flow.Restore(ctx, c, r, persist)
		},
		measure:     o.Metrics.restoreEnded,
		cancelAsked: func(r *v1alpha1.Restore) bool { return r.Spec.Cancel },
		cancel: func(ctx context.Context, c flow.Config, r *v1alpha1.Restore, persist func(context.Context) error) error {
			return flow.CancelRestore(ctx, c, r, persist)
		},
	})
}
