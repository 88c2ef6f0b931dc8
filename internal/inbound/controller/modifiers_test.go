package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestResourceModifiersAreReadFromTheirConfigMap(t *testing.T) {
	b := newBench(t, v1alpha1.BackupStorageLocationSpec{})
	l := &Locations{Client: b.client, Namespace: "ns"}
	ref := v1alpha1.NamespacedReference{Namespace: "other", Name: "rules"}
	if _, err := l.ResourceModifiers(t.Context(), ref); coffer.CodeOf(err) != coffer.CodeModifierNotFound {
		t.Errorf("without one: %v", err)
	}
	if err := b.client.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "rules"}, Data: map[string]string{"a": "b"}}); err != nil {
		t.Fatal(err)
	}
	if data, err := l.ResourceModifiers(t.Context(), ref); err != nil || data["a"] != "b" {
		t.Errorf("%v, %v", data, err)
	}
}
