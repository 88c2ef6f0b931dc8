package controller

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
)

func setUpBackup(m ctrl.Manager, o Options) error {
	return setUpRun(m, o, kind[*v1alpha1.Backup]{
		name:   "Backup",
		empty:  func() *v1alpha1.Backup { return &v1alpha1.Backup{} },
		status: func(b *v1alpha1.Backup) *v1alpha1.RunStatus { return &b.Status.RunStatus },
		advance: func(ctx context.Context, c flow.Config, b *v1alpha1.Backup, persist func(context.Context) error) error {
			return flow.Backup(ctx, c, b, persist)
		},
		measure:     o.Metrics.backupEnded,
		cancelAsked: func(b *v1alpha1.Backup) bool { return b.Spec.Cancel },
		cancel: func(ctx context.Context, c flow.Config, b *v1alpha1.Backup, persist func(context.Context) error) error {
			return flow.CancelBackup(ctx, c, b, persist)
		},
	})
}
