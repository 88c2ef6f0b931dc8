//go:build lab

package test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mustPartition cuts two off from each other, until the end of the test at most.
func (l lab) mustPartition(t *testing.T, one, other string) {
	t.Helper()
	t.Cleanup(func() { l.must(t, "heal") })
	l.must(t, "partition", one, other)
}

// cutOffFrom is what "lab status" says that the cluster is cut off from.
func (l lab) cutOffFrom(t *testing.T) []string {
	t.Helper()
	var status struct{ CutOffFrom []string }
	if err := json.Unmarshal([]byte(l.must(t, "status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	return status.CutOffFrom
}

// reaches asks a service from a pod, and gives up after a time in which it would have answered.
func (c client) reaches(t *testing.T, url string) bool {
	t.Helper()
	out, err := c.exec(t.Context(), "box", "timeout", "3", "wget", "-q", "-O", "-", url)
	// It is ended by a signal while it waits. A refusal would end it at once, with another status.
	if err != nil && !strings.Contains(err.Error(), "143") {
		t.Errorf("%s: %v: %s", url, err, out)
	}
	return err == nil
}

func TestAPartitionStopsPodsFromReachingServices(t *testing.T) {
	l := shared.lab
	l.mustServe(t, "gcs", "s3", "fault")
	env := l.environment(t)
	gcs, s3, fault := env["GCS_INSIDE"]+"/storage/v1/b", env["S3_INSIDE"]+"/-/healthy", env["FAULT_GCS_INSIDE"]+"/storage/v1/b"
	c := newClient(t, l, "partition")
	c.mustRun(t, pod("box"))
	l.mustPartition(t, l.name, "gcs")
	if got := l.cutOffFrom(t); !slices.Equal(got, []string{"gcs"}) {
		t.Errorf("cut off from %v", got)
	}
	if out := l.must(t, "status"); !strings.Contains(out, "cut off     from gcs") {
		t.Errorf("status says %s", out)
	}
	if c.reaches(t, gcs) || !c.reaches(t, s3) || !c.reaches(t, fault) {
		t.Error("not just the one service is cut off")
	}
	mustAsk(t, http.StatusOK, http.MethodGet, env["GCS"]+"/storage/v1/b", "")
	l.must(t, "partition", "services", l.name)
	if c.reaches(t, s3) {
		t.Error("a pod reaches services that it is cut off from")
	}
	l.must(t, "heal", "services", l.name)
	if c.reaches(t, gcs) || !c.reaches(t, s3) {
		t.Error("not just the one cut is healed")
	}
	if out := l.must(t, "heal", "services", l.name); !strings.Contains(out, "nothing") {
		t.Errorf("the second heal says %q", out)
	}
	if out := l.must(t, "heal"); !strings.Contains(out, "gcs") || !c.reaches(t, gcs) {
		t.Errorf("heal says %q", out)
	}
	if got := l.cutOffFrom(t); len(got) > 0 {
		t.Errorf("cut off from %v after healing", got)
	}
}

func TestConnectionsStallWhileTheHostIsCutOff(t *testing.T) {
	l := shared.lab
	l.mustServe(t, "gcs")
	address := strings.TrimPrefix(l.environment(t)["GCS"], "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	// request sends one request and waits for the first line of the answer.
	request := func(patience time.Duration, send bool) error {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if send {
			if _, err := fmt.Fprintf(conn, "GET /storage/v1/b HTTP/1.1\r\nHost: %s\r\n\r\n", address); err != nil {
				return err
			}
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		_, err = bufio.NewReader(response.Body).ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		return nil
	}
	if err := request(5*time.Second, true); err != nil {
		t.Fatal(err)
	}
	l.mustPartition(t, "host", "gcs")
	if err := request(3*time.Second, true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("over a cut line came %v, want nothing", err)
	}
	l.must(t, "heal")
	// What was sent meanwhile arrives, on the same connection.
	if err := request(30*time.Second, false); err != nil {
		t.Errorf("after the line was healed came %v", err)
	}
}

func TestTheAPIServerIsOutOfReachOfTheHostOnly(t *testing.T) {
	l := shared.lab
	c := newClient(t, l, "unseen")
	c.mustRun(t, pod("box", running("sh", "-c", "while nc -w 20 kubernetes.default.svc 443 < /dev/null; do sleep 1; done")))
	l.mustPartition(t, l.name, "host")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := c.Discovery().RESTClient().Get().AbsPath("/livez").DoRaw(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the API server said %v, want nothing", err)
	}
	l.must(t, "heal", "host", l.name)
	eventually(t, patience, func(ctx context.Context) error {
		got, err := c.CoreV1().Pods(c.namespace).Get(ctx, "box", metav1.GetOptions{})
		if err == nil && got.Status.ContainerStatuses[0].RestartCount > 0 {
			t.Error("pods did not reach the API server")
		}
		return err
	})
}
