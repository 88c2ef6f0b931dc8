package signingkey

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestReplicasAgreeOnOneKey(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	keys := make([][]byte, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			key, err := Ensure(t.Context(), c, "ns")
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	all.Wait()
	for _, key := range keys {
		if len(key) == 0 || !bytes.Equal(key, keys[0]) {
			t.Fatalf("the keys differ")
		}
	}
	var secret corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: SecretName}, &secret); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(secret.Data[publicField]), "ed25519:") {
		t.Errorf("the Secret's %s is %q", publicField, secret.Data[publicField])
	}
}

func TestADamagedKeyIsNeverReplaced(t *testing.T) {
	const rsa = "-----BEGIN PRIVATE KEY-----\nMEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCBkZWZnaGlqa2xtbm9w\n-----END PRIVATE KEY-----\n"
	for name, data := range map[string]map[string][]byte{
		"no field":    {"other": []byte("x")},
		"no PEM":      {privateField: []byte("secret stuff")},
		"another PEM": {privateField: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")},
		"another key": {privateField: []byte(rsa)},
	} {
		t.Run(name, func(t *testing.T) {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: SecretName}, Data: data}
			c := fake.NewClientBuilder().WithObjects(secret).Build()
			_, err := Ensure(t.Context(), c, "ns")
			if coffer.CodeOf(err) != coffer.CodeSigningKeyUnusable || !strings.Contains(err.Error(), "ns/coffer-signing-key") {
				t.Fatalf("Ensure = %v", err)
			}
			if strings.Contains(err.Error(), "secret stuff") {
				t.Errorf("the error shows what the Secret holds: %v", err)
			}
			var after corev1.Secret
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(secret), &after); err != nil || len(after.Data) != len(data) || after.Data[publicField] != nil {
				t.Errorf("the Secret was touched: %v", err)
			}
		})
	}
}
