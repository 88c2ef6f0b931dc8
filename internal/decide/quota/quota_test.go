package quota_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/quota"
)

func TestQuotasAreReadAsTheFlagHasThem(t *testing.T) {
	for _, tt := range []struct {
		words string
		want  quota.Quotas
		err   string
	}{
		{"", quota.Quotas{}, ""},
		{"none", quota.Quotas{}, ""},
		{"aks", quota.Quotas{Backups: 10, Restores: 10, Namespaces: 800, Instances: 5000, Policies: 5000}, ""},
		{"aks,restores=20, policies=0", quota.Quotas{Backups: 10, Restores: 20, Namespaces: 800, Instances: 5000}, ""},
		{"restores=20,aks", quota.AKS(), ""},
		{"on-demand-backups=1,namespaces=2,instances=3", quota.Quotas{Backups: 1, Namespaces: 2, Instances: 3}, ""},
		{"aks,none", quota.Quotas{}, ""},
		{"azure", quota.Quotas{}, `"azure" is no quota: write aks, none, or one of on-demand-backups, restores, namespaces, instances, policies with a number`},
		{"restores", quota.Quotas{}, `"restores" is no quota`},
		{"restores=-1", quota.Quotas{}, `"restores=-1" is no quota`},
		{"restores=2.5", quota.Quotas{}, "is no quota"},
		{"restores=99999999999", quota.Quotas{}, "is no quota"},
		{"aks=1", quota.Quotas{}, "is no quota"},
	} {
		var words []string
		if tt.words != "" {
			words = strings.Split(tt.words, ",")
		}
		got, err := quota.Parse(words)
		if again, err := quota.Parse(got.Words()); err != nil || again != got {
			t.Errorf("%q: written as %v, and read as %+v, %v", tt.words, got.Words(), again, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %v (-want +got):\n%s", tt.words, err, diff)
		}
	}
}

func TestAVaultHasTighterQuotasOnly(t *testing.T) {
	for _, tt := range []struct {
		name                string
		server, vault, most int
		raise               string
	}{
		{"neither has one", 0, 0, 0, ""},
		{"the server's", 10, 0, 10, "coffer-server --quotas restores=NUMBER"},
		{"a tighter one of the vault", 10, 3, 3, "properties.coffer.quotas.restoresPerDay"},
		{"one that is not tighter", 10, 20, 10, "coffer-server --quotas restores=NUMBER"},
		{"the vault's alone", 0, 20, 20, "properties.coffer.quotas.restoresPerDay"},
	} {
		b := quota.Tighter(quota.Restores, quota.Quotas{Restores: tt.server}, quota.Quotas{Restores: tt.vault})
		err := b.Check(tt.most, "shop", time.Now())
		var coded *coffer.Error
		if b.Most != tt.most || (err == nil) != (tt.raise == "") || errors.As(err, &coded) && !strings.Contains(coded.Hint, tt.raise) {
			t.Errorf("%s: %+v, %+v", tt.name, b, coded)
		}
	}
}

func TestWhatIsBeyondAQuotaIsRefused(t *testing.T) {
	// It is Monday already where the clock is, and the day that counts is the one of UTC.
	now := time.Date(2026, 11, 23, 1, 30, 0, 0, time.FixedZone("", 2*3600))
	tight := quota.Quotas{Backups: 2, Restores: 2, Namespaces: 2, Instances: 2, Policies: 2}
	for _, tt := range []struct {
		kind          quota.Kind
		message, hint string
	}{
		{quota.Backups, "the backup instance x has begun 2 on-demand backups since 2026-11-22T00:00:00Z, and its quota is 2 a day (UTC)",
			"the next is possible from 2026-11-23T00:00:00Z on; who runs the server can change it: coffer-server --quotas on-demand-backups=NUMBER"},
		{quota.Restores, "the backup instance x has begun 2 restores since 2026-11-22T00:00:00Z, and its quota is 2 a day (UTC)",
			"the next is possible from 2026-11-23T00:00:00Z on; who runs the server can change it: coffer-server --quotas restores=NUMBER"},
		{quota.Instances, "the Backup vault x holds 2 backup instances, and its quota is 2",
			"delete one that is not needed, or use another vault; who runs the server can change it: coffer-server --quotas instances=NUMBER"},
		{quota.Policies, "the Backup vault x holds 2 backup policies, and its quota is 2",
			"delete one that is not needed, or use another vault; who runs the server can change it: coffer-server --quotas policies=NUMBER"},
	} {
		b := quota.Tighter(tt.kind, tight, quota.Quotas{})
		if err := b.Check(1, "x", now); err != nil {
			t.Errorf("the last place: %v", err)
		}
		var coded *coffer.Error
		if err := b.Check(2, "x", now); !errors.As(err, &coded) || coded.Code != coffer.CodeQuotaReached || coded.Message != tt.message || coded.Hint != tt.hint {
			t.Errorf("%+v, want %s; %s", coded, tt.message, tt.hint)
		}
	}
	b := quota.Tighter(quota.Namespaces, tight, quota.Quotas{})
	for _, tt := range []struct {
		names, before int
		refused       bool
	}{{2, 0, false}, {3, 0, true}, {3, 2, true}, {3, 3, false}, {3, 4, false}, {5, 4, true}, {0, 0, false}} {
		if err := b.CheckNamespaces(tt.names, tt.before, "x"); (coffer.CodeOf(err) == coffer.CodeQuotaReached) != tt.refused {
			t.Errorf("%d namespaces after %d: %v", tt.names, tt.before, err)
		}
	}
}

func TestQuotasOfAVaultAreReadInTheSameWords(t *testing.T) {
	three, none := 3, 0
	got, err := quota.ParseOwn([]string{"restores=3", "policies=0"})
	if diff := cmp.Diff(&arm.Quotas{RestoresPerDay: &three, PoliciesPerVault: &none}, got); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
	for _, word := range []string{"aks", "none", "restores", "x=1"} {
		if got, err := quota.ParseOwn([]string{word}); err == nil || strings.Contains(err.Error(), "write aks") {
			t.Errorf("%s: %+v, %v", word, got, err)
		}
	}
}

func TestTheQuotasOfAVaultAreShownAsTheyWereSet(t *testing.T) {
	n := func(i int) *int { return &i }
	q := quota.Quotas{Backups: 1, Policies: 5}.With(&arm.Quotas{OnDemandBackupsPerDay: n(3), RestoresPerDay: n(4), PoliciesPerVault: n(0)})
	if want := (quota.Quotas{Backups: 3, Restores: 4}); q != want || q.With(nil) != want {
		t.Errorf("%+v, want %+v", q, want)
	}
	if diff := cmp.Diff(&arm.Quotas{OnDemandBackupsPerDay: n(3), RestoresPerDay: n(4)}, q.Shown()); diff != "" {
		t.Error(diff)
	}
	if got := (quota.Quotas{}).Shown(); got != nil {
		t.Errorf("none: %+v", got)
	}
	if got := (quota.Quotas{}).With(quota.AKS().Shown()); got != quota.AKS() {
		t.Errorf("all: %+v", got)
	}
}
