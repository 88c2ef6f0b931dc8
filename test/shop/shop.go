// Package shop is the application that the demo and the tests back up, destroy and restore: a web front and a
// PostgreSQL database with rows that can be counted and compared.
package shop

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/internal/coffer"
)

//go:embed shop.yaml
var manifest string

//go:embed hooks.yaml
var hooks string

// Images that the shop runs from; both are in the node's image store.
type Images struct {
	Postgres string
	Toolbox  string
}

// Shop is one instance of the application in one namespace.
type Shop struct {
	Client    client.Client
	Cluster   coffer.Cluster
	Namespace string
}

// Deploy creates the shop and waits until it is ready.
func (s Shop) Deploy(ctx context.Context, images Images) error {
	text := strings.NewReplacer("__NAMESPACE__", s.Namespace, "__POSTGRES__", images.Postgres, "__TOOLBOX__", images.Toolbox).Replace(manifest)
	if err := Apply(ctx, s.Client, text); err != nil {
		return err
	}
	return s.AwaitReady(ctx)
}

// DeployHooks creates the hooks that quiesce the database and open it again, in namespace default.
func DeployHooks(ctx context.Context, c client.Client) error { return Apply(ctx, c, hooks) }

// Apply creates the objects of a YAML text. Those that exist are left as they are. A namespace is waited for until Pods can be made in it.
func Apply(ctx context.Context, c client.Client, text string) error {
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	for {
		var object unstructured.Unstructured
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read manifest: %w", err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if err := c.Create(ctx, &object); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if object.GetKind() == "Namespace" {
			if err := awaitDefaultAccount(ctx, c, object.GetName()); err != nil {
				return err
			}
		}
	}
}

// awaitDefaultAccount waits for the ServiceAccount without which the API server refuses every Pod of a namespace; a controller makes it.
func awaitDefaultAccount(ctx context.Context, c client.Client, namespace string) error {
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "default"}, new(corev1.ServiceAccount))
		return err == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("wait for the default ServiceAccount of namespace %s: %w", namespace, err)
	}
	return nil
}

// AwaitReady waits until the database and the web front are ready, up to five minutes.
func (s Shop) AwaitReady(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 300*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		var set appsv1.StatefulSet
		var web appsv1.Deployment
		// The API server may be away for a moment.
		last = errors.Join(
			s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: "db"}, &set),
			s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: "web"}, &web))
		return last == nil && set.Status.ReadyReplicas == 1 && web.Status.ReadyReplicas == 1, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the shop in %s to be ready: %w", s.Namespace, errors.Join(err, last))
	}
	return nil
}

// Fill puts rows into the database.
func (s Shop) Fill(ctx context.Context, rows int) error {
	_, err := s.SQL(ctx, fmt.Sprintf(
		`CREATE TABLE orders AS SELECT id, md5(id::text) AS item, (id * 7919) %% 100000 AS cents FROM generate_series(1, %d) AS id`, rows))
	return err
}

// Digest is the number of rows and a checksum over all of them: COUNT|MD5.
func (s Shop) Digest(ctx context.Context) (string, error) {
	return s.SQL(ctx, `SELECT count(*), md5(string_agg(id || ':' || item || ':' || cents, ',' ORDER BY id)) FROM orders`)
}

// SQL runs one statement in the database and answers what psql printed, unaligned and without headings.
func (s Shop) SQL(ctx context.Context, statement string) (string, error) {
	return s.Exec(ctx, "db-0", "postgres", "psql", "-U", "postgres", "-d", "shop", "-v", "ON_ERROR_STOP=1", "-Atc", statement)
}

// Exec runs a command in a container and answers what it printed.
func (s Shop) Exec(ctx context.Context, pod, container string, command ...string) (string, error) {
	result, err := s.Cluster.Exec(ctx, coffer.Exec{Namespace: s.Namespace, Pod: pod, Container: container, Command: command, Timeout: time.Minute})
	output := strings.TrimSpace(result.Output)
	switch {
	case err != nil:
		return output, err
	case result.TimedOut || result.ExitCode != 0:
		return output, fmt.Errorf("%s in %s/%s: exit code %d, timed out: %v: %s", command[0], s.Namespace, pod, result.ExitCode, result.TimedOut, output)
	}
	return output, nil
}

// Destroy deletes the namespace and waits until it is gone, up to five minutes.
func (s Shop) Destroy(ctx context.Context) error {
	if err := s.Delete(ctx); err != nil {
		return err
	}
	return s.AwaitGone(ctx)
}

// Delete begins to delete the namespace. Its pods and claims go at once: Kubernetes looks at a namespace five seconds after it was
// deleted, and, where a claim still waits for its pod then, not again for eight more.
func (s Shop) Delete(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace}}
	if err := s.Client.Delete(ctx, namespace); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete namespace %s: %w", s.Namespace, err)
	}
	err := errors.Join(
		s.Client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(s.Namespace), client.GracePeriodSeconds(1)),
		s.Client.DeleteAllOf(ctx, &corev1.PersistentVolumeClaim{}, client.InNamespace(s.Namespace)))
	if err != nil {
		return fmt.Errorf("delete the pods and claims of namespace %s: %w", s.Namespace, err)
	}
	return nil
}

// AwaitGone waits until the namespace is gone, up to five minutes.
func (s Shop) AwaitGone(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace}}
	var last error
	err := wait.PollUntilContextTimeout(ctx, 300*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		last = s.Client.Get(ctx, client.ObjectKeyFromObject(namespace), namespace)
		return apierrors.IsNotFound(last), nil
	})
	if err != nil {
		return fmt.Errorf("wait for namespace %s to be gone: %w; it is %+v", s.Namespace, errors.Join(err, last), namespace.Status)
	}
	return nil
}
