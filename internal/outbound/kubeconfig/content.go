package kubeconfig

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/content"
	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// A token for the reader is asked for with tokenLife, and anew once less than tokenLeft of it is left.
const (
	tokenLife = time.Hour
	tokenLeft = 5 * time.Minute
)

// maxReaders is how many connections to readers there are at once: each is one through the API server, too.
const maxReaders = 8

// readerToken is what the reader knows this server by. Its zero value has none.
type readerToken struct {
	mu   sync.Mutex // guards all below, and that one is asked for at a time
	text string
	ends time.Time
}

// Content implements catalogue.ClusterSession.
func (s *session) Content(identity string) http.RoundTripper {
	reader := &url.URL{Scheme: "https", Host: net.JoinHostPort(s.readerName(), fmt.Sprint(content.PortTLS))}
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		sent, err := s.request(r, identity, reader, wire.Readable)
		if err != nil {
			return nil, err
		}
		sent.Header.Set(wire.IdentityHeader, identity)
		for again := false; ; again = true {
			token, err := s.readerToken(r.Context())
			if err != nil {
				return nil, err
			}
			sent.Header.Set("Authorization", "Bearer "+token)
			answer, err := s.content.RoundTrip(sent)
			if err != nil {
				return nil, s.explain(err)
			}
			wire.Withhold(answer.Header)
			if answer.StatusCode != http.StatusUnauthorized {
				return answer, nil
			}
			// The ServiceAccount was made anew.
			s.token.forget(token)
			if again || r.ContentLength != 0 {
				return answer, nil
			}
			drain(answer.Body)
		}
	})
}

func (s *session) readerName() string { return content.Service + "." + s.info.Namespace + ".svc" }

func (t *readerToken) forget(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text == text {
		t.text = ""
	}
}

// readerToken is a token of the connector's ServiceAccount, for the reader and nobody else.
func (s *session) readerToken(ctx context.Context) (string, error) {
	t := &s.token
	t.mu.Lock()
	defer t.mu.Unlock()
	now := s.dialer.NowFunc()
	if t.text != "" && now.Before(t.ends.Add(-tokenLeft)) {
		return t.text, nil
	}
	life := int64(tokenLife / time.Second)
	made, err := s.client.CoreV1().ServiceAccounts(s.info.Namespace).CreateToken(ctx, content.Connector, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{content.Audience}, ExpirationSeconds: &life},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", s.contents(err, "create serviceaccounts/token of "+content.Connector)
	}
	t.text, t.ends = made.Status.Token, made.Status.ExpirationTimestamp.Time
	if last := now.Add(tokenLife); t.ends.After(last) {
		t.ends = last
	}
	return t.text, nil
}

// contents says what is to be allowed where the way to the reader is not.
func (s *session) contents(err error, right string) error {
	if !apierrors.IsForbidden(err) && coffer.CodeOf(err) != coffer.CodeForbidden {
		return s.explain(err)
	}
	refused := coffer.Errorf(coffer.CodeClusterNotReachable, "the kubeconfig of cluster %s does not lead to the extension's reader: its user may not %s in namespace %s",
		s.kubeconfig.Cluster.Name(), right, s.info.Namespace).
		WithHint("let it: the chart's ServiceAccount coffer-vault-server may, with connector.link=false")
	refused.Transient = true
	return refused
}

// contentTransport connects to the extension's reader. It reads the reader's authority for each connection, for that changes.
func (s *session) contentTransport() *http.Transport {
	return &http.Transport{
		DialTLSContext:  func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dialReader(ctx) },
		MaxConnsPerHost: maxReaders, MaxIdleConnsPerHost: 2, IdleConnTimeout: idleTime,
		DisableCompression: true, MaxResponseHeaderBytes: maxHead, ResponseHeaderTimeout: headTime,
	}
}

func (s *session) dialReader(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	published, err := s.client.CoreV1().ConfigMaps(s.info.Namespace).Get(ctx, content.AuthorityConfigMap, metav1.GetOptions{})
	if err != nil {
		return nil, s.contents(err, "get configmaps "+content.AuthorityConfigMap)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(published.Data[content.AuthorityField])) {
		return nil, notReachable(s.kubeconfig.Cluster, "the authority of the extension's reader is not in PEM")
	}
	pod, err := s.readerPod(ctx)
	if err != nil {
		return nil, err
	}
	config, err := s.pods(ctx)
	if err != nil {
		return nil, s.explain(err)
	}
	plain, err := s.dialer.DialPodFunc(ctx, config, s.info.Namespace, pod, content.PortTLS)
	if err != nil {
		return nil, s.contents(err, "create pods/portforward")
	}
	// What the API server carries is proved end to end.
	conn := tls.Client(plain, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: s.readerName(), NextProtos: []string{"http/1.1"}})
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, err
	}
	return conn, nil
}

// readerPod is one of the extension's pods that is ready.
func (s *session) readerPod(ctx context.Context) (string, error) {
	const most = 20
	found, err := s.client.CoreV1().Pods(s.info.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=coffer-extension", Limit: most})
	if err != nil {
		return "", s.contents(err, "list pods")
	}
	at := slices.IndexFunc(found.Items, func(p corev1.Pod) bool {
		return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	})
	if at < 0 {
		return "", notReachable(s.kubeconfig.Cluster, "no pod of the Backup extension is ready in namespace "+s.info.Namespace)
	}
	return found.Items[at].Name, nil
}
