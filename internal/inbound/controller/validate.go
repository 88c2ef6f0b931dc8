package controller

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
)

// keptValidation is how long a validation that has ended stays for somebody to read it: the cluster changes, and its answer
// with that.
const keptValidation = time.Hour

func setUpValidateForBackup(m ctrl.Manager, o Options) error {
	return setUpRun(m, o, validateForBackup())
}

func validateForBackup() kind[*v1alpha1.ValidateForBackup] {
	return kind[*v1alpha1.ValidateForBackup]{
		name:        "ValidateForBackup",
		empty:       func() *v1alpha1.ValidateForBackup { return &v1alpha1.ValidateForBackup{} },
		status:      func(v *v1alpha1.ValidateForBackup) *v1alpha1.RunStatus { return &v.Status.RunStatus },
		cancelAsked: func(*v1alpha1.ValidateForBackup) bool { return false },
		kept:        keptValidation,
		advance: func(ctx context.Context, c flow.Config, v *v1alpha1.ValidateForBackup, persist func(context.Context) error) error {
			return flow.ValidateForBackup(ctx, c, v, persist)
		},
	}
}

// parallelRestoreValidations is how many there are at a time: each holds what a restore holds of its recovery point.
const parallelRestoreValidations = 2

func setUpValidateForRestore(m ctrl.Manager, o Options) error {
	o.Parallel = min(o.Parallel, parallelRestoreValidations)
	return setUpRun(m, o, validateForRestore())
}

func validateForRestore() kind[*v1alpha1.ValidateForRestore] {
	return kind[*v1alpha1.ValidateForRestore]{
		name:        "ValidateForRestore",
		empty:       func() *v1alpha1.ValidateForRestore { return &v1alpha1.ValidateForRestore{} },
		status:      func(v *v1alpha1.ValidateForRestore) *v1alpha1.RunStatus { return &v.Status.RunStatus },
		cancelAsked: func(*v1alpha1.ValidateForRestore) bool { return false },
		kept:        keptValidation,
		advance: func(ctx context.Context, c flow.Config, v *v1alpha1.ValidateForRestore, persist func(context.Context) error) error {
			return flow.ValidateForRestore(ctx, c, v, persist)
		},
	}
}
