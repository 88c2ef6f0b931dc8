package controller

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/ownership"
	"github.com/coffer-backup/coffer/internal/outbound/blob/filesystem"
)

// bench is a location, the container that it names, and what its reconciler works with.
type bench struct {
	container coffer.Container
	client    client.Client
	reconcile *locationReconciler
	keySeed   byte
}

func newBench(t *testing.T, spec v1alpha1.BackupStorageLocationSpec) *bench {
	t.Helper()
	root := t.TempDir()
	if err := filesystem.Create(root, "backups"); err != nil {
		t.Fatal(err)
	}
	container, err := filesystem.Open(root, "backups")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = container.Close() })
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b := &bench{container: container}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.BackupStorageLocation{}).WithObjects(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: "this"}},
		&v1alpha1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vault", UID: "l"}, Spec: spec},
	).Build()
	b.reconcile = &locationReconciler{
		log: slog.New(slog.DiscardHandler), events: events.NewFakeRecorder(100), metrics: NewMetrics(prometheus.NewRegistry()),
	}
	b.reconcile.Locations = &Locations{
		Client: b.client, Namespace: "ns",
		SigningKeyFunc: func(context.Context) (ed25519.PrivateKey, error) {
			return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b.keySeed}, ed25519.SeedSize)), nil
		},
		Open: func(context.Context, v1alpha1.BackupStorageLocationSpec) (coffer.Container, func(), error) {
			return b.container, func() {}, nil
		},
	}
	return b
}

func (b *bench) mustReconcile(t *testing.T) v1alpha1.BackupStorageLocation {
	t.Helper()
	key := types.NamespacedName{Namespace: "ns", Name: "vault"}
	if _, err := b.reconcile.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
		t.Fatal(err)
	}
	var l v1alpha1.BackupStorageLocation
	if err := b.client.Get(t.Context(), key, &l); err != nil {
		t.Fatal(err)
	}
	return l
}

func (b *bench) mustPut(t *testing.T, key, text string) {
	t.Helper()
	if _, err := b.container.Put(t.Context(), key, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) mustAnnotate(t *testing.T, key, value string) {
	t.Helper()
	l := b.mustReconcile(t)
	l.Annotations = map[string]string{key: value}
	if err := b.client.Update(t.Context(), &l); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) mustBeOwnedBy(t *testing.T, cluster string) {
	t.Helper()
	data, err := ownership.Encode(ownership.Owner{Cluster: cluster, Name: "prod-" + cluster, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.container.Put(t.Context(), ownership.Key, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
}

func TestACheckClaimsAndTries(t *testing.T) {
	b := newBench(t, v1alpha1.BackupStorageLocationSpec{})
	b.mustPut(t, "backups/a/manifest.json", "{}")
	b.mustPut(t, "backups/b/b.tar.gz", "unfinished")
	l := b.mustReconcile(t)
	s := l.Status
	if s.Phase != v1alpha1.StorageLocationAvailable || !s.Reachable || !s.Writable || s.Owner == nil || !s.Owner.Self || *s.RecoveryPoints != 1 {
		t.Errorf("status = %+v, want available, of this cluster, with 1 recovery point", s)
	}
	if _, err := b.container.Stat(t.Context(), "metadata/coffer-check-l"); !errors.Is(err, coffer.ErrBlobNotFound) {
		t.Errorf("the trial blob: Stat = %v, want none", err)
	}
	b.mustPut(t, "backups/c/manifest.json", "{}")
	if again := b.mustReconcile(t).Status; *again.RecoveryPoints != 1 || s.LastCountedTime == nil || !again.LastCountedTime.Equal(s.LastCountedTime) {
		t.Errorf("an ordinary check counted: %d at %v, before at %v", *again.RecoveryPoints, again.LastCountedTime, s.LastCountedTime)
	}
	b.mustAnnotate(t, v1alpha1.AnnotationCheck, "now")
	if s := b.mustReconcile(t).Status; *s.RecoveryPoints != 2 || s.LastHandledCheck != "now" {
		t.Errorf("status = %+v, want 2 recovery points and the request answered", s)
	}
}

func TestAnothersContainerIsUnavailableUntilItIsTakenOver(t *testing.T) {
	b := newBench(t, v1alpha1.BackupStorageLocationSpec{})
	b.mustBeOwnedBy(t, "other")
	s := b.mustReconcile(t).Status
	if s.Phase != v1alpha1.StorageLocationUnavailable || s.Reason != string(coffer.CodeLocationNotReady) || s.Owner == nil || s.Owner.Self || !s.Reachable || s.Writable {
		t.Fatalf("status = %+v, want unavailable with the other owner", s)
	}
	for _, text := range []string{"prod-other", "2026-01-02", "readOnly", "take-over"} {
		if !strings.Contains(s.Message, text) {
			t.Errorf("%q does not say %q", s.Message, text)
		}
	}
	b.mustAnnotate(t, v1alpha1.AnnotationTakeOver, "somebody else")
	if s := b.mustReconcile(t).Status; s.Phase != v1alpha1.StorageLocationUnavailable {
		t.Errorf("an order about somebody else was carried out: %+v", s)
	}
	b.mustAnnotate(t, v1alpha1.AnnotationTakeOver, "other")
	l := b.mustReconcile(t)
	if l.Status.Phase != v1alpha1.StorageLocationAvailable || !l.Status.Owner.Self || l.Annotations[v1alpha1.AnnotationTakeOver] != "" {
		t.Errorf("after the take-over: %v %+v", l.Annotations, l.Status)
	}
}

func TestAReadOnlyLocationIsNeverWrittenTo(t *testing.T) {
	b := newBench(t, v1alpha1.BackupStorageLocationSpec{ReadOnly: true})
	b.container = sealed{b.container}
	if s := b.mustReconcile(t).Status; s.Phase != v1alpha1.StorageLocationAvailable || s.Owner != nil {
		t.Errorf("status = %+v, want available and nobody's", s)
	}
	b.container = b.container.(sealed).Container
	b.mustBeOwnedBy(t, "other")
	b.container = sealed{b.container}
	if s := b.mustReconcile(t).Status; s.Phase != v1alpha1.StorageLocationAvailable || s.Owner == nil || s.Owner.Self {
		t.Errorf("status = %+v, want available and another's", s)
	}
}

func TestAStoreThatReplacesBlobsIsRefused(t *testing.T) {
	b := newBench(t, v1alpha1.BackupStorageLocationSpec{})
	b.container = careless{b.container}
	if s := b.mustReconcile(t).Status; s.Phase != v1alpha1.StorageLocationUnavailable || !strings.Contains(s.Message, "If-None-Match") {
		t.Errorf("status = %+v, want unavailable for want of If-None-Match", s)
	}
}

func TestAClockThatIsOffIsTold(t *testing.T) {
	b := newBench(t, v1alpha1.BackupStorageLocationSpec{})
	b.container = late{b.container}
	s := b.mustReconcile(t).Status
	if s.Phase != v1alpha1.StorageLocationAvailable || s.ClockSkew == nil || s.ClockSkew.Duration != -time.Hour || !strings.Contains(s.Message, "differ by 1h0m") {
		t.Errorf("status = %+v, want a skew of -1h", s)
	}
}

// sealed fails on every write.
type sealed struct{ coffer.Container }

// Put implements coffer.Container.
func (sealed) Put(context.Context, string, io.Reader) (int64, error) {
	return 0, errors.New("somebody wrote")
}

// Delete implements coffer.Container.
func (sealed) Delete(context.Context, string) error { return errors.New("somebody deleted") }

// careless replaces what is there.
type careless struct{ coffer.Container }

// Put implements coffer.Container.
func (c careless) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if err := c.Delete(ctx, key); err != nil {
		return 0, err
	}
	return c.Container.Put(ctx, key, r)
}

// late is of a store whose clock is an hour behind.
type late struct{ coffer.Container }

// ClockSkew implements coffer.Clocked.
func (late) ClockSkew() time.Duration { return -time.Hour }

func TestAReplacedSigningKeyIsToldUntilTheOldOneIsTrusted(t *testing.T) {
	b := newBench(t, v1alpha1.BackupStorageLocationSpec{Provider: v1alpha1.ProviderFilesystem, Container: "backups"})
	first := b.mustReconcile(t)
	if first.Status.Signer == "" || first.Status.PreviousSigner != "" || first.Status.Message != "" {
		t.Fatalf("status: %+v", first.Status)
	}
	b.keySeed = 1
	for range 2 {
		replaced := b.mustReconcile(t)
		s := replaced.Status
		if s.Signer == first.Status.Signer || s.PreviousSigner != first.Status.Signer || s.Phase != v1alpha1.StorageLocationAvailable ||
			!strings.Contains(s.Message, "coffer storage-location trust vault "+first.Status.Signer) {
			t.Fatalf("status: %+v", s)
		}
	}
	l := b.mustReconcile(t)
	l.Spec.TrustedSigners = []string{first.Status.Signer}
	if err := b.client.Update(t.Context(), &l); err != nil {
		t.Fatal(err)
	}
	if trusted := b.mustReconcile(t); trusted.Status.Message != "" || !meta.IsStatusConditionTrue(trusted.Status.Conditions, v1alpha1.ConditionAvailable) {
		t.Errorf("status: %+v", trusted.Status)
	}
}
