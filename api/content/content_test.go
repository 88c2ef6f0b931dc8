package content

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnAnswerIsCompleteOrAnError(t *testing.T) {
	const item = `{"item":{"resource":"pods","name":"a","size":1}}` + "\n"
	refused := &Error{Code: "X", Message: "it is refused", Hint: "do this"}
	for _, tt := range []struct {
		name, text string
		items      int
		want       error
	}{
		{"complete", item + item + `{"end":{"items":2}}` + "\n", 2, nil},
		{"complete and empty", `{"end":{"items":0}}`, 0, nil},
		{"refused", `{"error":{"code":"X","message":"it is refused","hint":"do this"}}`, 0, refused},
		{"refused in the middle", item + `{"error":{"code":"X","message":"it is refused","hint":"do this"}}`, 1, refused},
		{"nothing", "", 0, ErrCut},
		{"cut between lines", item + item, 2, ErrCut},
		{"cut in a line", item + item[:20], 1, ErrCut},
		{"cut in the last line", item + `{"end":{"items"`, 1, ErrCut},
		{"fewer than there were", item + `{"end":{"items":2}}`, 1, ErrCut},
		{"more than there were", item + item + `{"end":{"items":1}}`, 2, ErrCut},
		{"something else", "404 page not found\n", 0, ErrCut},
		{"a line of a later version", item + `{"progress":7}`, 1, ErrCut},
		{"an item of another type", `{"item":[]}`, 0, ErrCut},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			err := Read(strings.NewReader(tt.text), func(i Item) error {
				if n++; i.Resource != "pods" {
					t.Errorf("%+v", i)
				}
				return nil
			})
			var refusal *Error
			switch {
			case n != tt.items:
				t.Errorf("%d items, want %d", n, tt.items)
			case errors.As(tt.want, &refusal):
				if got := (*Error)(nil); !errors.As(err, &got) || *got != *refusal || got.Error() != "X: it is refused; do this" {
					t.Errorf("%v, want %v", err, refusal)
				}
			case !errors.Is(err, tt.want):
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	stop := errors.New("stop")
	if err := Read(strings.NewReader(item+item), func(Item) error { return stop }); !errors.Is(err, stop) || errors.Is(err, ErrCut) {
		t.Error(err)
	}
}

func TestARequestIsUnderstoodAsItWasMeant(t *testing.T) {
	var got Contents
	var problem error
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+ContentsPattern, func(_ http.ResponseWriter, r *http.Request) { got, problem = ReadContents(r) })
	for _, want := range []Contents{
		{StorageLocation: "default", BackupName: "shop-1"},
		{StorageLocation: "default", BackupName: "shop-1", Namespace: "shop", Type: "apps/v1/Deployment", Name: "a b&c=d", Objects: true, Secrets: true},
		{StorageLocation: "a/b", BackupName: "c%2Fd?e"},
	} {
		got, problem = Contents{}, nil
		mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, want.URL().String(), nil))
		if diff := cmp.Diff(want, got); diff != "" || problem != nil {
			t.Errorf("%s: %v\n%s", want.URL(), problem, diff)
		}
	}
	for query, says := range map[string]string{
		"namespaces=shop": "not known", "namespace=a&namespace=b": "2 times", "secrets=maybe": "true or false", "a=%zz": "malformed",
	} {
		problem = nil
		mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/storage-locations/a/backups/b/contents?"+query, nil))
		if problem == nil || !strings.Contains(problem.Error(), says) {
			t.Errorf("%s: %v", query, problem)
		}
	}
}

func TestRequestsOfCoverageAndLogsAreUnderstoodAsTheyWereMeant(t *testing.T) {
	var coverage Coverage
	var logs Logs
	var problem error
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+CoveragePattern, func(_ http.ResponseWriter, r *http.Request) { coverage, problem = ReadCoverage(r) })
	mux.HandleFunc("GET "+LogsPattern, func(_ http.ResponseWriter, r *http.Request) { logs, problem = ReadLogs(r) })
	mux.HandleFunc("GET "+InventoryPattern, func(_ http.ResponseWriter, r *http.Request) { problem = ReadInventory(r) })
	get := func(url string) error {
		problem = errors.New("nobody has read it")
		mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))
		return problem
	}
	for _, want := range []Coverage{{"default", "shop-1"}, {"a/b", "c%2Fd?e"}} {
		if err := get(want.URL().String()); err != nil || coverage != want {
			t.Errorf("%s: %+v, %v", want.URL(), coverage, err)
		}
	}
	for _, want := range []Logs{{LogsOfBackup, "shop-1"}, {LogsOfRestore, "c%2Fd?e"}} {
		if err := get(want.URL().String()); err != nil || logs != want {
			t.Errorf("%s: %+v, %v", want.URL(), logs, err)
		}
	}
	if err := get(InventoryURL().String()); err != nil {
		t.Error(err)
	}
	for _, url := range []string{"/v1/inventory?a=b", "/v1/logs/secrets/a", "/v1/logs/backups/a?secrets=true", "/v1/storage-locations/a/backups/b/coverage?c=d"} {
		if get(url) == nil {
			t.Errorf("%s is understood", url)
		}
	}
}
