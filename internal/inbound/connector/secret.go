package connector

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// SecretName is the Secret that Credentials are kept in, in the extension's namespace.
const SecretName = "coffer-link"

// The fields of that Secret.
const (
	fieldKey          = "tls.key"
	fieldCertificate  = "tls.crt"
	fieldAuthority    = "ca.crt"
	fieldAddress      = "server"
	fieldCluster      = "cluster"
	fieldToken        = "joined-by"
	fieldPendingKey   = "joining.key"
	fieldPendingToken = "joining-by"
)

// SecretStore keeps Credentials in a Secret. It implements Store.
type SecretStore struct {
	// Client reads past any cache.
	Client    client.Client
	Namespace string
}

// Load implements Store.
func (s SecretStore) Load(ctx context.Context) (Credentials, error) {
	var secret corev1.Secret
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: SecretName}, &secret)
	if apierrors.IsNotFound(err) {
		return Credentials{}, nil
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("get Secret %s/%s: %w", s.Namespace, SecretName, err)
	}
	d := secret.Data
	return Credentials{
		Key: d[fieldKey], Certificate: d[fieldCertificate], Authority: d[fieldAuthority], Address: string(d[fieldAddress]), Cluster: string(d[fieldCluster]),
		Token: string(d[fieldToken]), PendingKey: d[fieldPendingKey], PendingToken: string(d[fieldPendingToken]), Version: secret.ResourceVersion,
	}, nil
}

// Save implements Store.
func (s SecretStore) Save(ctx context.Context, c Credentials) (Credentials, error) {
	secret := corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: SecretName},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{},
	}
	var err error
	write := func() error { return s.Client.Create(ctx, &secret) }
	if c.Version != "" {
		// Its labels are those of who made it. That it was changed since it was read is refused by the version.
		if err = s.Client.Get(ctx, client.ObjectKeyFromObject(&secret), &secret); err != nil {
			return c, fmt.Errorf("get Secret %s/%s: %w", s.Namespace, SecretName, err)
		}
		secret.ResourceVersion, secret.Data = c.Version, map[string][]byte{}
		write = func() error { return s.Client.Update(ctx, &secret) }
	}
	for name, value := range map[string][]byte{
		fieldKey: c.Key, fieldCertificate: c.Certificate, fieldAuthority: c.Authority, fieldAddress: []byte(c.Address), fieldCluster: []byte(c.Cluster),
		fieldToken: []byte(c.Token), fieldPendingKey: c.PendingKey, fieldPendingToken: []byte(c.PendingToken),
	} {
		if len(value) > 0 {
			secret.Data[name] = value
		}
	}
	if err := write(); err != nil {
		return c, fmt.Errorf("write Secret %s/%s: %w", s.Namespace, SecretName, err)
	}
	c.Version = secret.ResourceVersion
	return c, nil
}
