package arm

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/decide/access"
)

// extensionReader answers like an extension's reader. It may be used concurrently.
type extensionReader struct {
	mu      sync.Mutex
	asked   []string
	answers map[string]string
}

func (e *extensionReader) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, r.URL.RequestURI())
	text, ok := e.answers[r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = w.Write([]byte(text))
}

// lines are items with their end.
func lines(items ...string) string {
	var b strings.Builder
	for _, i := range items {
		fmt.Fprintf(&b, "{\"item\":%s}\n", i)
	}
	fmt.Fprintf(&b, "{\"end\":{\"items\":%d}}\n", len(items))
	return b.String()
}

// all follows a list to its end, and answers a field of all items.
func (w *world) all(path string) (items []map[string]any, pages int) {
	w.t.Helper()
	for path != "" {
		got := w.must(200, http.MethodGet, path, "")
		values, _ := got.at("value").([]any)
		for _, v := range values {
			item, _ := v.(map[string]any)
			items = append(items, item)
		}
		next, _ := got.at("nextLink").(string)
		path = strings.TrimPrefix(next, w.URL)
		if pages++; pages > 50 {
			w.t.Fatal("the list has no end")
		}
	}
	return items, pages
}

func TestContentsAreReadInPages(t *testing.T) {
	w := newInstance(t)
	for i, name := range []string{"p1", "p2", "p3"} {
		w.putPoint(name, time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC))
	}
	reader := &extensionReader{answers: map[string]string{}}
	w.aks.Read(reader)
	const point = instanceID + "/recoveryPoints/p1/providers/Coffer.Backup/"
	const at = "/v1/storage-locations/default/backups/"
	var some []string
	for i := range 7 {
		some = append(some, fmt.Sprintf(`{"resource":"configmaps","namespace":"app","name":"c%d","size":1,"more":"is not shown"}`, i))
	}
	reader.answers[at+"p1/contents"] = lines(some...)
	items, pages := w.all(point + "contents" + version + "&$top=3&namespace=app&objects=true")
	if len(items) != 7 || pages != 3 || items[6]["name"] != "c6" || items[0]["more"] != nil {
		t.Errorf("%d pages: %v", pages, items)
	}
	if i := slices.IndexFunc(reader.asked, func(s string) bool {
		return strings.Contains(s, "secrets") || !strings.Contains(s, "namespace=app") || !strings.Contains(s, "objects=true")
	}); i >= 0 {
		t.Errorf("asked for %s", reader.asked[i])
	}
	reader.answers[at+"p1/coverage"] = lines(`{"kind":"Point","point":{"name":"p1"}}`, `{"kind":"Captured","what":"configmaps","objects":7}`)
	if items, _ := w.all(point + "coverage" + version); len(items) != 2 {
		t.Errorf("coverage: %v", items)
	}
	// p0 was deleted in the cluster; p3 has one of that name, p2 none, p1 seven.
	w.putPoint("p0", time.Date(2026, 1, 4, 0, 0, 0, 0, time.UTC))
	reader.answers[at+"p0/contents"] = `{"error":{"code":"UserErrorRecoveryPointNotFound","message":"there is none"}}` + "\n"
	reader.answers[at+"p3/contents"] = lines(some[0])
	reader.answers[at+"p2/contents"] = `{"error":{"code":"UserErrorFilterMatchesNothing","message":"none"}}` + "\n"
	items, pages = w.all(instanceID + "/providers/Coffer.Backup/search" + version + "&$top=3&type=configmaps")
	var of []string
	for _, i := range items {
		of = append(of, fmt.Sprint(i["recoveryPointId"]))
	}
	if strings.Join(of, " ") != "p3 p1 p1 p1 p1 p1 p1 p1" || pages < 3 {
		t.Errorf("%d pages: %v", pages, of)
	}
	w.must(400, http.MethodGet, instanceID+"/providers/Coffer.Backup/search"+version, "")
	w.must(400, http.MethodGet, point+"contents"+version+"&$skipToken=LTE", "")
	w.must(404, http.MethodGet, instanceID+"/recoveryPoints/none/providers/Coffer.Backup/contents"+version, "")
}

func TestASearchGoesOnWhereItWasWhateverIsMadeOrDeletedMeanwhile(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	for what, tt := range map[string]struct {
		meanwhile func(*world)
		want      string
	}{
		"another is made": {func(w *world) { w.putPoint("p4", day(4)) }, "p3 c0,p3 c1,p3 c2,p3 c3,p2 c0,p2 c1,p2 c2,p2 c3"},
		"it is deleted":   {func(w *world) { w.deletePoint("p3") }, "p3 c0,p3 c1,p3 c2,p2 c0,p2 c1,p2 c2,p2 c3"},
		"nothing":         {func(*world) {}, "p3 c0,p3 c1,p3 c2,p3 c3,p2 c0,p2 c1,p2 c2,p2 c3"},
	} {
		t.Run(what, func(t *testing.T) {
			w := newInstance(t)
			reader := &extensionReader{answers: map[string]string{}}
			w.aks.Read(reader)
			var some []string
			for i := range 4 {
				some = append(some, fmt.Sprintf(`{"resource":"configmaps","name":"c%d"}`, i))
			}
			for i, name := range []string{"p2", "p3", "p4"} {
				if name != "p4" {
					w.putPoint(name, day(2+i))
				}
				reader.answers["/v1/storage-locations/default/backups/"+name+"/contents"] = lines(some...)
			}
			first := w.must(200, http.MethodGet, instanceID+"/providers/Coffer.Backup/search"+version+"&$top=3&type=configmaps", "")
			tt.meanwhile(w)
			next, _ := first.at("nextLink").(string)
			rest, _ := w.all(strings.TrimPrefix(next, w.URL))
			var got []string
			value, _ := first.at("value").([]any)
			for _, i := range value {
				found, _ := i.(map[string]any)
				item, _ := found["item"].(map[string]any)
				got = append(got, fmt.Sprint(found["recoveryPointId"], " ", item["name"]))
			}
			for _, found := range rest {
				item, _ := found["item"].(map[string]any)
				got = append(got, fmt.Sprint(found["recoveryPointId"], " ", item["name"]))
			}
			if strings.Join(got, ",") != tt.want {
				t.Errorf("found %v, want %s", got, tt.want)
			}
		})
	}
}

func TestWhatAnExtensionAnswersIsNotTrusted(t *testing.T) {
	w := newInstance(t)
	w.putPoint("p1", time.Now())
	reader := &extensionReader{answers: map[string]string{}}
	w.aks.Read(reader)
	const path, at = instanceID + "/recoveryPoints/p1/providers/Coffer.Backup/contents" + version, "/v1/storage-locations/default/backups/p1/contents"
	for text, want := range map[string]struct {
		status int
		code   string
	}{
		`{"error":{"code":"AuthorizationFailed","message":"log in at http://evil"}}` + "\n":            {502, "KubernetesInternalError"},
		`{"error":{"code":"UserErrorRecoveryPointNotFound","message":"it is gone","hint":"h"}}` + "\n": {400, "UserErrorRecoveryPointNotFound"},
		lines(`{"name":"a","resource":"b"}`)[:20]:                                                      {502, "KubernetesInternalError"},
		`{"item":{"name":"` + strings.Repeat("a", 2<<20) + `"}}` + "\n":                                {502, "KubernetesInternalError"},
		`{"item":{"name":"a"}}` + "\n":                                                                 {503, "UserErrorKubernetesClusterNotReachable"},
	} {
		reader.answers[at] = text
		if got := w.do("owner", http.MethodGet, path, ""); got.status != want.status || got.at("error", "code") != want.code {
			t.Errorf("%.80s: %d %.300s", text, got.status, got.text)
		}
	}
	delete(reader.answers, at)
	if got := w.do("owner", http.MethodGet, path, ""); got.at("error", "code") != "UserErrorKubernetesBackupExtensionNotFoundError" {
		t.Errorf("an extension that does not know the question: %s", got.text)
	}
	w.aks.Bind(w.must(200, http.MethodGet, binding+version, "").at("properties", "coffer", "identity").(string), false)
	if got := w.do("owner", http.MethodGet, path, ""); got.at("error", "code") != "UserErrorTrustedAccessNotFound" {
		t.Errorf("without trusted access: %s", got.text)
	}
}

func TestWhatARestoreDidIsRead(t *testing.T) {
	w := newInstance(t)
	w.putPoint("p1", time.Now())
	reader := &extensionReader{answers: map[string]string{}}
	w.aks.Read(reader)
	name := w.begin(instanceID+"/restore", bareRestore)
	w.must(404, http.MethodGet, jobsID+name+"/providers/Coffer.Backup/plan"+version, "")
	w.look()
	never := w.begin(instanceID+"/restore", bareRestore)
	w.must(202, http.MethodPost, jobsID+never+"/cancel"+version, "")
	if got := w.must(404, http.MethodGet, jobsID+never+"/providers/Coffer.Backup/logs"+version, ""); strings.Contains(got.text, "wait") || !strings.Contains(got.text, "ended") {
		t.Errorf("one that has ended before it began: %s", got.text)
	}
	reader.answers["/v1/restores/"+name+"/plan"] = lines(`{"head":{"digest":"sha256:1","backup":"p1","manifestDigest":"sha256:2"}}`, `{"step":{"resource":"pods","name":"a","action":"create","order":1}}`)
	reader.answers["/v1/restores/"+name+"/report"] = lines(`{"result":{"resource":"pods","name":"a","result":"created"}}`)
	reader.answers["/v1/restores/"+name+"/diff"] = lines(`{"step":1,"resource":"pods","name":"a","action":"patch","changes":"+a"}`)
	reader.answers["/v1/logs/restores/"+name] = lines(`{"text":"one\n"}`, `{"text":"two\n"}`)
	for what, want := range map[string]int{"plan": 2, "report": 1, "diff": 1} {
		if items, _ := w.all(jobsID + name + "/providers/Coffer.Backup/" + what + version); len(items) != want {
			t.Errorf("%s: %v", what, items)
		}
	}
	if got := w.must(200, http.MethodGet, jobsID+name+"/providers/Coffer.Backup/logs"+version, ""); got.at("value") != "one\ntwo\n" {
		t.Errorf("logs: %s", got.text)
	}
	reader.answers["/v1/inventory"] = lines(`{"extensionVersion":"1","namespaces":[{"name":"app","phase":"Active"}]}`)
	const inventory = vaultID + "/providers/Coffer.Backup/inventory" + version
	if got := w.must(200, http.MethodGet, inventory+"&clusterId="+cluster, ""); !strings.Contains(got.text, `"name":"app"`) {
		t.Errorf("inventory: %s", got.text)
	}
	w.must(400, http.MethodGet, inventory, "")
	if got := w.do("reader", http.MethodGet, inventory+"&clusterId="+cluster, ""); got.status != 403 {
		t.Errorf("a reader: %d %s", got.status, got.text)
	}
}

func TestWhoMayNotReadTheTargetOfARestoreIsNotShownWhatIsThere(t *testing.T) {
	w := newInstance(t)
	w.putPoint("p1", time.Now())
	reader := &extensionReader{answers: map[string]string{}}
	w.aks.Read(reader)
	name := w.begin(instanceID+"/restore", bareRestore)
	w.look()
	reader.answers["/v1/restores/"+name+"/plan"] = lines(`{"head":{"digest":"sha256:1"}}`)
	reader.answers["/v1/restores/"+name+"/report"] = lines(`{"result":{"resource":"pods","name":"a","result":"created"}}`)
	reader.answers["/v1/restores/"+name+"/diff"] = lines(`{"step":1,"resource":"pods","name":"a","action":"patch","changes":"+a"}`)
	granted := 0
	grant := func(role, scope string) {
		granted++
		w.must(201, http.MethodPut, fmt.Sprintf("%s/providers/Microsoft.Authorization/roleAssignments/77777777-7777-4777-8777-%012d%s", scope, granted, version),
			fmt.Sprintf(`{"properties":{"roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/%s","principalId":%q}}`, role, w.objectID("operator")))
	}
	see := func(want map[string]int) {
		t.Helper()
		for what, status := range want {
			if got := w.do("operator", http.MethodGet, jobsID+name+"/providers/Coffer.Backup/"+what+version, ""); got.status != status || status == 403 && got.at("error", "code") != "LinkedAuthorizationFailed" {
				t.Errorf("%s: %d %s", what, got.status, got.text)
			}
		}
	}
	grant(access.BackupOperID, vaultID)
	see(map[string]int{"plan": 403, "diff": 403, "report": 200})
	grant(access.ReaderID, cluster)
	see(map[string]int{"plan": 200, "diff": 200, "report": 200})
}

func TestWhatAClusterIsAskedIsAskedByWhoeverHasItsLink(t *testing.T) {
	w := newInstance(t)
	w.putPoint("p1", time.Now())
	w.aks.Read(&extensionReader{answers: map[string]string{
		"/v1/inventory": lines(`{"extensionVersion":"1"}`), "/v1/storage-locations/default/holdings": lines(`{"location":{}}`),
	}})
	second := w.passing(w.URL, w.Client().Transport)
	for _, ask := range []struct{ method, path, body, answer string }{
		{http.MethodGet, vaultID + "/providers/Coffer.Backup/inventory" + version + "&clusterId=" + cluster, "", `"extensionVersion":"1"`},
		{http.MethodGet, vaultID + "/providers/Coffer.Backup/orphans" + version, "", `"kind":"RecoveryPoint"`},
		{http.MethodPost, vaultID + "/providers/Coffer.Backup/removeOrphans" + version, `{"clusterId":"` + cluster + `","ids":["Archive/a/b"]}`, `"outcome":"Refused"`},
		{http.MethodPost, instanceID + "/validateRestore" + version, `{"restoreRequestObject":` + bareRestore + `}`, `"StorageLocation"`},
	} {
		r, err := http.NewRequestWithContext(t.Context(), ask.method, second.URL+ask.path, strings.NewReader(ask.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer owner")
		r.Header.Set("Content-Type", "application/json")
		a, err := second.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(a.Body)
		_ = a.Body.Close()
		if err != nil || a.StatusCode != http.StatusOK || !strings.Contains(string(text), ask.answer) {
			t.Errorf("%s: %d %s, %v", ask.path, a.StatusCode, text, err)
		}
	}
}
