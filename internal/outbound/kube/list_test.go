package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/internal/coffer"
)

var mapType = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "configmaps"}, Version: "v1", Kind: "ConfigMap", Namespaced: true}

// apiServer serves lists of ConfigMaps as an API server does: pages with continue tokens, which say after how many objects to
// go on.
type apiServer struct {
	t *testing.T
	// sizes are those of the objects.
	sizes []int
	// before may answer a request itself; then it answers true.
	before func(w http.ResponseWriter, r *http.Request, n int) bool

	mu     sync.Mutex // guards all below
	asked  int
	limits []int
}

func newAPIServer(t *testing.T, sizes []int) (*apiServer, *Cluster) {
	t.Helper()
	s := &apiServer{t: t, sizes: sizes}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	c.patience = patience{page: 10 * time.Second, attempts: 4, pause: time.Millisecond, busy: 10 * time.Second}
	t.Cleanup(func() {
		if n := len(c.slots); n > 0 {
			t.Errorf("%d pages were never released", n)
		}
	})
	return s, c
}

func sizes(n, size int) []int { return slices.Repeat([]int{size}, n) }

// ServeHTTP implements http.Handler.
func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/v1/namespaces" {
		_, _ = fmt.Fprint(w, `{"metadata":{},"items":[]}`)
		return
	}
	s.mu.Lock()
	n := s.asked
	s.asked++
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	s.limits = append(s.limits, limit)
	s.mu.Unlock()
	if s.before != nil && s.before(w, r, n) {
		return
	}
	s.page(w, r, limit)
}

func (s *apiServer) page(w http.ResponseWriter, r *http.Request, limit int) {
	from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	to := min(from+limit, len(s.sizes))
	metadata := `{"resourceVersion":"7"}`
	if to < len(s.sizes) {
		metadata = fmt.Sprintf(`{"resourceVersion":"7","continue":"%d","remainingItemCount":%d}`, to, len(s.sizes)-to)
	}
	_, _ = fmt.Fprintf(w, `{"kind":"ConfigMapList","apiVersion":"v1","metadata":%s,"items":[`, metadata)
	for i := from; i < to; i++ {
		if i > from {
			_, _ = fmt.Fprint(w, ",")
		}
		_, _ = fmt.Fprintf(w, `{"metadata":{"name":"%d"},"data":{"x":"%s"}}`, i, strings.Repeat("x", s.sizes[i]))
	}
	_, _ = fmt.Fprint(w, "]}")
}

// answerStatus answers as an API server refuses.
func answerStatus(w http.ResponseWriter, code int, reason, token string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	//nolint:gosec // a test's own words
	_, _ = fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","metadata":{"continue":%q},"status":"Failure","message":"no","reason":%q,"code":%d}`, token, reason, code)
}

// listed is what came of a list.
type listed struct {
	names   []string
	later   []string
	largest int
}

func listAll(ctx context.Context, c *Cluster) (listed, error) {
	var all listed
	err := c.List(ctx, mapType, "", func(p coffer.Page) error {
		bytes := 0
		for _, raw := range p.Items {
			var h coffer.Header
			if err := json.Unmarshal(raw, &h); err != nil {
				return err
			}
			all.names = append(all.names, h.Metadata.Name)
			bytes += len(raw)
		}
		all.later = append(all.later, p.Later)
		all.largest = max(all.largest, bytes)
		return nil
	})
	return all, err
}

// mustHold checks that every object came once and in order.
func (l listed) mustHold(t *testing.T, err error, n int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(l.names) != n {
		t.Fatalf("%d objects were listed, want %d", len(l.names), n)
	}
	for i, name := range l.names {
		if name != strconv.Itoa(i) {
			t.Fatalf("object %d is %s", i, name)
		}
	}
}

func TestPagesOfLargeObjectsAreSmall(t *testing.T) {
	s, c := newAPIServer(t, sizes(150, 1_400_000))
	all, err := listAll(t.Context(), c)
	all.mustHold(t, err, 150)
	if all.largest > pageLimit {
		t.Errorf("a page has %d bytes, more than %d", all.largest, pageLimit)
	}
	if last := s.limits[len(s.limits)-1]; last > 4 {
		t.Errorf("pages are of %v objects, though each has 1.4 MB", s.limits)
	}
}

func TestPagesOfSmallObjectsGrow(t *testing.T) {
	s, c := newAPIServer(t, sizes(20_000, 100))
	all, err := listAll(t.Context(), c)
	all.mustHold(t, err, 20_000)
	if len(s.limits) > 25 || slices.Max(s.limits) != largestPage || s.limits[0] != firstPage {
		t.Errorf("pages are of %v objects", s.limits)
	}
}

func TestAPageThatTurnsOutTooLargeIsAskedForAgain(t *testing.T) {
	objects := append(sizes(3000, 100), sizes(20, 1_400_000)...)
	_, c := newAPIServer(t, append(objects, sizes(1000, 100)...))
	all, err := listAll(t.Context(), c)
	all.mustHold(t, err, 4020)
	if all.largest > pageLimit {
		t.Errorf("a page has %d bytes, more than %d", all.largest, pageLimit)
	}
}

func TestAnObjectThatIsTooLargeForMemoryEndsTheList(t *testing.T) {
	_, c := newAPIServer(t, []int{10, objectLimit + 1})
	_, err := listAll(t.Context(), c)
	if coffer.CodeOf(err) != coffer.CodeUnanswered || !strings.Contains(err.Error(), "too large") {
		t.Errorf("List = %v", err)
	}
}

func TestAnExpiredTokenIsContinuedWithTheOneOffered(t *testing.T) {
	s, c := newAPIServer(t, sizes(1000, 10))
	s.before = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n != 1 {
			return false
		}
		answerStatus(w, http.StatusGone, "Expired", r.URL.Query().Get("continue"))
		return true
	}
	all, err := listAll(t.Context(), c)
	all.mustHold(t, err, 1000)
	if all.later[0] != "" || all.later[1] == "" || all.later[len(all.later)-1] == "" {
		t.Errorf("pages are of later moments: %q", all.later)
	}
}

func TestAnExpiredTokenWithoutAnotherBeginsTheListAnew(t *testing.T) {
	s, c := newAPIServer(t, sizes(1000, 10))
	s.before = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n != 1 {
			return false
		}
		answerStatus(w, http.StatusGone, "Expired", "")
		return true
	}
	all, err := listAll(t.Context(), c)
	if err != nil || len(all.names) != 1000+firstPage || all.names[firstPage] != "0" || all.later[0] != "" || all.later[1] == "" {
		t.Errorf("List = %v with %d objects, pages %q; want the first page twice", err, len(all.names), all.later)
	}
}

func TestAListThatExpiresAgainAndAgainEnds(t *testing.T) {
	s, c := newAPIServer(t, sizes(20_000, 10))
	s.before = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.URL.Query().Get("continue") == "" {
			return false
		}
		answerStatus(w, http.StatusGone, "Expired", "")
		return true
	}
	if _, err := listAll(t.Context(), c); coffer.CodeOf(err) != coffer.CodeUnanswered {
		t.Errorf("List = %v", err)
	}
	if s.asked != 2*(maxRestarts+1) {
		t.Errorf("the API server was asked %d times", s.asked)
	}
}

func TestAListThatNeverGetsAnywhereEnds(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"a page that is followed by itself": func(w http.ResponseWriter) {
			_, _ = fmt.Fprint(w, `{"metadata":{"continue":"again"},"items":[{"metadata":{"name":"a"}}]}`)
		},
		"tokens that expire at once": func(w http.ResponseWriter) { answerStatus(w, http.StatusGone, "Expired", "another") },
	} {
		t.Run(name, func(t *testing.T) {
			s, c := newAPIServer(t, nil)
			s.before = func(w http.ResponseWriter, _ *http.Request, n int) bool {
				if n == 100 {
					t.Error("the API server is asked for ever")
				}
				if n < 100 {
					answer(w)
				}
				return n < 100
			}
			if _, err := listAll(t.Context(), c); coffer.CodeOf(err) != coffer.CodeUnanswered {
				t.Errorf("List = %v", err)
			}
		})
	}
}

func TestABusyAPIServerIsWaitedFor(t *testing.T) {
	s, c := newAPIServer(t, sizes(1000, 10))
	s.before = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n%2 == 1 {
			return false
		}
		// Without a time that the tests would have to wait.
		answerStatus(w, http.StatusTooManyRequests, "TooManyRequests", "")
		return true
	}
	all, err := listAll(t.Context(), c)
	all.mustHold(t, err, 1000)
}

func TestRetryAfterIsHeeded(t *testing.T) {
	s, c := newAPIServer(t, sizes(10, 10))
	s.before = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n == 0 {
			// As priority and fairness refuses.
			w.Header().Set("Retry-After", "1")
			http.Error(w, "Too many requests, please try again later.", http.StatusTooManyRequests)
		}
		return n == 0
	}
	began := time.Now()
	all, err := listAll(t.Context(), c)
	all.mustHold(t, err, 10)
	if took := time.Since(began); took < time.Second {
		t.Errorf("asked again after %s, want 1s", took)
	}
}

func TestAnAPIServerThatStaysBusyIsGivenUp(t *testing.T) {
	s, c := newAPIServer(t, sizes(10, 10))
	c.patience.busy = 20 * time.Millisecond
	s.before = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		answerStatus(w, http.StatusTooManyRequests, "TooManyRequests", "")
		return true
	}
	if _, err := listAll(t.Context(), c); coffer.CodeOf(err) != coffer.CodeUnanswered {
		t.Errorf("List = %v", err)
	}
}

func TestATypeThatAlwaysFailsIsGivenUp(t *testing.T) {
	for name, fail := range map[string]func(http.ResponseWriter, *http.Request){
		"the backend is unavailable": func(w http.ResponseWriter, _ *http.Request) {
			answerStatus(w, http.StatusServiceUnavailable, "ServiceUnavailable", "")
		},
		"the conversion webhook fails": func(w http.ResponseWriter, _ *http.Request) {
			answerStatus(w, http.StatusInternalServerError, "InternalError", "")
		},
		"a gateway does not know us": func(w http.ResponseWriter, _ *http.Request) {
			answerStatus(w, http.StatusUnauthorized, "Unauthorized", "")
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") },
		"the connection ends within it": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = fmt.Fprint(w, "{")
		},
		"it does not answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"it does not end": func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, `{"items":[`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := newAPIServer(t, sizes(1000, 10))
			c.patience.page = 50 * time.Millisecond
			s.before = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				fail(w, r)
				return true
			}
			_, err := listAll(t.Context(), c)
			if coffer.CodeOf(err) != coffer.CodeUnanswered || coffer.Final(err) {
				t.Errorf("List = %v, want a transient %s", err, coffer.CodeUnanswered)
			}
		})
	}
}

func TestAListThatIsLateIsAskedForLess(t *testing.T) {
	s, c := newAPIServer(t, sizes(100, 10))
	c.patience.page = 100 * time.Millisecond
	s.before = func(_ http.ResponseWriter, r *http.Request, n int) bool {
		if n == 0 {
			<-r.Context().Done()
		}
		return n == 0
	}
	all, err := listAll(t.Context(), c)
	all.mustHold(t, err, 100)
	if s.limits[1] >= s.limits[0] {
		t.Errorf("pages are of %v objects", s.limits)
	}
}

func TestAnAPIServerThatIsAwayIsNoGap(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answerStatus(w, http.StatusServiceUnavailable, "ServiceUnavailable", "")
	}))
	defer server.Close()
	c, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	c.patience = patience{page: time.Second, attempts: 2, pause: time.Millisecond, busy: time.Second}
	if _, err := listAll(t.Context(), c); err == nil || coffer.CodeOf(err) != "" {
		t.Errorf("List = %v, want an error that is tried again", err)
	}
}

func TestACutConnectionCostsNoObject(t *testing.T) {
	s, c := newAPIServer(t, sizes(5000, 1000))
	s.before = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n%2 == 0 {
			return false
		}
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		cut := httptest.NewRecorder()
		s.page(cut, r, limit)
		_, _ = w.Write(cut.Body.Bytes()[:cut.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	all, err := listAll(t.Context(), c)
	all.mustHold(t, err, 5000)
}

func TestAForbiddenTypeAndOneThatIsGoneAreSaidAtOnce(t *testing.T) {
	for code, want := range map[int]coffer.Code{http.StatusForbidden: coffer.CodeForbidden, http.StatusNotFound: coffer.CodeNotFound, http.StatusMethodNotAllowed: coffer.CodeNotFound} {
		s, c := newAPIServer(t, nil)
		s.before = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			answerStatus(w, code, map[int]string{403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed"}[code], "")
			return true
		}
		if _, err := listAll(t.Context(), c); coffer.CodeOf(err) != want || s.asked != 1 {
			t.Errorf("%d: List = %v after %d requests", code, err, s.asked)
		}
	}
}

func TestAListEndsWithItsReader(t *testing.T) {
	_, c := newAPIServer(t, sizes(20_000, 100))
	enough := errors.New("enough")
	pages := 0
	err := c.List(t.Context(), mapType, "", func(coffer.Page) error {
		if pages++; pages == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("List = %v", err)
	}
}

func TestManyListsShareTheMemory(t *testing.T) {
	_, c := newAPIServer(t, sizes(3000, 1000))
	var mu sync.Mutex
	pages, most := 0, 0
	var lists sync.WaitGroup
	for range 3 * parallelPages {
		lists.Go(func() {
			err := c.List(t.Context(), mapType, "", func(coffer.Page) error {
				mu.Lock()
				pages++
				most = max(most, len(c.slots))
				mu.Unlock()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	lists.Wait()
	if most > parallelPages || pages < 3*parallelPages*3 {
		t.Errorf("%d pages at a time of %d altogether", most, pages)
	}
}

func TestMetadataIsAskedForAlone(t *testing.T) {
	var asked []string
	s, c := newAPIServer(t, sizes(250, 10))
	s.before = func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		asked = append(asked, r.Header.Get("Accept"))
		return false
	}
	n := 0
	count := func(p coffer.Page) error { n += len(p.Items); return nil }
	if err := c.ListMetadata(t.Context(), mapType, "", count); err != nil || n != 250 {
		t.Fatalf("%d objects, %v", n, err)
	}
	for _, accept := range asked {
		// What cannot leave out the rest sends plain JSON.
		if !strings.HasPrefix(accept, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,") || !strings.HasSuffix(accept, ",application/json") {
			t.Errorf("asked for %q", accept)
		}
	}
}
