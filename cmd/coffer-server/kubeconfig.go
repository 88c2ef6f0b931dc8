package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	decide "github.com/coffer-backup/coffer/internal/decide/kubeconfig"
	"github.com/coffer-backup/coffer/internal/inbound/connector"
	"github.com/coffer-backup/coffer/internal/outbound/kubeconfig"
	"github.com/coffer-backup/coffer/internal/outbound/portforward"
)

// networks are what this server may dial by kubeconfigs.
func (o linkOptions) networks() (all decide.Networks, err error) {
	for _, text := range o.kubeconfigNetworks {
		network, err := netip.ParsePrefix(text)
		if err == nil && network != network.Masked() {
			err = errors.New("it has bits beyond its length")
		}
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig-networks: %q is not a network such as 10.20.0.0/16: %w", text, err)
		}
		all = append(all, network)
	}
	return all, nil
}

// dialer reaches clusters by kubeconfigs; nil if this server dials none.
func (o linkOptions) dialer() (*kubeconfig.Dialer, error) {
	networks, err := o.networks()
	if err != nil || len(networks) == 0 {
		return nil, err
	}
	return &kubeconfig.Dialer{Networks: networks, HelloFunc: greetCluster, DialPodFunc: dialPod, NowFunc: time.Now}, nil
}

// greetCluster asks a cluster what its connector would say of it: this server is in the connector's place.
func greetCluster(ctx context.Context, client kubernetes.Interface, k catalogue.Kubeconfig) (wire.Hello, error) {
	return connector.Cluster{
		Client: client, Namespace: k.Namespace, VaultsNamespace: k.VaultsNamespace, Version: version,
	}.Hello(ctx)
}

func dialPod(ctx context.Context, config *rest.Config, namespace, pod string, port int) (net.Conn, error) {
	return portforward.Dial(ctx, config, namespace, pod, port)
}
