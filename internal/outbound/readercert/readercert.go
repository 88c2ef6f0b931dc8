// Package readercert keeps the certificate of the extension's reader, in a Secret of its namespace, and tells the connector by
// which certificates it may be known, in a ConfigMap.
package readercert

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/content"
)

// SecretName is the name of the Secret.
const SecretName = "coffer-reader-tls" //nolint:gosec // The name of a Secret.

const (
	keyField = corev1.TLSPrivateKeyKey
	// certField holds the certificate, which is its own authority, and previousField the one before it: other replicas may serve
	// with that for a while.
	certField     = corev1.TLSCertKey
	previousField = "previous.crt"

	validity = 90 * 24 * time.Hour
	// renewal is how long before its end a certificate is replaced.
	renewal = 30 * 24 * time.Hour
	// checkInterval is how often the Secret is read again: a replica that does not renew takes up what another has.
	checkInterval = 10 * time.Minute
	// skew is how far the clocks of others may be behind.
	skew = time.Hour
)

// Keeper keeps the certificate. Its methods may be called concurrently; Client reads past any cache.
type Keeper struct {
	Client    client.Client
	Namespace string
	// NowFunc is the clock.
	NowFunc func() time.Time
	Log     *slog.Logger

	mu   sync.Mutex // guards what follows
	cert *tls.Certificate
}

// GetCertificate is for tls.Config.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cert == nil {
		return nil, errors.New("the reader's certificate is not there yet")
	}
	return k.cert, nil
}

// Start keeps the certificate until ctx ends. It implements manager.Runnable.
func (k *Keeper) Start(ctx context.Context) error {
	pause := time.Second
	for {
		if err := k.Ensure(ctx); err == nil {
			pause = checkInterval
		} else if ctx.Err() == nil {
			k.Log.Warn("the reader's certificate is not kept", "error", err)
			pause = min(max(pause, time.Second)*2, time.Minute)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// NeedLeaderElection says that every replica serves.
func (*Keeper) NeedLeaderElection() bool { return false }

// Ensure makes the certificate if there is none, replaces it before its end, publishes it, and takes it up: what is served is in
// the ConfigMap before it is served.
func (k *Keeper) Ensure(ctx context.Context) error {
	var secret corev1.Secret
	err := k.Client.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: SecretName}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return k.create(ctx)
	case err != nil:
		return fmt.Errorf("get Secret %s/%s: %w", k.Namespace, SecretName, err)
	}
	cert, err := tls.X509KeyPair(secret.Data[certField], secret.Data[keyField])
	if err != nil || !cert.Leaf.NotAfter.After(k.NowFunc().Add(renewal)) || cert.Leaf.NotBefore.After(k.NowFunc()) {
		return k.renew(ctx, &secret)
	}
	return k.take(ctx, secret, cert)
}

func (k *Keeper) create(ctx context.Context) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: SecretName, Labels: managed()},
		Type:       corev1.SecretTypeOpaque, Data: map[string][]byte{},
	}
	if err := k.fill(secret); err != nil {
		return err
	}
	if err := k.Client.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create Secret %s/%s: %w", k.Namespace, SecretName, err)
	} else if err != nil {
		// Another replica was first: its certificate is everybody's, from the next look on.
		return fmt.Errorf("secret %s/%s was made by another replica: %w", k.Namespace, SecretName, err)
	}
	return k.taken(ctx, *secret)
}

func (k *Keeper) renew(ctx context.Context, secret *corev1.Secret) error {
	previous := secret.Data[certField]
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	if err := k.fill(secret); err != nil {
		return err
	}
	delete(secret.Data, previousField)
	if x509.NewCertPool().AppendCertsFromPEM(previous) {
		secret.Data[previousField] = previous
	}
	// The resource version has it fail if another replica was first.
	if err := k.Client.Update(ctx, secret); err != nil {
		return fmt.Errorf("renew Secret %s/%s: %w", k.Namespace, SecretName, err)
	}
	k.Log.Info("the reader's certificate was renewed")
	return k.taken(ctx, *secret)
}

func (k *Keeper) taken(ctx context.Context, secret corev1.Secret) error {
	cert, err := tls.X509KeyPair(secret.Data[certField], secret.Data[keyField])
	if err != nil {
		return fmt.Errorf("read the reader's certificate: %w", err)
	}
	return k.take(ctx, secret, cert)
}

// take publishes a certificate and then serves with it.
func (k *Keeper) take(ctx context.Context, secret corev1.Secret, cert tls.Certificate) error {
	text := string(bytes.Join([][]byte{bytes.TrimSpace(secret.Data[certField]), bytes.TrimSpace(secret.Data[previousField])}, []byte("\n")))
	if err := k.publish(ctx, text); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cert = &cert
	return nil
}

func (k *Keeper) publish(ctx context.Context, text string) error {
	var published corev1.ConfigMap
	err := k.Client.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: content.AuthorityConfigMap}, &published)
	if err == nil && published.Data[content.AuthorityField] == text {
		return nil
	}
	published.ObjectMeta = metav1.ObjectMeta{
		Namespace: k.Namespace, Name: content.AuthorityConfigMap, Labels: managed(), ResourceVersion: published.ResourceVersion,
	}
	published.Data = map[string]string{content.AuthorityField: text}
	switch {
	case apierrors.IsNotFound(err):
		err = k.Client.Create(ctx, &published)
	case err == nil:
		err = k.Client.Update(ctx, &published)
	}
	if err != nil {
		return fmt.Errorf("publish the reader's certificate in ConfigMap %s/%s: %w", k.Namespace, content.AuthorityConfigMap, err)
	}
	return nil
}

func managed() map[string]string { return map[string]string{"app.kubernetes.io/managed-by": "coffer"} }

// fill puts a new key and its certificate into a Secret.
func (k *Keeper) fill(secret *corev1.Secret) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the reader's key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fmt.Errorf("make the reader's certificate: %w", err)
	}
	host := content.Service + "." + k.Namespace
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: content.Service},
		NotBefore: k.NowFunc().Add(-skew), NotAfter: k.NowFunc().Add(validity),
		DNSNames: []string{content.Service, host, host + ".svc", host + ".svc.cluster.local"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("make the reader's certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the reader's key: %w", err)
	}
	secret.Data[certField] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret.Data[keyField] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return nil
}
