// Package accessreview has the API server say who somebody is, and whether a vault may read something.
package accessreview

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/api/link"
)

// Reviewer asks. Its methods may be called concurrently.
type Reviewer struct {
	Client kubernetes.Interface
	// Namespace is the extension's, and VaultsNamespace the one of vaults' identities.
	Namespace, VaultsNamespace string
}

var identities = regexp.MustCompile(link.IdentityPattern)

// Connector answers whether a token is the connector's, made for the extension.
func (r Reviewer) Connector(ctx context.Context, token string) (bool, error) {
	review, err := r.Client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{content.Audience}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("have a token reviewed: %w", err)
	}
	s := review.Status
	// An API server that knows no audiences answers none: then the token may be for anybody.
	return s.Authenticated && s.Error == "" && slices.Contains(s.Audiences, content.Audience) &&
		s.User.Username == "system:serviceaccount:"+r.Namespace+":"+content.Connector, nil
}

// Allowed answers whether the cluster's RBAC lets a vault get a subresource of the extension's namespace.
func (r Reviewer) Allowed(ctx context.Context, identity, resource, subresource string) (bool, error) {
	if !identities.MatchString(identity) {
		return false, nil
	}
	review, err := r.Client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + r.VaultsNamespace + ":" + identity,
			// As the API server gives them to a ServiceAccount that asks itself.
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + r.VaultsNamespace, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: r.Namespace, Verb: "get", Group: v1alpha1.Group, Resource: resource, Subresource: subresource,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask whether %s may get %s/%s: %w", identity, resource, subresource, err)
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}
