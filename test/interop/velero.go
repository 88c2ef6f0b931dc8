// Package interop runs a real Velero server as a process against a cluster, for what is to be shown beside Coffer.
package interop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Namespace is Velero's.
const Namespace = "velero"

// Config is what a Velero needs.
type Config struct {
	// Program is the file of Velero; its plugin for S3, velero-plugin-for-aws, is beside it.
	Program string
	// Kubeconfig and Client are of the cluster.
	Kubeconfig string
	Client     client.Client
	// Buckets of one S3 service, each a storage location of its own name. The first is the default.
	Buckets []string
	// Endpoint, Region, AccessKey and SecretKey are of the service, as this machine reaches it.
	Endpoint, Region, AccessKey, SecretKey string
	// CSI says that volumes are snapshotted through CSI.
	CSI bool
	// Folder is for what Velero keeps beside itself. It is the caller's to remove.
	Folder string
}

// Velero is a Velero server that runs.
type Velero struct {
	Config
	server *exec.Cmd
	ended  chan struct{}
}

// Start installs what Velero needs in the cluster, and starts the server. The caller stops it.
func Start(ctx context.Context, c Config) (*Velero, error) {
	v := &Velero{Config: c, ended: make(chan struct{})}
	for _, step := range []func(context.Context) error{v.install, v.link} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	log, err := os.Create(v.Log())
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	args := []string{
		"server", "--plugin-dir", filepath.Join(c.Folder, "plugins"), "--metrics-address", "127.0.0.1:0", "--profiler-address", "",
		"--backup-sync-period", "2s", "--item-operation-sync-frequency", "1s", "--default-backup-storage-location", c.Buckets[0],
	}
	if c.CSI {
		args = append(args, "--features", "EnableCSI")
	}
	v.server = v.command(context.WithoutCancel(ctx), args...)
	v.server.Stdout, v.server.Stderr = log, log
	if err := v.server.Start(); err != nil {
		return nil, fmt.Errorf("start velero: %w", err)
	}
	go func() {
		defer close(v.ended)
		_ = v.server.Wait()
	}()
	for _, bucket := range c.Buckets {
		if err := v.awaitLocation(ctx, bucket); err != nil {
			v.Stop()
			return nil, err
		}
	}
	return v, nil
}

// Log is the file of the server's log.
func (v *Velero) Log() string { return filepath.Join(v.Folder, "velero.log") }

// Stop ends the server and its plugins.
func (v *Velero) Stop() {
	_ = v.server.Process.Signal(syscall.SIGTERM)
	select {
	case <-v.ended:
	case <-time.After(20 * time.Second):
		_ = v.server.Process.Kill()
		<-v.ended
	}
}

func (v *Velero) command(ctx context.Context, args ...string) *exec.Cmd {
	//nolint:gosec // The program that was just built.
	cmd := exec.CommandContext(ctx, v.Program, args...)
	// Velero keeps a file of the client's settings at home.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+v.Kubeconfig, "HOME="+v.Folder, "TMPDIR="+v.Folder,
		"AWS_ACCESS_KEY_ID="+v.AccessKey, "AWS_SECRET_ACCESS_KEY="+v.SecretKey, "AWS_EC2_METADATA_DISABLED=true")
	return cmd
}

// Run runs a command of Velero's command line, and answers what it printed.
func (v *Velero) Run(ctx context.Context, args ...string) (string, error) {
	out, err := v.command(ctx, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("velero %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// install makes Velero's definitions, its namespace and locations, and the Deployment that its restores ask the image of.
func (v *Velero) install(ctx context.Context) error {
	if _, err := v.Run(ctx, "install", "--crds-only"); err != nil {
		return err
	}
	objects := []*unstructured.Unstructured{
		newObject("v1", "Namespace", "", Namespace, nil),
		newObject("apps/v1", "Deployment", Namespace, "velero", map[string]any{
			"replicas": int64(0),
			"selector": map[string]any{"matchLabels": map[string]any{"deploy": "velero"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"deploy": "velero"}},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "velero", "image": "velero/velero:v1.18.0"}}},
			},
		}),
	}
	for _, bucket := range v.Buckets {
		location := newObject("velero.io/v1", "BackupStorageLocation", Namespace, bucket, map[string]any{
			"provider":      "aws",
			"objectStorage": map[string]any{"bucket": bucket},
			// It looks each minute; if a minute had to have passed since the last time as well, it would be every other one.
			"backupSyncPeriod": "1s",
			"config": map[string]any{
				"region": v.Region, "s3Url": v.Endpoint, "s3ForcePathStyle": "true", "checksumAlgorithm": "",
			},
		})
		// It looks once when it starts, too, if it takes the bucket for one that it has seen.
		location.Object["status"] = map[string]any{"phase": "Available"}
		objects = append(objects, location)
	}
	for _, o := range objects {
		err := poll(ctx, time.Minute, "create "+o.GetKind()+" "+o.GetName(), func(ctx context.Context) (bool, error) {
			err := v.Client.Create(ctx, o.DeepCopy())
			// The definitions are served a moment after they are made.
			return err == nil || apierrors.IsAlreadyExists(err), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// link puts the plugin into a folder of its own: Velero takes whatever it finds beside it for plugins too.
func (v *Velero) link(context.Context) error {
	const plugin = "velero-plugin-for-aws"
	folder := filepath.Join(v.Folder, "plugins")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	from, err := os.Open(filepath.Join(filepath.Dir(v.Program), plugin))
	if err != nil {
		return fmt.Errorf("find Velero's plugin: %w", err)
	}
	defer func() { _ = from.Close() }()
	//nolint:gosec // Velero takes what can be executed for plugins.
	to, err := os.OpenFile(filepath.Join(folder, plugin), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

func newObject(apiVersion, kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	o.SetNamespace(namespace)
	o.SetName(name)
	if spec != nil {
		o.Object["spec"] = spec
	}
	return o
}

func (v *Velero) awaitLocation(ctx context.Context, name string) error {
	return poll(ctx, 2*time.Minute, "Velero finds bucket "+name, func(ctx context.Context) (bool, error) {
		select {
		case <-v.ended:
			return false, fmt.Errorf("velero has ended: see %s", v.Log())
		default:
		}
		location, err := v.Get(ctx, "BackupStorageLocation", name)
		if err != nil {
			return false, client.IgnoreNotFound(err)
		}
		phase, _, _ := unstructured.NestedString(location.Object, "status", "phase")
		seen, _, _ := unstructured.NestedString(location.Object, "status", "lastValidationTime")
		return phase == "Available" && seen != "", nil
	})
}

// phase reads the phase of one of Velero's objects; one that is not there has none.
func (v *Velero) phase(ctx context.Context, kind, name string) (string, error) {
	o, err := v.Get(ctx, kind, name)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	phase, _, _ := unstructured.NestedString(o.Object, "status", "phase")
	return phase, nil
}

// Get reads one of Velero's objects.
func (v *Velero) Get(ctx context.Context, kind, name string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: "velero.io", Version: "v1", Kind: kind})
	err := v.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, o)
	return o, err
}

// Backup has Velero back up namespaces, or all if there are none, and waits until it has.
func (v *Velero) Backup(ctx context.Context, name, bucket string, namespaces []string) (*unstructured.Unstructured, error) {
	included := []any{}
	for _, ns := range namespaces {
		included = append(included, ns)
	}
	if len(included) == 0 {
		included = append(included, "*")
	}
	o := newObject("velero.io/v1", "Backup", Namespace, name, map[string]any{
		"storageLocation": bucket, "includedNamespaces": included, "snapshotVolumes": v.CSI, "csiSnapshotTimeout": "5m0s",
	})
	return v.run(ctx, o)
}

// Restore has Velero restore a backup, and waits until it has.
func (v *Velero) Restore(ctx context.Context, name, backup string) (*unstructured.Unstructured, error) {
	return v.run(ctx, newObject("velero.io/v1", "Restore", Namespace, name, map[string]any{"backupName": backup, "restorePVs": true}))
}

// Delete has Velero delete a backup, with the snapshots that it has taken, and waits until it has.
func (v *Velero) Delete(ctx context.Context, backup string) error {
	if _, err := v.Run(ctx, "backup", "delete", backup, "--confirm"); err != nil {
		return err
	}
	return poll(ctx, 3*time.Minute, "Velero deletes backup "+backup, func(ctx context.Context) (bool, error) {
		_, err := v.Get(ctx, "Backup", backup)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

// AwaitBackup waits until Velero has found a backup in its bucket.
func (v *Velero) AwaitBackup(ctx context.Context, name string) error {
	return poll(ctx, 3*time.Minute, "Velero finds backup "+name, func(ctx context.Context) (bool, error) {
		phase, err := v.phase(ctx, "Backup", name)
		return phase == "Completed", err
	})
}

func (v *Velero) run(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if err := v.Client.Create(ctx, o); err != nil {
		return nil, fmt.Errorf("create %s: %w", o.GetName(), err)
	}
	kind, name, phase := o.GetKind(), o.GetName(), ""
	err := poll(ctx, 20*time.Minute, "Velero's "+name+" ends", func(ctx context.Context) (bool, error) {
		var err error
		phase, err = v.phase(ctx, kind, name)
		return strings.HasPrefix(phase, "Failed") || phase == "Completed" || phase == "PartiallyFailed", err
	})
	if err != nil {
		return nil, err
	}
	if o, err = v.Get(ctx, kind, name); err == nil && phase != "Completed" {
		err = fmt.Errorf("the %s %s of Velero: %s: %v: see %s", kind, name, phase, o.Object["status"], v.Log())
	}
	return o, err
}

// PeakMemory is the most memory in bytes that the server and its plugins had resident, each at its own peak.
func (v *Velero) PeakMemory() (int64, error) {
	total, err := Peak(v.server.Process.Pid)
	if err != nil {
		return 0, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", v.server.Process.Pid))
	if err != nil {
		return 0, err
	}
	for _, text := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return 0, err
		}
		// A plugin may end at any moment.
		peak, err := Peak(pid)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
		total += peak
	}
	return total, nil
}

// Peak is the most memory in bytes that a process had resident so far.
func Peak(pid int) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmHWM", pid)
}

func poll(ctx context.Context, limit time.Duration, what string, done func(context.Context) (bool, error)) error {
	if err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, limit, true, done); err != nil {
		return fmt.Errorf("wait until %s: %w", what, err)
	}
	return nil
}
