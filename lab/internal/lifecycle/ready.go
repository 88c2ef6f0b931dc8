package lifecycle

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/component"
	"github.com/coffer-backup/coffer/lab/internal/object"
	"github.com/coffer-backup/coffer/lab/internal/tool"
)

// condition is something that must hold before the cluster can be used, and the component to look at if it does not.
type condition struct {
	name      string
	component string
	// missing returns what is not there yet, "" if nothing.
	missing func(ctx context.Context, client kubernetes.Interface) (string, error)
}

// needsSnapshotKinds are the components that, without the definitions, wait ever longer between tries.
var needsSnapshotKinds = map[string]bool{component.SnapshotController: true, component.Snapshotter: true}

// waitReady starts the components that need the API server, brings in the lab's objects, and waits until pods can run
// and have volumes.
func waitReady(ctx context.Context, c *cluster.Cluster, specs []component.Spec, progress *progress) error {
	client, objects, err := connect(c)
	if err != nil {
		return err
	}
	kindsServed := make(chan struct{})
	all, ctx := errgroup.WithContext(ctx)
	for _, spec := range specs {
		all.Go(func() error {
			if needsSnapshotKinds[spec.Name] {
				select {
				case <-kindsServed:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return startAndWait(ctx, c, spec, progress)
		})
	}
	all.Go(func() error {
		definitions, err := tool.Run(ctx, filepath.Join(c.BinDir, "lab-storage"), "crds")
		if err != nil {
			return err
		}
		if err := object.Apply(ctx, objects, c.Mode, []byte(definitions)); err != nil {
			return err
		}
		close(kindsServed)
		progress.step("snapshot kinds and storage classes")
		return nil
	})
	for _, condition := range conditions(c) {
		all.Go(func() error { return await(ctx, c, client, condition, progress) })
	}
	return all.Wait()
}

func startAndWait(ctx context.Context, c *cluster.Cluster, spec component.Spec, progress *progress) error {
	if _, err := component.Start(c, spec); err != nil {
		return err
	}
	if err := component.WaitHealthy(ctx, c, spec); err != nil {
		return err
	}
	progress.step("%s", spec.Name)
	return nil
}

func connect(c *cluster.Cluster) (kubernetes.Interface, dynamic.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, nil, fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return client, objects, nil
}

func conditions(c *cluster.Cluster) []condition {
	accounts := condition{"service accounts", component.ControllerManager, func(ctx context.Context, client kubernetes.Interface) (string, error) {
		if _, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return "the default service account is not there", err
		}
		return "", nil
	}}
	if c.Mode == cluster.ControlPlaneOnly {
		return []condition{accounts}
	}
	all := []condition{accounts}
	for _, node := range c.Nodes() {
		all = append(all, nodeConditions(node)...)
	}
	return all
}

func nodeConditions(n cluster.Node) []condition {
	return []condition{
		{"node " + n.Name() + " ready", n.Suffixed(component.Kubelet), func(ctx context.Context, client kubernetes.Interface) (string, error) {
			node, err := client.CoreV1().Nodes().Get(ctx, n.Name(), metav1.GetOptions{})
			if err != nil {
				return "the node has not registered", err
			}
			return nodeMissing(node), nil
		}},
		{"volume drivers of " + n.Name() + " registered", n.Suffixed(component.Driver), func(ctx context.Context, client kubernetes.Interface) (string, error) {
			node, err := client.StorageV1().CSINodes().Get(ctx, n.Name(), metav1.GetOptions{})
			if err != nil || len(node.Spec.Drivers) < 2 {
				return "the node does not know the volume drivers", err
			}
			return "", nil
		}},
	}
}

// nodeMissing is why the node cannot take pods yet, "" if it can.
func nodeMissing(node *corev1.Node) string {
	for _, have := range node.Status.Conditions {
		if have.Type != corev1.NodeReady {
			continue
		}
		if have.Status != corev1.ConditionTrue {
			return "the node is not ready: " + have.Message
		}
		if len(node.Spec.Taints) > 0 {
			return "the node still has the taint " + node.Spec.Taints[0].Key
		}
		return ""
	}
	return "the node has not said how it is"
}

func await(ctx context.Context, c *cluster.Cluster, client kubernetes.Interface, condition condition, progress *progress) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		missing, err := condition.missing(ctx, client)
		if err == nil && missing == "" {
			progress.step("%s", condition.name)
			return nil
		}
		select {
		case <-ctx.Done():
			if err != nil && missing != "" {
				err = fmt.Errorf("%s: %w", missing, err)
			} else if err == nil {
				err = fmt.Errorf("%s", missing)
			}
			return component.Fault(c, condition.component, err)
		case <-ticker.C:
		}
	}
}
