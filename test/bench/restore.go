package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/test/interop"
)

// withWorkloads are n objects, of which every fourth is a Deployment without pods: what runs images is what Velero restores
// slowest.
func withWorkloads(prefix string, n int) (namespaces []string, objects []object) {
	namespaces, objects = mixed(prefix, n)
	deployment := of("apps", "deployments", "Deployment")
	for i := 3; i < n; i += 4 {
		body := fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"object-%d","namespace":%q,"labels":{"team":"t%d"}},
			"spec":{"replicas":0,"selector":{"matchLabels":{"app":"a%d"}},"template":{"metadata":{"labels":{"app":"a%d"}},
			"spec":{"containers":[{"name":"c","image":"registry.example/team/app:1.2.3","env":[{"name":"A","value":"b"}]}]}}}}`,
			i, objects[i].namespace, i%7, i, i)
		objects[i] = object{deployment, objects[i].namespace, []byte(body)}
	}
	return namespaces, objects
}

// veleroRestore measures whole Restores of n objects against a real Velero's of the same recovery point, which is Coffer's, in
// the same cluster: the time, of Velero's once, for it takes minutes, and the peak of the memory.
func (b *bench) veleroRestore(ctx context.Context, n int) ([]row, error) {
	program := os.Getenv("COFFER_BENCH_VELERO")
	if program == "" {
		return nil, errors.New("COFFER_BENCH_VELERO names no Velero: run hack/bench")
	}
	const name = "velero-restore"
	namespaces, objects := withWorkloads(name, n)
	say("%s: creating %d objects in %d namespaces", name, n, len(namespaces))
	err := errors.Join(b.locate(ctx), createNamespaces(ctx, b.cluster, namespaces), createAll(ctx, b.cluster, objects))
	if err != nil {
		return nil, err
	}
	backup := &v1alpha1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.BackupSpec{StorageLocation: oursBucket, IncludedNamespaces: namespaces},
	}
	if _, err := b.time(ctx, backup, func() v1alpha1.RunStatus { return backup.Status.RunStatus }); err != nil {
		return nil, err
	}
	// Its peak is to be of this alone.
	if err := b.restart(ctx); err != nil {
		return nil, err
	}
	var ours []float64
	for i := range repetitions {
		if err := b.deleteNamespaces(ctx, namespaces); err != nil {
			return nil, err
		}
		took, err := b.restore(ctx, fmt.Sprintf("%s-%d", name, i), v1alpha1.RestoreSpec{BackupName: name, StorageLocation: oursBucket}, n)
		if err != nil {
			return nil, err
		}
		ours = append(ours, took.Seconds())
		say("%s: Coffer took %.2fs", name, ours[i])
	}
	oursPeak, err := interop.Peak(b.extension.Process.Pid)
	if err != nil {
		return nil, err
	}
	if err := b.deleteNamespaces(ctx, namespaces); err != nil {
		return nil, err
	}
	theirs, veleroPeak, err := b.restoreByVelero(ctx, program, name)
	if err != nil {
		return nil, err
	}
	return []row{
		newRow(name, ours, []float64{theirs}, "s", "<= 0.05", fmt.Sprintf("whole Restore of %d objects against Velero's of the same recovery point", n)),
		newRow("velero-memory-restore", []float64{float64(oursPeak) / mebi}, []float64{float64(veleroPeak) / mebi}, "MiB", "<= 0.33", "peak resident memory of the same; Velero's with its plugins"),
	}, b.deleteNamespaces(ctx, namespaces)
}

// restoreMany measures the peak of the memory of Restores of n objects against the limit that the chart sets: one that finds
// all of them in the cluster, and one that makes all of them in other namespaces, which stay.
func (b *bench) restoreMany(ctx context.Context, n int) ([]row, error) {
	name := fmt.Sprintf("restore-memory-%dk", n/1000)
	if err := b.fill(ctx, name, n); err != nil {
		return nil, err
	}
	namespaces, _ := mixed(capturePrefix, n)
	if _, err := b.backUp(ctx, name, namespaces); err != nil {
		return nil, err
	}
	// Its peak is to be of this alone.
	if err := b.restart(ctx); err != nil {
		return nil, err
	}
	met, err := b.restore(ctx, name+"-met", v1alpha1.RestoreSpec{BackupName: name, ConflictPolicy: v1alpha1.ConflictPatch}, 0)
	if err != nil {
		return nil, err
	}
	mappings := make(map[string]v1alpha1.NamespaceName, len(namespaces))
	for _, ns := range namespaces {
		mappings[ns] = v1alpha1.NamespaceName("again-" + ns)
	}
	made, err := b.restore(ctx, name+"-made", v1alpha1.RestoreSpec{BackupName: name, NamespaceMappings: mappings}, n)
	if err != nil {
		return nil, err
	}
	say("%s: found in the cluster and compared in %.2fs, made in %.2fs", name, met.Seconds(), made.Seconds())
	peak, err := interop.Peak(b.extension.Process.Pid)
	if err != nil {
		return nil, err
	}
	return []row{newRow(name, []float64{float64(peak) / mebi}, []float64{512}, "MiB", "<= 1.0",
		fmt.Sprintf("peak resident memory of Restores of %d objects, all of them there and none, against the chart's limit", n))}, nil
}

// restoreByVelero answers how many seconds Velero's restore of a recovery point of Coffer's took, and what memory at most.
func (b *bench) restoreByVelero(ctx context.Context, program, backup string) (took float64, peak int64, err error) {
	folder := filepath.Join(b.folder, "velero-restore")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return 0, 0, err
	}
	a := environment()
	v, err := interop.Start(ctx, interop.Config{
		Program: program, Kubeconfig: b.kubeconfig, Client: b.client, Buckets: []string{oursBucket}, Folder: folder,
		Endpoint: a.endpoint, Region: a.region, AccessKey: a.key, SecretKey: a.secret,
	})
	if err != nil {
		return 0, 0, err
	}
	defer v.Stop()
	if err := v.AwaitBackup(ctx, backup); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	o, err := v.Restore(ctx, backup, backup)
	if err != nil {
		return 0, 0, err
	}
	took = time.Since(began).Seconds()
	say("velero-restore: Velero took %.2fs: %v", took, o.Object["status"])
	peak, err = v.PeakMemory()
	return took, peak, err
}
