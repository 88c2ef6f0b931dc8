package reader

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// get answers the items of an answer, its status and its error.
func get[T any](t *testing.T, h http.Handler, at *url.URL) ([]T, int, error) {
	t.Helper()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, at.String(), nil))
	var items []T
	err := content.Read(answer.Body, func(i T) error {
		items = append(items, i)
		return nil
	})
	return items, answer.Code, err
}

var (
	mapRef    = coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "configmaps"}, Namespace: "copy", Name: "settings"}
	secretRef = coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "secrets"}, Namespace: "shop", Name: "login"}
	mapType   = coffer.ResourceType{GroupResource: mapRef.GroupResource, Version: "v1", Kind: "ConfigMap", Namespaced: true}
)

func TestPlansAndReportsAreServed(t *testing.T) {
	source := mapRef
	source.Namespace = "shop"
	h := New(Config{
		Plan: func(_ context.Context, restore string, head func(flow.StoredPlan) error, each func(restorerecord.Step) error) error {
			if restore != "back" {
				return coffer.Errorf(coffer.CodeRestoreNotFound, "no restore %s", restore)
			}
			return errors.Join(
				head(flow.StoredPlan{Digest: "sha256:1", PlanHeader: restorerecord.PlanHeader{
					Backup: "one", ManifestDigest: "sha256:2", Namespaces: []string{"copy"}, Changes: map[string]string{"preserveNodePorts": "true"},
					NotSelected: []coffer.NotSelected{{TypeGap: coffer.TypeGap{What: "pods", Reason: "r"}, Objects: 3}},
				}}),
				each(restorerecord.Step{ObjectRef: mapRef, Source: &source, Version: "v1", Kind: "ConfigMap", Action: "patch", Policy: "Patch", Order: 11, UID: "u", Reason: "it exists"}),
				each(restorerecord.Step{ObjectRef: secretRef, Action: "create", Unchecked: "no namespace", Warning: coffer.CodeVersionNotServed}))
		},
		Report: func(_ context.Context, _ string, head func(restorerecord.ReportHeader) error, each func(restorerecord.Outcome) error) error {
			return errors.Join(
				head(restorerecord.ReportHeader{Restore: "back", Counts: map[restorerecord.Result]int{restorerecord.Failed: 1}}),
				each(restorerecord.Outcome{ObjectRef: mapRef, Result: restorerecord.Failed, Reason: "no", Code: coffer.CodeObjectFailed}),
				coffer.Errorf(coffer.CodePlanChanged, "it was altered"))
		},
	})
	steps, status, err := get[content.PlanItem](t, h, content.Plan{Restore: "back"}.URL())
	want := []content.PlanItem{
		{Head: &content.PlanHead{
			Digest: "sha256:1", Backup: "one", ManifestDigest: "sha256:2", Namespaces: []string{"copy"}, Changes: map[string]string{"preserveNodePorts": "true"},
			NotSelected: []content.NotSelected{{What: "pods", Reason: "r", Objects: 3}},
		}},
		{Step: &content.PlanStep{
			Object: content.Object{Resource: "configmaps", Namespace: "copy", Name: "settings"}, Source: &content.Object{Resource: "configmaps", Namespace: "shop", Name: "settings"},
			APIVersion: "v1", Kind: "ConfigMap", Action: "patch", Policy: "Patch", Order: 11, UID: "u", Reason: "it exists",
		}},
		{Step: &content.PlanStep{Object: content.Object{Resource: "secrets", Namespace: "shop", Name: "login"}, Action: "create", Unchecked: "no namespace", Warning: string(coffer.CodeVersionNotServed)}},
	}
	if diff := cmp.Diff(want, steps); err != nil || status != http.StatusOK || diff != "" {
		t.Errorf("%d, %v, -want +got:\n%s", status, err, diff)
	}
	if _, status, err := get[content.PlanItem](t, h, content.Plan{Restore: "none"}.URL()); status != http.StatusNotFound || err == nil {
		t.Errorf("%d, %v", status, err)
	}
	results, status, err := get[content.ReportItem](t, h, content.Report{Restore: "back"}.URL())
	if len(results) != 2 || results[0].Head.Counts["failed"] != 1 || results[1].Result.Reason != "no" || status != http.StatusOK || err == nil {
		t.Errorf("%+v, %d, %v", results, status, err)
	}
	for _, path := range []string{"/v1/restores/back/plan?x=1", "/v1/restores/back/report?secrets=true", "/v1/restores/back/diff?objects=true", "/v1/restores/back/diff?name=a&name=b"} {
		at, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, status, _ := get[content.PlanItem](t, h, at); status != http.StatusBadRequest {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestDiffsAreServed(t *testing.T) {
	var asked flow.DiffRequest
	source := mapRef
	source.Namespace = "shop"
	h := New(Config{Diff: func(_ context.Context, q flow.DiffRequest, each func(flow.DiffItem) error) error {
		asked = q
		return errors.Join(
			each(flow.DiffItem{
				Step: 7, Source: source, Target: mapRef, Type: mapType, Action: plan.Patch,
				Backup: []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings","namespace":"shop"},"data":{"a":"old"}}`),
				Live:   []byte(`{"metadata":{"name":"settings","namespace":"copy","uid":"u"},"data":{"a":"new"}}`),
				Result: []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings","namespace":"copy","resourceVersion":"7"},"data":{"a":"old"}}`),
			}),
			each(flow.DiffItem{
				Step: 8, Source: secretRef, Target: secretRef, Action: plan.Patch, Refused: coffer.Errorf(coffer.CodeRejected, "aHVudGVyMg== is too weak").WithHint("h"),
				Notes:  []string{"it was hunter2"},
				Backup: []byte(`{"data":{"password":"aHVudGVyMg=="}}`), Live: []byte(`{"data":{"password":"c2VjcmV0"}}`), Result: []byte(`{"data":{"password":"aHVudGVyMg=="}}`),
			}))
	}})
	q := content.Diff{Restore: "back", Namespace: "copy", Type: "v1/ConfigMap", Name: "a/b"}
	items, status, err := get[content.DiffItem](t, h, q.URL())
	if err != nil || status != http.StatusOK || len(items) != 2 {
		t.Fatalf("%+v, %d, %v", items, status, err)
	}
	if want := (flow.DiffRequest{Restore: "back", Namespace: "copy", Type: "v1/ConfigMap", Name: "a/b"}); asked != want {
		t.Errorf("asked for %+v", asked)
	}
	const (
		changes    = "--- cluster\n+++ restored\n@@ -1,6 +1,6 @@\n apiVersion: v1\n data:\n-  a: new\n+  a: old\n kind: ConfigMap\n metadata:\n   name: settings\n"
		fromBackup = "--- backup\n+++ restored\n@@ -4,4 +4,4 @@\n kind: ConfigMap\n metadata:\n   name: settings\n-  namespace: shop\n+  namespace: copy\n"
	)
	if i := items[0]; i.Step != 7 || i.Source.Namespace != "shop" || i.Changes != changes || i.FromBackup != fromBackup || i.Refused != nil {
		t.Errorf("%+v\n%s%s", i, i.Changes, i.FromBackup)
	}
	i := items[1]
	all := i.Changes + i.FromBackup + i.Refused.Error() + strings.Join(i.Notes, "")
	if !strings.Contains(i.Changes, "-  password: '*** (value 1)'\n+  password: '*** (value 2)'\n") || i.FromBackup != "" || strings.Contains(all, "unter2") || strings.Contains(all, "aHV") || strings.Contains(all, "c2V") {
		t.Errorf("%s", all)
	}
	if i.Refused.Code != string(coffer.CodeRejected) || i.Refused.Message != "*** is too weak" || i.Refused.Hint != "h" {
		t.Errorf("%+v", i.Refused)
	}
	q.Secrets = true
	items, _, err = get[content.DiffItem](t, h, q.URL())
	if err != nil || !strings.Contains(items[1].Changes, "+  password: aHVudGVyMg==\n") || items[1].Refused.Message != "aHVudGVyMg== is too weak" {
		t.Errorf("%+v, %v", items, err)
	}
}

func TestADiffOfWhatIsTooLarge(t *testing.T) {
	large := []byte(`{"data":{"a":"aHVudGVyMg=="},"x":[` + strings.Repeat("1,", 100_000) + `1]}`)
	item, err := shownDiff(flow.DiffItem{
		Source: secretRef, Target: secretRef, Backup: large, Live: []byte(`{}`), Result: large, Refused: coffer.Errorf(coffer.CodeRejected, "aHVudGVyMg== is weak"),
	}, false)
	if err != nil || item.Changes != tooLarge || item.FromBackup != tooLarge || strings.Contains(item.Refused.Message, "aHV") {
		t.Errorf("%v, %+v, %+v", err, item, item.Refused)
	}
	if item, err := shownDiff(flow.DiffItem{Source: secretRef, Target: secretRef, Backup: []byte(`{}`), Live: large, Result: large}, false); err != nil || item.Changes != "" {
		t.Errorf("%v, %+v", err, item)
	}
}
