package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
)

func setUpDeleteBackup(m ctrl.Manager, o Options) error {
	return setUpRun(m, o, kind[*v1alpha1.DeleteBackup]{
		name:        "DeleteBackup",
		empty:       func() *v1alpha1.DeleteBackup { return &v1alpha1.DeleteBackup{} },
		status:      func(d *v1alpha1.DeleteBackup) *v1alpha1.RunStatus { return &d.Status.RunStatus },
		cancelAsked: func(*v1alpha1.DeleteBackup) bool { return false },
		advance: func(ctx context.Context, c flow.Config, d *v1alpha1.DeleteBackup, persist func(context.Context) error) error {
			return flow.DeleteBackup(ctx, c, &runs{client: o.Client, namespace: o.Flow.Namespace}, d, persist)
		},
	})
}

// runs is the flow.Runs of the extension's namespace.
type runs struct {
	client    client.Client
	namespace string
}

// RestoresOf implements flow.Runs.
func (r *runs) RestoresOf(ctx context.Context, location, backup string) ([]string, error) {
	var all v1alpha1.RestoreList
	if err := r.client.List(ctx, &all, client.InNamespace(r.namespace)); err != nil {
		return nil, fmt.Errorf("list Restores: %w", err)
	}
	var found []string
	for _, x := range all.Items {
		if x.Spec.StorageLocation == location && x.Spec.BackupName == backup && !x.Status.Phase.Final() {
			found = append(found, x.Name)
		}
	}
	var tests v1alpha1.RestoreTestList
	if err := r.client.List(ctx, &tests, client.InNamespace(r.namespace)); err != nil {
		return nil, fmt.Errorf("list RestoreTests: %w", err)
	}
	for _, x := range tests.Items {
		if x.Spec.StorageLocation == location && x.Spec.BackupName == backup && !x.Status.Phase.Final() {
			found = append(found, "test "+x.Name)
		}
	}
	return found, nil
}

// BackupUnderway implements flow.Runs.
func (r *runs) BackupUnderway(ctx context.Context, location, backup string) (bool, error) {
	found, err := r.backup(ctx, location, backup)
	return found != nil && !found.Status.Phase.Final(), err
}

// NameOfRun implements flow.Runs.
func (r *runs) NameOfRun(ctx context.Context, uid string) (location, name string, err error) {
	var all v1alpha1.BackupList
	if err := r.client.List(ctx, &all, client.InNamespace(r.namespace)); err != nil {
		return "", "", fmt.Errorf("list Backups: %w", err)
	}
	for i := range all.Items {
		if b := &all.Items[i]; string(b.UID) == uid {
			return b.Spec.StorageLocation, b.Name, nil
		}
	}
	return "", "", nil
}

// RemoveBackup implements flow.Runs.
func (r *runs) RemoveBackup(ctx context.Context, location, backup string) error {
	found, err := r.backup(ctx, location, backup)
	if found == nil || err != nil {
		return err
	}
	// The recovery point of that object, and not of one that has taken its name since.
	uid := found.UID
	err = r.client.Delete(ctx, found, &client.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Backup %s: %w", backup, err)
	}
	return nil
}

func (r *runs) backup(ctx context.Context, location, name string) (*v1alpha1.Backup, error) {
	var b v1alpha1.Backup
	err := r.client.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: name}, &b)
	if apierrors.IsNotFound(err) || err == nil && b.Spec.StorageLocation != location {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get Backup %s: %w", name, err)
	}
	return &b, nil
}
