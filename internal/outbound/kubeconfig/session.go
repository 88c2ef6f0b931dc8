package kubeconfig

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/coffer-backup/coffer/api/content"
	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/kubeconfig"
)

var identityForm = regexp.MustCompile(wire.IdentityPattern)

// session is a way to a cluster by a kubeconfig.
type session struct {
	dialer     *Dialer
	kubeconfig catalogue.Kubeconfig
	access     kubeconfig.Access
	info       catalogue.ClusterInfo
	transport  *http.Transport
	content    *http.Transport
	client     kubernetes.Interface
	ended      chan struct{}
	once       sync.Once
	// doubted has something in it once the API server has refused the kubeconfig: whether that is so is looked at then.
	doubted chan struct{}
	token   readerToken
}

var _ catalogue.ClusterSession = (*session)(nil)

// Info implements catalogue.ClusterSession.
func (s *session) Info() catalogue.ClusterInfo { return s.info }

// Ended implements catalogue.ClusterSession.
func (s *session) Ended() <-chan struct{} { return s.ended }

// end makes the session one that is over. Requests that are under way go on to their ends.
func (s *session) end() {
	s.once.Do(func() { close(s.ended) })
	s.transport.CloseIdleConnections()
	s.content.CloseIdleConnections()
}

// over says that a session has ended: whoever asks for another one sees why.
func (s *session) over() error {
	select {
	case <-s.ended:
		return notReachable(s.kubeconfig.Cluster, "the way to it has ended")
	default:
		return nil
	}
}

func notReachable(cluster catalogue.ID, why string) *coffer.Error {
	err := coffer.Errorf(coffer.CodeClusterNotReachable, "cluster %s cannot be reached: %s", cluster.Name(), why).
		WithHint("see what the server says of it: coffer cluster show %s", cluster.Name())
	err.Transient = true
	return err
}

// alive asks the cluster whether it is there, and the same.
func (s *session) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	system, err := s.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !strings.EqualFold(string(system.UID), s.info.UID) {
		return coffer.Errorf(coffer.CodeJoinRefused, "another cluster answers at the kubeconfig's server")
	}
	return nil
}

// Kubernetes implements catalogue.ClusterSession.
func (s *session) Kubernetes(identity string) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		sent, err := s.request(r, identity, s.access.Server, wire.Useful)
		if err != nil {
			return nil, err
		}
		if s.access.Token != "" {
			sent.Header.Set("Authorization", "Bearer "+s.access.Token)
		}
		sent.Header.Set("Impersonate-User", "system:serviceaccount:"+s.info.VaultsNamespace+":"+identity)
		answer, err := s.transport.RoundTrip(sent)
		if err != nil {
			return nil, s.explain(err)
		}
		wire.Withhold(answer.Header)
		return s.impersonated(answer)
	})
}

// request is one of a vault as it is sent: what is not useful is not.
func (s *session) request(r *http.Request, identity string, to *url.URL, useful func(*http.Request) bool) (*http.Request, error) {
	refuse := func(err error) (*http.Request, error) {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	if !identityForm.MatchString(identity) {
		return refuse(fmt.Errorf("%q is not the identity of a vault", identity))
	}
	if !useful(r) {
		return refuse(coffer.Errorf(coffer.CodeForbidden, "vaults have no use for %s %s", r.Method, r.URL.Path))
	}
	if r.ContentLength > wire.MaxObject {
		return refuse(coffer.Errorf(coffer.CodeTooLarge, "the request is larger than %d bytes", wire.MaxObject))
	}
	if err := s.over(); err != nil {
		return refuse(err)
	}
	sent := r.Clone(r.Context())
	at := *to
	at.Path, at.RawPath, at.RawQuery = to.Path+r.URL.Path, "", r.URL.RawQuery
	sent.URL, sent.Host, sent.Header = &at, "", wire.PassedOn(r.Header)
	if sent.Body != nil && sent.Body != http.NoBody {
		sent.Body = http.MaxBytesReader(nil, sent.Body, wire.MaxObject)
	}
	return sent, nil
}

// impersonated is an answer to a vault, unless it is about the kubeconfig.
func (s *session) impersonated(answer *http.Response) (*http.Response, error) {
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		drain(answer.Body)
		select {
		case s.doubted <- struct{}{}:
		default:
		}
		return nil, s.explain(apierrors.NewUnauthorized("the kubeconfig"))
	case http.StatusForbidden:
		text, err := io.ReadAll(io.LimitReader(answer.Body, maxHead))
		_ = answer.Body.Close()
		if err != nil {
			return nil, s.explain(err)
		}
		if bytes.Contains(text, []byte("cannot impersonate")) {
			return nil, notReachable(s.kubeconfig.Cluster, "the kubeconfig's user may not impersonate ServiceAccounts in namespace "+s.info.VaultsNamespace).
				WithHint("let it: the chart's ServiceAccount coffer-vault-server may, with connector.link=false")
		}
		answer.Body = io.NopCloser(bytes.NewReader(text))
	}
	return answer, nil
}

// Consent implements catalogue.ClusterSession: nobody is in the cluster who could give it. This server's user may bind nobody, for RBAC cannot bound whom it
// would bind.
func (s *session) Consent(context.Context, string) error {
	return coffer.Errorf(coffer.CodeTrustedAccessMissing, "cluster %s has joined by a kubeconfig, which gives no vault access", s.kubeconfig.Cluster.Name()).
		WithHint("its owner does, with another kubeconfig: coffer trusted-access rolebinding approve")
}

// notes are what there is to know of the kubeconfig: how long it is good, what its user lacks, and what it has too much of.
func (s *session) notes(ctx context.Context) (notes []string) {
	if !s.access.Ends.IsZero() {
		notes = append(notes, fmt.Sprintf("The kubeconfig is good until %s. Before that, give the server another one: coffer cluster join %s --server-kubeconfig FILE",
			s.access.Ends.UTC().Format(time.RFC3339), s.kubeconfig.Cluster.Name()))
	}
	k := s.kubeconfig
	type right struct {
		authorizationv1.ResourceAttributes

		without string
	}
	rights := []right{
		{authorizationv1.ResourceAttributes{Namespace: k.VaultsNamespace, Verb: "impersonate", Resource: "serviceaccounts"}, "vaults can do nothing in the cluster"},
		{authorizationv1.ResourceAttributes{Namespace: k.Namespace, Verb: "list", Resource: "pods"}, noContents},
		{authorizationv1.ResourceAttributes{Namespace: k.Namespace, Verb: "create", Resource: "pods", Subresource: "portforward"}, noContents},
		{authorizationv1.ResourceAttributes{Namespace: k.Namespace, Verb: "get", Resource: "configmaps", Name: content.AuthorityConfigMap}, noContents},
		{authorizationv1.ResourceAttributes{Namespace: k.Namespace, Verb: "create", Resource: "serviceaccounts", Subresource: "token", Name: content.Connector}, noContents},
	}
	for _, r := range rights {
		if allowed, err := s.may(ctx, r.ResourceAttributes); err == nil && !allowed {
			notes = append(notes, fmt.Sprintf("The kubeconfig's user may not %s in namespace %s: %s.", spell(r.ResourceAttributes), r.Namespace, r.without))
		}
	}
	if all, err := s.may(ctx, authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"}); err == nil && all {
		notes = append(notes, "The kubeconfig's user may do everything in the cluster, and whoever has the vault's server in hand may with it: "+
			"better give the server one of the ServiceAccount coffer-vault-server.")
	}
	return notes
}

// noContents is what is missing without a way to the extension's reader.
const noContents = "what recovery points hold cannot be shown"

// spell is a right as kubectl auth can-i has it.
func spell(a authorizationv1.ResourceAttributes) string {
	words := a.Verb + " " + a.Resource
	if a.Subresource != "" {
		words += "/" + a.Subresource
	}
	if a.Name != "" {
		words += " " + a.Name
	}
	return words
}

func (s *session) may(ctx context.Context, a authorizationv1.ResourceAttributes) (bool, error) {
	review, err := s.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// final says that a cluster has answered, and will not be of use if it is asked once more.
func final(err error) bool {
	return apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) || coffer.CodeOf(err) == coffer.CodeJoinRefused
}
