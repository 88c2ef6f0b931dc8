//go:build lab

package test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	readyLimit  = 60 * time.Second
	memoryLimit = 1288490188 // 1.2 GiB
)

func TestUpIsReadyInTimeAndModestInMemory(t *testing.T) {
	if shared.upTime > readyLimit {
		t.Errorf("lab up took %s, want at most %s", shared.upTime, readyLimit)
	}
	var status struct {
		Components []struct{ Name, State string }
		Total      struct{ RssBytes, PssBytes int64 }
	}
	if err := json.Unmarshal([]byte(shared.lab.must(t, "status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	if len(status.Components) != 16 {
		t.Errorf("%d components, want 16", len(status.Components))
	}
	for _, component := range status.Components {
		if component.State != "running" {
			t.Errorf("%s is %s", component.Name, component.State)
		}
	}
	t.Logf("up in %s, %d MiB (%d MiB counting shared pages in each process)", shared.upTime.Round(time.Second/10), status.Total.PssBytes>>20, status.Total.RssBytes>>20)
	if status.Total.PssBytes > memoryLimit || status.Total.PssBytes == 0 {
		t.Errorf("the cluster occupies %d bytes, want at most %d", status.Total.PssBytes, memoryLimit)
	}
}

func TestPodsRunWithExecAndLogs(t *testing.T) {
	c := newClient(t, shared.lab, "pods")
	c.mustRun(t, pod("box", running("sh", "-c", "echo it began; exec sleep 100000")))
	if got := c.mustLogs(t, "box"); got != "it began\n" {
		t.Errorf("log %q", got)
	}
	if got := c.mustExec(t, "box", "echo", "hello"); got != "hello" {
		t.Errorf("exec said %q", got)
	}
	if _, err := c.exec(t.Context(), "box", "false"); err == nil {
		t.Error("exec of false succeeded")
	}
}

func TestServicesAnswerByName(t *testing.T) {
	c := newClient(t, shared.lab, "services")
	serve := "mkdir /www; echo found > /www/index.html; exec httpd -f -p 8080 -h /www"
	c.mustRun(t, pod("web", running("sh", "-c", serve)))
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "web"},
		Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
	}}
	if _, err := c.CoreV1().Services(c.namespace).Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.mustRun(t, pod("client"))
	for _, from := range []string{"client", "web"} {
		for _, host := range []string{"shop", "shop.services.svc.cluster.local"} {
			eventually(t, 20*time.Second, func(ctx context.Context) error {
				got, err := c.exec(ctx, from, "wget", "-q", "-O", "-", "http://"+host)
				if err == nil && got != "found" {
					err = fmt.Errorf("%s answers %q", host, got)
				}
				return err
			})
		}
	}
	// The API server, at its Service's name.
	c.mustExec(t, "client", "sh", "-c", "nc -w 5 kubernetes.default.svc 443 < /dev/null")
	if out, err := c.exec(t.Context(), "client", "nslookup", "nowhere.example.com"); err == nil {
		t.Errorf("a name outside the cluster was found: %s", out)
	}
}

func TestHostPathsWork(t *testing.T) {
	c := newClient(t, shared.lab, "hostpath")
	folder := t.TempDir()
	c.mustRun(t, pod("box", func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: folder}}}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "host", MountPath: "/host"}}
	}))
	c.mustExec(t, "box", "sh", "-c", "echo written > /host/file")
	if got := c.mustExec(t, "box", "cat", "/host/file"); got != "written" {
		t.Errorf("read %q", got)
	}
}

func TestPostgresRunsFromTheMachinesPackage(t *testing.T) {
	c := newClient(t, shared.lab, "postgres")
	out := shared.lab.must(t, "image", "build", "postgres", "-o", imageFile("postgres"))
	tag, _, _ := strings.Cut(out, " ")
	if !strings.Contains(out, "is up to date") {
		t.Errorf("the image was made a second time: %s", out)
	}
	c.mustClaim(t, claim("data", "300Mi"))
	user := int64(999)
	c.mustRun(t, pod("db", withVolume("data", corev1.PersistentVolumeFilesystem), func(p *corev1.Pod) {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &user, RunAsGroup: &user, FSGroup: &user}
		container := &p.Spec.Containers[0]
		container.Image, container.Command = tag, nil
		container.Env = []corev1.EnvVar{{Name: "POSTGRES_PASSWORD", Value: "secret"}, {Name: "PGDATA", Value: "/data/pg"}, {Name: "POSTGRES_DB", Value: "shop"}}
		container.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"pg_isready", "-U", "postgres"}}}}
	}))
	c.mustExec(t, "db", "psql", "-U", "postgres", "-d", "shop", "-c", "create table t as select generate_series(1, 1000) as n")
	if got := c.mustExec(t, "db", "psql", "-U", "postgres", "-d", "shop", "-tA", "-c", "select sum(n) from t"); got != "500500" {
		t.Errorf("the sum is %q", got)
	}
}
