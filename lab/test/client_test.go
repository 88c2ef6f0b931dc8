//go:build lab

package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"
)

const (
	toolbox  = "localhost/coffer/toolbox:1"
	patience = 60 * time.Second
)

// client speaks to a cluster in one namespace, which is the test's own.
type client struct {
	kubernetes.Interface
	dynamic   dynamic.Interface
	config    *rest.Config
	namespace string
}

// newClient makes a namespace. In the shared cluster it is deleted with the test, so that pods do not pile up.
func newClient(t *testing.T, l lab, namespace string) client {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(l.must(t, "kubeconfig")))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	c := client{Interface: typed, dynamic: untyped, config: config, namespace: namespace}
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := c.CoreV1().Namespaces().Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if l == shared.lab {
		t.Cleanup(func() {
			if err := c.CoreV1().Namespaces().Delete(context.Background(), namespace, metav1.DeleteOptions{}); err != nil {
				t.Errorf("delete namespace %s: %v", namespace, err)
			}
		})
	}
	eventually(t, patience, func(ctx context.Context) error {
		_, err := c.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	return c
}

// pod is a pod that sleeps, with modifications.
func pod(name string, modify ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64),
			Containers:                    []corev1.Container{{Name: "main", Image: toolbox, Command: []string{"sleep", "100000"}}},
		},
	}
	for _, f := range modify {
		f(p)
	}
	return p
}

func running(command ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Command = command }
}

// withVolume mounts a claim at /data, or puts it at /dev/data if it is a block volume.
func withVolume(claim string, mode corev1.PersistentVolumeMode) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		source := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: source})
		container := &p.Spec.Containers[0]
		if mode == corev1.PersistentVolumeBlock {
			container.VolumeDevices = append(container.VolumeDevices, corev1.VolumeDevice{Name: claim, DevicePath: "/dev/data"})
			return
		}
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: claim, MountPath: "/data"})
	}
}

func (c client) mustRun(t *testing.T, p *corev1.Pod) {
	t.Helper()
	if _, err := c.CoreV1().Pods(c.namespace).Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func(ctx context.Context) error {
		got, err := c.CoreV1().Pods(c.namespace).Get(ctx, p.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range got.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("pod %s is %s: %s", p.Name, got.Status.Phase, c.lastEvent(ctx, p.Name))
	})
}

func (c client) lastEvent(ctx context.Context, name string) string {
	events, err := c.CoreV1().Events(c.namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
	if err != nil || len(events.Items) == 0 {
		return "no event"
	}
	return events.Items[len(events.Items)-1].Message
}

// exec runs a command in a pod and returns its trimmed output.
func (c client) exec(ctx context.Context, name string, command ...string) (string, error) {
	request := c.CoreV1().RESTClient().Post().Resource("pods").Namespace(c.namespace).Name(name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(c.config, "GET", request.URL().String())
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}); err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

func (c client) mustExec(t *testing.T, name string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := c.exec(ctx, name, command...)
	if err != nil {
		t.Fatalf("%s in %s: %v", strings.Join(command, " "), name, err)
	}
	return out
}

func (c client) mustLogs(t *testing.T, name string) string {
	t.Helper()
	stream, err := c.CoreV1().Pods(c.namespace).GetLogs(name, &corev1.PodLogOptions{}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	content, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// claim is a claim of the default class, with modifications.
func claim(name, size string, modify ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	p := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}},
		},
	}
	for _, f := range modify {
		f(p)
	}
	return p
}

func block(p *corev1.PersistentVolumeClaim) {
	mode := corev1.PersistentVolumeBlock
	p.Spec.VolumeMode = &mode
}

func ofClass(class string) func(*corev1.PersistentVolumeClaim) {
	return func(p *corev1.PersistentVolumeClaim) { p.Spec.StorageClassName = &class }
}

func fromSnapshot(name string) func(*corev1.PersistentVolumeClaim) {
	group := "snapshot.storage.k8s.io"
	return func(p *corev1.PersistentVolumeClaim) {
		p.Spec.DataSource = &corev1.TypedLocalObjectReference{APIGroup: &group, Kind: "VolumeSnapshot", Name: name}
	}
}

func (c client) mustClaim(t *testing.T, p *corev1.PersistentVolumeClaim) {
	t.Helper()
	if _, err := c.CoreV1().PersistentVolumeClaims(c.namespace).Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (c client) mustBind(t *testing.T, name string) {
	t.Helper()
	eventually(t, patience, func(ctx context.Context) error {
		got, err := c.CoreV1().PersistentVolumeClaims(c.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got.Status.Phase != corev1.ClaimBound {
			return fmt.Errorf("claim %s is %s: %s", name, got.Status.Phase, c.lastEvent(ctx, name))
		}
		return nil
	})
}
