//go:build lab

package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// components is what "lab status" says of each component.
func (l lab) components(t *testing.T) map[string]componentStatus {
	t.Helper()
	var status struct{ Components []componentStatus }
	if err := json.Unmarshal([]byte(l.must(t, "status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	byName := map[string]componentStatus{}
	for _, c := range status.Components {
		byName[c.Name] = c
	}
	return byName
}

type componentStatus struct {
	Name  string
	State string
	PID   int
}

func (l lab) state(t *testing.T, component string) string {
	t.Helper()
	return l.components(t)[component].State
}

// mustKill kills a component and starts it again with the test, so that the shared cluster is whole for the next one.
func (l lab) mustKill(t *testing.T, component string) (restart func()) {
	t.Helper()
	l.must(t, "kill", component)
	if got := l.state(t, component); got != "dead" {
		t.Errorf("%s is %s after it was killed", component, got)
	}
	restart = func() {
		t.Helper()
		if l.state(t, component) == "dead" {
			l.must(t, "start", component)
		}
		if got := l.state(t, component); got != "running" {
			t.Errorf("%s is %s after it was started", component, got)
		}
	}
	t.Cleanup(func() {
		// The test itself may have ended the cluster.
		if _, err := os.Stat(filepath.Join(l.root, l.name)); err == nil {
			restart()
		}
	})
	return restart
}

func TestAKilledAPIServerComesBackOnlyWhenAsked(t *testing.T) {
	c := newClient(t, shared.lab, "apiserver")
	c.mustRun(t, pod("before"))
	restart := shared.lab.mustKill(t, "kube-apiserver")
	// Whatever would restart it would do so within this time; all the while it must not answer.
	deadline, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for deadline.Err() == nil {
		if _, err := c.Discovery().RESTClient().Get().AbsPath("/livez").DoRaw(deadline); err == nil {
			t.Fatal("the API server answers although it was killed")
		}
	}
	if got := shared.lab.state(t, "kube-apiserver"); got != "dead" {
		t.Errorf("the API server is %s", got)
	}
	restart()
	// The address for the host is still the same, what was there still is, and new pods run.
	if _, err := c.CoreV1().Pods(c.namespace).Get(t.Context(), "before", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	c.mustRun(t, pod("after"))
}

func TestTheClusterSurvivesTheEndOfEtcd(t *testing.T) {
	c := newClient(t, shared.lab, "etcd")
	c.mustRun(t, pod("before"))
	restart := shared.lab.mustKill(t, "etcd")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err := c.CoreV1().ConfigMaps(c.namespace).Delete(ctx, "any", metav1.DeleteOptions{})
	if err == nil || apierrors.IsNotFound(err) {
		t.Errorf("a write without etcd ended with %v", err)
	}
	restart()
	eventually(t, patience, func(ctx context.Context) error {
		_, err := c.CoreV1().Pods(c.namespace).Get(ctx, "before", metav1.GetOptions{})
		return err
	})
	c.mustRun(t, pod("after"))
}

func TestPodsOutliveTheirKubeletAndRuntime(t *testing.T) {
	for _, component := range []string{"kubelet", "containerd"} {
		t.Run(component, func(t *testing.T) {
			c := newClient(t, shared.lab, "without-"+component)
			count := "n=0; while :; do n=$((n+1)); echo $n > /www/index.html; sleep 0.1; done"
			c.mustRun(t, pod("web", running("sh", "-c", "mkdir /www; httpd -p 8080 -h /www; "+count)))
			c.mustRun(t, pod("client"))
			web, err := c.CoreV1().Pods(c.namespace).Get(t.Context(), "web", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			began := web.Status.ContainerStatuses[0].State.Running.StartedAt
			restart := shared.lab.mustKill(t, component)
			restart()
			eventually(t, patience, func(ctx context.Context) error {
				out, err := c.exec(ctx, "client", "wget", "-q", "-O", "-", "http://"+web.Status.PodIP+":8080")
				if err == nil && out == "" {
					err = errors.New("the pod says nothing")
				}
				return err
			})
			after, err := c.CoreV1().Pods(c.namespace).Get(t.Context(), "web", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			status := after.Status.ContainerStatuses[0]
			if status.RestartCount != 0 || status.State.Running == nil || !status.State.Running.StartedAt.Equal(&began) {
				t.Errorf("the pod was restarted: %+v", status)
			}
			c.mustRun(t, pod("after"))
		})
	}
}

func TestEveryComponentCanBeKilledAndStarted(t *testing.T) {
	for _, component := range []string{"kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns", "forwarder",
		"csi-driver", "csi-driver-nosnap", "csi-provisioner", "csi-provisioner-nosnap", "csi-snapshotter", "csi-resizer", "snapshot-controller"} {
		shared.lab.mustKill(t, component)()
	}
	// All of them are needed for this.
	c := newClient(t, shared.lab, "restarted")
	c.mustClaim(t, claim("data", "320Mi"))
	c.mustRun(t, pod("box", withVolume("data", "Filesystem")))
	c.mustSnapshot(t, "snap", "data")
	c.mustBeReady(t, "snap")
	eventually(t, patience, func(ctx context.Context) error {
		out, err := c.exec(ctx, "box", "nslookup", "kubernetes.default.svc.cluster.local")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}
