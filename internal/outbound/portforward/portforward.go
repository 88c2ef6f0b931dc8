// Package portforward connects to a port of a pod through the API server.
package portforward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Dial connects to a port on the loopback interface of a pod, over WebSockets or, for an API server that cannot, SPDY.
// Nothing listens on this machine: what passes is for the caller alone. Whom the API server refuses gets an Error with
// CodeForbidden; that nobody listens on the port is told by the first read.
func Dial(ctx context.Context, config *rest.Config, namespace, pod string, port int) (*Conn, error) {
	dialer, err := newDialer(config, namespace, pod)
	if err != nil {
		return nil, err
	}
	type dialled struct {
		connection httpstream.Connection
		err        error
	}
	// The dialers take no context. One that is late closes what nobody waits for any more.
	answer := make(chan dialled, 1)
	go func() {
		connection, protocol, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		if err == nil && protocol != portforward.PortForwardProtocolV1Name {
			err = errors.Join(fmt.Errorf("the API server answered with protocol %q", protocol), connection.Close())
		}
		answer <- dialled{connection, err}
	}()
	select {
	case <-ctx.Done():
		go func() {
			if late := <-answer; late.err == nil {
				_ = late.connection.Close()
			}
		}()
		return nil, ctx.Err()
	case d := <-answer:
		if d.err != nil {
			return nil, explain(d.err, namespace, pod)
		}
		return open(d.connection, port)
	}
}

func newDialer(config *rest.Config, namespace, pod string) (httpstream.Dialer, error) {
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("prepare port-forward: %w", err)
	}
	url := client.RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, fmt.Errorf("prepare port-forward: %w", err)
	}
	byPost := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	bySocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(url, config)
	if err != nil {
		return nil, fmt.Errorf("prepare port-forward: %w", err)
	}
	return portforward.NewFallbackDialerForStreaming(bySocket, byPost, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

func explain(err error, namespace, pod string) error {
	// The answer to a refused upgrade comes as text only.
	if strings.Contains(err.Error(), " is forbidden: ") {
		return coffer.Errorf(coffer.CodeForbidden, "forward a port of pod %s/%s: %w", namespace, pod, err)
	}
	return fmt.Errorf("forward a port of pod %s/%s: %w", namespace, pod, err)
}

// open opens the two streams that one connection to a port takes.
func open(connection httpstream.Connection, port int) (*Conn, error) {
	header := http.Header{}
	header.Set(corev1.StreamType, corev1.StreamTypeError)
	header.Set(corev1.PortHeader, strconv.Itoa(port))
	header.Set(corev1.PortForwardRequestIDHeader, "0")
	problems, err := connection.CreateStream(header)
	if err == nil {
		// Nothing is written to this one.
		err = problems.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a stream to the pod: %w", err), connection.Close())
	}
	header.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := connection.CreateStream(header)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a stream to the pod: %w", err), connection.Close())
	}
	return newConn(connection, data, problems), nil
}
