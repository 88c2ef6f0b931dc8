package portforward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// newAPIServer is an API server that speaks SPDY only, and a pod that does with a connection what serve does; what it returns
// is the pod's complaint.
func newAPIServer(t *testing.T, serve func(data httpstream.Stream) string) *rest.Config {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/namespaces/there/pods/pod/portforward" || r.Header.Get("Authorization") != "Bearer me" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if r.Method == http.MethodGet {
			http.Error(w, "no WebSockets here", http.StatusBadRequest)
			return
		}
		if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
			t.Error(err)
			return
		}
		streams := make(chan httpstream.Stream, 2)
		connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			streams <- s
			return nil
		})
		defer connection.Close()
		problems, data := <-streams, <-streams
		if problems.Headers().Get(corev1.StreamType) != corev1.StreamTypeError || data.Headers().Get(corev1.StreamType) != corev1.StreamTypeData || data.Headers().Get(corev1.PortHeader) != "8082" {
			t.Errorf("%v, %v", problems.Headers(), data.Headers())
		}
		if complaint := serve(data); complaint != "" {
			_, _ = io.WriteString(problems, complaint)
		}
		_ = problems.Close()
		_ = data.Close()
		<-connection.CloseChan()
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL, BearerToken: "me"}
}

func TestWhatIsSentArrivesAndIsAnswered(t *testing.T) {
	answer := strings.Repeat("0123456789", 100_000)
	config := newAPIServer(t, func(data httpstream.Stream) string {
		question := make([]byte, 5)
		if _, err := io.ReadFull(data, question); err != nil || string(question) != "hello" {
			t.Errorf("%q, %v", question, err)
		}
		_, _ = io.WriteString(data, answer)
		return ""
	})
	c, err := Dial(t.Context(), config, "there", "pod", 8082)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != answer {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
}

func TestThePodsComplaintIsTold(t *testing.T) {
	config := newAPIServer(t, func(httpstream.Stream) string { return "dial tcp4 127.0.0.1:8082: connect: connection refused" })
	c, err := Dial(t.Context(), config, "there", "pod", 8082)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); err == nil || len(got) > 0 || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestARefusalIsTold(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		status     int
		code       coffer.Code
		says       string
	}{
		{"forbidden", `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"pods \"pod\" is forbidden: User \"me\" cannot create resource \"pods/portforward\""}`,
			http.StatusForbidden, coffer.CodeForbidden, "cannot create resource"},
		{"a pod that is gone", `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"pods \"pod\" not found"}`,
			http.StatusNotFound, "", `pods "pod" not found`},
		{"a proxy", "go away", http.StatusBadGateway, "", "go away"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tt.status)
				_, _ = fmt.Fprint(w, tt.body)
			}))
			defer server.Close()
			_, err := Dial(t.Context(), &rest.Config{Host: server.URL}, "there", "pod", 8082)
			if err == nil || coffer.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v (%s), want %s with %q", err, coffer.CodeOf(err), tt.code, tt.says)
			}
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer server.Close()
	defer close(stop)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, &rest.Config{Host: server.URL}, "there", "pod", 8082); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestCloseEndsAReadThatWaits(t *testing.T) {
	config := newAPIServer(t, func(data httpstream.Stream) string {
		_, _ = io.Copy(io.Discard, data)
		return ""
	})
	c, err := Dial(t.Context(), config, "there", "pod", 8082)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-read:
		if err == nil {
			t.Error("there was something to read")
		}
	case <-time.After(20 * time.Second):
		t.Error("the read goes on")
	}
}
