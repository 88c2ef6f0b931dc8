package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Forbidden implements coffer.Cluster.
func (c *Cluster) Forbidden(ctx context.Context, verb, namespace string, types []coffer.GroupResource) ([]coffer.GroupResource, error) {
	all, err := c.may(ctx, verb, namespace, coffer.GroupResource{Group: "*", Resource: "*"})
	if all || err != nil {
		return nil, err
	}
	var forbidden []coffer.GroupResource
	for _, t := range types {
		allowed, err := c.may(ctx, verb, namespace, t)
		if err != nil {
			return nil, err
		}
		if !allowed {
			forbidden = append(forbidden, t)
		}
	}
	return forbidden, nil
}

func (c *Cluster) may(ctx context.Context, verb, namespace string, t coffer.GroupResource) (bool, error) {
	resource, sub, _ := strings.Cut(t.Resource, "/")
	review := authorizationv1.SelfSubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authorizationv1.SchemeGroupVersion.String(), Kind: "SelfSubjectAccessReview"},
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: t.Group, Resource: resource, Subresource: sub,
		}},
	}
	question, err := json.Marshal(review)
	if err != nil {
		return false, fmt.Errorf("encode an access review: %w", err)
	}
	answer, err := c.client.Post().AbsPath("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").
		SetHeader("Content-Type", "application/json").Body(question).Do(ctx).Raw()
	if err != nil {
		return false, fmt.Errorf("ask whether one may %s %s in namespace %q: %w", verb, t, namespace, err)
	}
	if err := json.Unmarshal(answer, &review); err != nil {
		return false, fmt.Errorf("read an access review: %w", err)
	}
	return review.Status.Allowed, nil
}
