package controller

import (
	"context"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// FailpointsAnnotation lists, separated by commas, the points at which the process kills itself while it works on the
// run, once each. It is for tests, and heeded only by an extension that was started with --failpoints.
const FailpointsAnnotation = v1alpha1.Group + "/failpoints"

// failAt kills the process if the run asks for it, as a failing machine would: nothing is flushed or handed over. The
// point is taken off the list before, durably.
func (r *runReconciler[T]) failAt(ctx context.Context, object T, point string) {
	now := r.kind.empty()
	if err := r.Client.Get(ctx, client.ObjectKeyFromObject(object), now); err != nil {
		return
	}
	points := strings.Split(now.GetAnnotations()[FailpointsAnnotation], ",")
	if !slices.Contains(points, point) {
		return
	}
	before := now.DeepCopyObject().(T)
	now.GetAnnotations()[FailpointsAnnotation] = strings.Join(slices.DeleteFunc(points, func(p string) bool { return p == point }), ",")
	if err := r.Client.Patch(ctx, now, client.MergeFrom(before)); err != nil {
		return
	}
	r.Log.Warn("failpoint: the process ends", "point", point)
	// The first process of a container cannot send itself a SIGKILL. This runs no deferred function either.
	os.Exit(137)
}
