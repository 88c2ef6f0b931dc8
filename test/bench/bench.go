package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/deploy/charts"
	"github.com/coffer-backup/coffer/internal/outbound/kube"
)

const namespace = v1alpha1.DefaultNamespace

// repetitions is how often everything is measured; the median counts.
const repetitions = 3

// bench is a cluster with an extension that runs as a process beside it.
type bench struct {
	config    *rest.Config
	client    client.Client
	cluster   *kube.Cluster
	extension *exec.Cmd
	folder    string
	// captured is how many objects of the capture rows there are.
	captured int
	// kubeconfig, program and pprof are what the extension was started with.
	kubeconfig, program, pprof string
}

func newBench(ctx context.Context, kubeconfig, program, pprof string) (*bench, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	b := &bench{config: config, kubeconfig: kubeconfig, program: program, pprof: pprof}
	if b.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	if b.cluster, err = kube.New(config); err != nil {
		return nil, err
	}
	if b.folder, err = os.MkdirTemp("", "coffer-bench-"); err != nil {
		return nil, err
	}
	if err := errors.Join(b.install(ctx), b.start(ctx, kubeconfig, program)); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// install makes what the chart would, but for the Deployment: there is no node.
func (b *bench) install(ctx context.Context) error {
	folder := charts.ExtensionFolder + "/crds"
	files, err := charts.Extension.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := charts.Extension.ReadFile(folder + "/" + f.Name())
		if err != nil {
			return err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &definition); err != nil {
			return err
		}
		if err := b.client.Create(ctx, &definition); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	if err := createNamespaces(ctx, b.cluster, []string{namespace}); err != nil {
		return err
	}
	location := &v1alpha1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"},
		Spec:       v1alpha1.BackupStorageLocationSpec{Provider: v1alpha1.ProviderFilesystem, Container: "backups"},
	}
	return await(ctx, time.Minute, "the definitions are served", func(ctx context.Context) (bool, error) {
		err := b.client.Create(ctx, location.DeepCopy())
		return err == nil || apierrors.IsAlreadyExists(err), nil
	})
}

func (b *bench) start(ctx context.Context, kubeconfig, program string) error {
	log, err := os.Create(filepath.Join(b.folder, "extension.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	if err := os.MkdirAll(filepath.Join(b.folder, "backups"), 0o750); err != nil {
		return err
	}
	//nolint:gosec // The program that was just built.
	b.extension = exec.CommandContext(ctx, program, "run", "--namespace", namespace, "--filesystem-root", b.folder,
		"--leader-elect=false", "--metrics-address=0", "--health-address=0", "--serve-contents=false", "--pprof-address="+b.pprof)
	b.extension.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "GOMEMLIMIT=450MiB")
	b.extension.Stdout, b.extension.Stderr = log, log
	return b.extension.Start()
}

func (b *bench) close() {
	if b.extension != nil && b.extension.Process != nil {
		_ = b.extension.Process.Kill()
		_ = b.extension.Wait()
	}
	_ = os.RemoveAll(b.folder)
}

// apply measures a Restore of n objects against creating the same objects and nothing else.
func (b *bench) apply(ctx context.Context, name string, n int) ([]row, error) {
	namespaces, objects := mixed("apply", n)
	backup := name
	var ours, reference []float64
	for i := range repetitions {
		if err := createNamespaces(ctx, b.cluster, namespaces); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := createAll(ctx, b.cluster, objects); err != nil {
			return nil, err
		}
		reference = append(reference, float64(n)/time.Since(began).Seconds())
		if i == 0 {
			if _, err := b.backUp(ctx, backup, namespaces); err != nil {
				return nil, err
			}
		}
		if err := b.deleteNamespaces(ctx, namespaces); err != nil {
			return nil, err
		}
		took, err := b.restore(ctx, fmt.Sprintf("%s-%d", name, i), v1alpha1.RestoreSpec{BackupName: backup}, n)
		if err != nil {
			return nil, err
		}
		ours = append(ours, float64(n)/took.Seconds())
		say("%s: %.0f objects/s created, %.0f objects/s restored", name, reference[i], ours[i])
		if err := b.deleteNamespaces(ctx, namespaces); err != nil {
			return nil, err
		}
	}
	if err := b.deleteBackup(ctx, backup); err != nil {
		return nil, err
	}
	return []row{newRow(name, ours, reference, "objects/s", ">= 0.7", fmt.Sprintf("whole Restore against raw creates, %d at a time", workers))}, nil
}

func newRow(name string, ours, reference []float64, unit, target, what string) row {
	r := row{Name: name, Ours: median(ours), Reference: median(reference), Unit: unit, Target: target, what: what}
	r.Ratio = r.Ours / r.Reference
	return r
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func (b *bench) backUp(ctx context.Context, name string, namespaces []string) (time.Duration, error) {
	o := &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.BackupSpec{IncludedNamespaces: namespaces}}
	return b.time(ctx, o, func() v1alpha1.RunStatus { return o.Status.RunStatus })
}

// restore restores n objects at least, and does not wait for what their controllers make of them: raw creates do not either.
func (b *bench) restore(ctx context.Context, name string, spec v1alpha1.RestoreSpec, n int) (time.Duration, error) {
	spec.ReadyTimeout = &metav1.Duration{}
	o := &v1alpha1.Restore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
	took, err := b.time(ctx, o, func() v1alpha1.RunStatus { return o.Status.RunStatus })
	if err == nil && (o.Status.Progress.Created < n || o.Status.Progress.Failed > 0) {
		err = fmt.Errorf("the restore created %d objects of %d, and failed with %d", o.Status.Progress.Created, n, o.Status.Progress.Failed)
	}
	return took, err
}

func (b *bench) deleteBackup(ctx context.Context, name string) error {
	o := &v1alpha1.DeleteBackup{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.DeleteBackupSpec{BackupName: name}}
	_, err := b.time(ctx, o, func() v1alpha1.RunStatus { return o.Status.RunStatus })
	return err
}

// time creates a run object and waits for its end: what a user waits for.
func (b *bench) time(ctx context.Context, o client.Object, status func() v1alpha1.RunStatus) (time.Duration, error) {
	began := time.Now()
	if err := b.client.Create(ctx, o); err != nil {
		return 0, err
	}
	err := await(ctx, 15*time.Minute, o.GetName()+" ends", func(ctx context.Context) (bool, error) {
		err := b.client.Get(ctx, client.ObjectKeyFromObject(o), o)
		return status().Phase.Final(), err
	})
	took := time.Since(began)
	if s := status(); err == nil && !s.Phase.Succeeded() {
		err = fmt.Errorf("%s: %s: %s", o.GetName(), s.Phase, s.Message)
	}
	return took, err
}

// deleteNamespaces deletes namespaces and waits until they are gone.
func (b *bench) deleteNamespaces(ctx context.Context, names []string) error {
	for _, name := range names {
		err := b.client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		if client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return await(ctx, 15*time.Minute, "the namespaces are gone", func(ctx context.Context) (bool, error) {
		for _, name := range names {
			err := b.client.Get(ctx, client.ObjectKey{Name: name}, &corev1.Namespace{})
			if !apierrors.IsNotFound(err) {
				return false, err
			}
		}
		return true, nil
	})
}

func await(ctx context.Context, limit time.Duration, what string, done func(context.Context) (bool, error)) error {
	if err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, limit, true, done); err != nil {
		return fmt.Errorf("wait until %s: %w", what, err)
	}
	return nil
}
