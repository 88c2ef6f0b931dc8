//go:build lab

package test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func onNode(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeName = name }
}

func ofNode(name, claim string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { onNode(name)(p); withVolume(claim, corev1.PersistentVolumeFilesystem)(p) }
}

// TestAClusterOfTwoNodes has one story, for such a cluster is dear.
func TestAClusterOfTwoNodes(t *testing.T) {
	// In the folder of the shared cluster, beside it.
	l := lab{root: shared.lab.root, name: uniqueName("m")}
	before := mustRead(t, l)
	t.Cleanup(func() { l.must(t, "down") })
	l.must(t, "up", "--nodes", "2")
	l.must(t, "image", "load", imageFile("toolbox"))
	one, two := l.name+"-1", l.name+"-2"
	c := newClient(t, l, "nodes")
	serve := running("sh", "-c", "mkdir /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www")
	c.mustRun(t, pod("box", onNode(one)))
	c.mustRun(t, pod("web", onNode(two), serve))

	t.Run("pods of both are reached", func(t *testing.T) {
		if got := c.mustExec(t, "web", "hostname"); got != "web" {
			t.Errorf("exec said %q", got)
		}
		c.mustExec(t, "box", "wget", "-q", "-O", "-", "http://"+c.podIP(t, "web")+":8080")
		c.mustExec(t, "web", "ping", "-c", "1", "-W", "5", c.podIP(t, "box"))
		eventually(t, patience, func(ctx context.Context) error {
			_, err := c.exec(ctx, "web", "sh", "-c", "nc -w 5 kubernetes.default.svc 443 < /dev/null")
			return err
		})
	})
	t.Run("services are reached from both", func(t *testing.T) {
		l.mustServe(t, "gcs")
		url := l.environment(t)["GCS_INSIDE"] + "/storage/v1/b"
		for _, name := range []string{"box", "web"} {
			c.mustExec(t, name, "wget", "-q", "-O", "-", url)
		}
		l.mustPartition(t, l.name, "services")
		for _, name := range []string{"box", "web"} {
			if out, err := c.exec(t.Context(), name, "timeout", "3", "wget", "-q", "-O", "-", url); err == nil {
				t.Errorf("%s reaches a service that it is cut off from: %s", name, out)
			}
		}
	})
	t.Run("a volume moves", func(t *testing.T) {
		c.mustClaim(t, claim("data", "320Mi"))
		c.mustRun(t, pod("writer", ofNode(two, "data")))
		c.mustExec(t, "writer", "sh", "-c", "echo moved > /data/file && sync")
		if err := c.CoreV1().Pods(c.namespace).Delete(t.Context(), "writer", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		c.mustRun(t, pod("reader", ofNode(one, "data")))
		if got := c.mustExec(t, "reader", "cat", "/data/file"); got != "moved" {
			t.Errorf("read %q", got)
		}
	})
	t.Run("clusters are cut off from each other", func(t *testing.T) {
		for _, from := range []string{l.name, l.name + ".2"} {
			if err := reachesAPIServer(t, from, shared.lab); err != nil {
				t.Errorf("before: %v", err)
			}
		}
		l.mustPartition(t, shared.lab.name, l.name)
		for _, from := range []string{l.name, l.name + ".2"} {
			if err := reachesAPIServer(t, from, shared.lab); err == nil || !strings.Contains(err.Error(), "timed out") {
				t.Errorf("from %s over a cut line came %v", from, err)
			}
		}
		c.mustExec(t, "box", "true")
	})
	t.Run("a node fails and comes back", func(t *testing.T) {
		address := "http://" + c.podIP(t, "web") + ":8080"
		l.must(t, "kill", "node-2")
		l.mustRefuse(t, []string{"node-2", "lab start"}, "kill", "node-2")
		for _, name := range []string{"kubelet-2", "containerd-2", "kube-proxy-2", "csi-driver-2", "csi-driver-nosnap-2"} {
			if got := l.state(t, name); got != "dead" {
				t.Errorf("%s is %s", name, got)
			}
		}
		if got := l.state(t, "kubelet"); got != "running" {
			t.Errorf("the kubelet of the first node is %s", got)
		}
		if out, err := c.exec(t.Context(), "box", "timeout", "3", "wget", "-q", "-O", "-", address); err == nil {
			t.Errorf("a pod of a failed node answers: %s", out)
		}
		l.must(t, "start", "node-2")
		eventually(t, 2*time.Minute, func(ctx context.Context) error {
			web, err := c.CoreV1().Pods(c.namespace).Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if status := web.Status.ContainerStatuses[0]; !status.Ready || status.RestartCount == 0 {
				return fmt.Errorf("the pod is %+v", status.State)
			}
			return nil
		})
		c.mustRun(t, pod("after", onNode(two)))
	})
	l.must(t, "down")
	l.mustBeClean(t, before)
}

// reachesAPIServer asks from a network namespace for the API server of another cluster.
func reachesAPIServer(t *testing.T, from string, of lab) error {
	t.Helper()
	addresses, err := exec.Command("ip", "-n", "coffer-lab-"+of.name, "-4", "-o", "address", "show", "dev", "node0").Output()
	if err != nil {
		t.Fatal(err)
	}
	address, _, _ := strings.Cut(strings.Fields(string(addresses))[3], "/")
	out, err := exec.Command("nsenter", "--net=/run/netns/coffer-lab-"+from, "bash", "-c",
		"timeout 3 bash -c '</dev/tcp/"+address+"/6443' || { [ $? = 124 ] && echo timed out; false; }").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (c client) podIP(t *testing.T, name string) string {
	t.Helper()
	got, err := c.CoreV1().Pods(c.namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Status.PodIP
}

func TestDownAfterUpOfTwoNodesWasKilledHalfway(t *testing.T) {
	for _, point := range []string{".2, node", "containerd-2", "kubelet-2"} {
		t.Run("after "+point, func(t *testing.T) { killedUp(t, point, 0, "--nodes", "2") })
	}
	left, err := filepath.Glob("/run/netns/coffer-lab-" + uniqueName("k") + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v (%v)", left, err)
	}
}
