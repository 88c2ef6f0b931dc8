// Package signingkey keeps the key that an extension signs its recovery points with, in a Secret of its namespace.
package signingkey

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

const (
	// SecretName is the name of the Secret.
	SecretName = "coffer-signing-key"
	// privateField holds the private key in PEM (PKCS #8), as `openssl genpkey -algorithm ed25519` writes it.
	privateField = "private.pem"
	// publicField holds the public key as locations list it, for people: it is never read.
	publicField = "signer"
	pemType     = "PRIVATE KEY"
)

// Ensure reads the key of a namespace, and makes one if there is no Secret. A Secret that does not hold a key is an
// Error with CodeSigningKeyUnusable: a new key in its place would make strangers of all earlier recovery points.
// It may be called concurrently, also by several replicas: the first one's key is everybody's.
func Ensure(ctx context.Context, c client.Client, namespace string) (ed25519.PrivateKey, error) {
	var secret corev1.Secret
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: SecretName}, &secret)
	if apierrors.IsNotFound(err) {
		return create(ctx, c, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("get Secret %s/%s: %w", namespace, SecretName, err)
	}
	return parse(secret)
}

func create(ctx context.Context, c client.Client, namespace string) (ed25519.PrivateKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode the signing key: %w", err)
	}
	secret := corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SecretName, Labels: map[string]string{"app.kubernetes.io/managed-by": "coffer"}},
		Data: map[string][]byte{
			privateField: pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}),
			publicField:  []byte(recoverypoint.SignerText(public)),
		},
	}
	err = c.Create(ctx, &secret)
	if apierrors.IsAlreadyExists(err) {
		return Ensure(ctx, c, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("create Secret %s/%s: %w", namespace, SecretName, err)
	}
	return private, nil
}

func parse(secret corev1.Secret) (ed25519.PrivateKey, error) {
	unusable := func(why string) error {
		return coffer.Errorf(coffer.CodeSigningKeyUnusable, "Secret %s/%s %s", secret.Namespace, secret.Name, why).
			WithHint("put the key back from a copy; or delete the Secret to have a new key made: " +
				"what the old one has signed is then refused until you trust it with `coffer storage-location trust`")
	}
	text := secret.Data[privateField]
	if len(text) == 0 {
		return nil, unusable("has no field " + privateField)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return nil, unusable("field " + privateField + " is not a private key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, unusable("field " + privateField + " is not a private key in PKCS #8")
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, unusable("field " + privateField + " is not an Ed25519 key")
	}
	return private, nil
}
