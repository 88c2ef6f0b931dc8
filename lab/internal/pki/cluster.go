package pki

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
)

// The names of certificates that components are configured with.
const (
	CA             = "ca"
	FrontProxyCA   = "front-proxy-ca"
	FrontProxy     = "front-proxy"
	APIServer      = "kube-apiserver"
	KubeletClient  = "kube-apiserver-kubelet-client"
	Local          = "local"
	Admin          = "admin"
	Kubelet        = "kubelet" // of the first node; the others have theirs with their numbers
	ServiceAccount = "service-account"
	// ControllerManager, Scheduler and Proxy are also the names of the users' kubeconfigs, like Admin and Kubelet.
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Proxy             = "kube-proxy"
)

// administrators is the group that RBAC lets do everything.
const administrators = "system:masters"

// Write issues every certificate of the cluster and the kubeconfigs that use them.
func Write(c *cluster.Cluster, now time.Time) error {
	folder := c.Path("pki")
	authority, err := NewAuthority(folder, CA, now)
	if err != nil {
		return err
	}
	frontProxy, err := NewAuthority(folder, FrontProxyCA, now)
	if err != nil {
		return err
	}
	if err := frontProxy.Issue(folder, Request{Name: FrontProxy, User: FrontProxy}, now); err != nil {
		return err
	}
	if _, err := WriteKey(c.Key(ServiceAccount)); err != nil {
		return err
	}
	for _, request := range requests(c) {
		if err := authority.Issue(folder, request, now); err != nil {
			return err
		}
	}
	users := []string{Admin, ControllerManager, Scheduler, Proxy}
	for _, node := range c.Nodes() {
		users = append(users, node.Suffixed(Kubelet))
	}
	for _, user := range users {
		if err := writeKubeconfig(c, authority, user, c.InnerServer(), c.InnerKubeconfig(user)); err != nil {
			return err
		}
	}
	return writeKubeconfig(c, authority, Admin, c.HostServer(), c.Kubeconfig())
}

func requests(c *cluster.Cluster) []Request {
	loopback := []string{"127.0.0.1", "localhost"}
	service := []string{cluster.ServiceIP, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + cluster.Domain}
	all := []Request{
		{Name: APIServer, User: APIServer, Hosts: append(append([]string{c.NodeIP()}, loopback...), service...)},
		{Name: KubeletClient, User: KubeletClient, Groups: []string{administrators}},
		{Name: Local, User: Local, Hosts: loopback},
		{Name: Admin, User: "lab-admin", Groups: []string{administrators}},
		{Name: ControllerManager, User: "system:kube-controller-manager"},
		{Name: Scheduler, User: "system:kube-scheduler"},
		{Name: Proxy, User: "system:kube-proxy"},
	}
	for _, node := range c.Nodes() {
		all = append(all, Request{Name: node.Suffixed(Kubelet), User: "system:node:" + node.Name(), Groups: []string{"system:nodes"}, Hosts: []string{node.IP(), node.Name()}})
	}
	return all
}

// writeKubeconfig embeds the credentials, so that the file can be copied.
func writeKubeconfig(c *cluster.Cluster, authority *Authority, user, server, path string) error {
	certificate, err := os.ReadFile(c.Certificate(user))
	if err != nil {
		return fmt.Errorf("read the certificate of %s: %w", user, err)
	}
	key, err := os.ReadFile(c.Key(user))
	if err != nil {
		return fmt.Errorf("read the key of %s: %w", user, err)
	}
	name := "lab-" + c.Name
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: authority.PEM}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user}
	config.CurrentContext = name
	content, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode kubeconfig %s: %w", filepath.Base(path), err)
	}
	return cluster.WriteFile(path, content, 0o600)
}
