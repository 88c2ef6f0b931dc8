package reader

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow"
)

// ask asks a handler, and answers the items, the status and the error that the answer ends with.
func ask(t *testing.T, h http.Handler, q content.Contents) ([]content.Item, int, error) {
	t.Helper()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, q.URL().String(), nil))
	if got := answer.Header().Get("Content-Type"); got != content.MediaType || answer.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", answer.Header())
	}
	var items []content.Item
	err := content.Read(answer.Body, func(i content.Item) error {
		items = append(items, i)
		return nil
	})
	return items, answer.Code, err
}

func TestContentsAreServed(t *testing.T) {
	s := newStore(t)
	s.seal(t, "plain", false, configMap("a"), configMap("b"), login())
	s.seal(t, "sealed", true, configMap("a"), configMap("b"), login())
	h := New(Config{Contents: s.reader().Contents})
	for _, point := range []string{"plain", "sealed"} {
		t.Run(point, func(t *testing.T) {
			q := content.Contents{StorageLocation: "default", BackupName: point}
			items, status, err := ask(t, h, q)
			if err != nil || status != http.StatusOK || len(items) != 3 || items[2].Resource != "secrets" || items[2].Object != nil || items[2].Size == 0 {
				t.Errorf("%+v, %d, %v", items, status, err)
			}
			q.Type, q.Name = "ConfigMap", "b"
			if items, _, err := ask(t, h, q); err != nil || len(items) != 1 || items[0].Name != "b" || items[0].Object != nil {
				t.Errorf("%+v, %v", items, err)
			}
			q.Objects = true
			if items, _, err := ask(t, h, q); err != nil || len(items) != 1 || string(items[0].Object) != configMap("b").body {
				t.Errorf("%+v, %v", items, err)
			}
			q.Type, q.Name = "Secret", ""
			items, _, err = ask(t, h, q)
			if err != nil || len(items) != 1 || !strings.Contains(string(items[0].Object), `"password":"***"`) || strings.Contains(string(items[0].Object), "aHVudGVyMg==") {
				t.Errorf("%s, %v", items[0].Object, err)
			}
			q.Secrets = true
			items, _, err = ask(t, h, q)
			if err != nil || len(items) != 1 || string(items[0].Object) != login().body {
				t.Errorf("%s, %v", items[0].Object, err)
			}
			q.Type, q.Namespace = "", "none"
			if items, status, err := ask(t, h, q); err != nil || status != http.StatusOK || len(items) != 0 {
				t.Errorf("%+v, %d, %v", items, status, err)
			}
		})
	}
}

func TestRefusalsAreServed(t *testing.T) {
	s := newStore(t)
	s.seal(t, "one", false, configMap("a"))
	strange := *s
	strange.trusts = false
	foul := configMap("foul")
	foul.body = `{"kind":"ConfigMap"`
	s.seal(t, "foul", false, foul)
	broken := func(context.Context, flow.ContentsRequest, func(flow.ContentsItem) error) error {
		return errors.New("read backups/one: connection reset")
	}
	wrapped := func(context.Context, flow.ContentsRequest, func(flow.ContentsItem) error) error {
		return fmt.Errorf("BackupStorageLocation default: %w", coffer.Errorf(coffer.CodeLocationNotReady, "it is full").WithHint("empty it"))
	}
	for _, tt := range []struct {
		name     string
		contents func(context.Context, flow.ContentsRequest, func(flow.ContentsItem) error) error
		q        content.Contents
		status   int
		want     content.Error
	}{
		{"no such recovery point", s.reader().Contents, content.Contents{StorageLocation: "default", BackupName: "two"}, http.StatusNotFound,
			content.Error{Code: string(coffer.CodeBackupNotFound), Message: `there is no recovery point named "two"`, Hint: "see `coffer backup list`"}},
		{"no such location", s.reader().Contents, content.Contents{StorageLocation: "other", BackupName: "one"}, http.StatusNotFound,
			content.Error{Code: string(coffer.CodeLocationNotFound), Message: `there is no BackupStorageLocation "other"`}},
		{"a type with a typing error", s.reader().Contents, content.Contents{StorageLocation: "default", BackupName: "one", Type: "configmap-"}, http.StatusBadRequest,
			content.Error{Code: string(coffer.CodeInvalid), Message: `neither recovery point one nor the cluster has a resource type "configmap-"`, Hint: "did you mean configmaps?"}},
		{"an object that is not JSON", s.reader().Contents, content.Contents{StorageLocation: "default", BackupName: "foul", Objects: true}, http.StatusConflict,
			content.Error{Code: string(coffer.CodeArchiveCorrupt), Message: "configmaps shop/foul is not JSON"}},
		{"an object that is not JSON, unmasked", s.reader().Contents, content.Contents{StorageLocation: "default", BackupName: "foul", Objects: true, Secrets: true}, http.StatusConflict,
			content.Error{Code: string(coffer.CodeArchiveCorrupt), Message: "configmaps shop/foul is not JSON"}},
		{"an internal error", broken, content.Contents{StorageLocation: "default", BackupName: "one"}, http.StatusInternalServerError,
			content.Error{Message: "read backups/one: connection reset"}},
		{"an error with where it was", wrapped, content.Contents{StorageLocation: "default", BackupName: "one"}, http.StatusConflict,
			content.Error{Code: string(coffer.CodeLocationNotReady), Message: "BackupStorageLocation default: it is full", Hint: "empty it"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			items, status, err := ask(t, New(Config{Contents: tt.contents}), tt.q)
			var got *content.Error
			if !errors.As(err, &got) || *got != tt.want || status != tt.status || len(items) > 0 {
				t.Errorf("%+v, %d, %+v; want %d, %+v", items, status, err, tt.status, tt.want)
			}
		})
	}
	t.Run("a stranger's", func(t *testing.T) {
		_, status, err := ask(t, New(Config{Contents: strange.reader().Contents}), content.Contents{StorageLocation: "default", BackupName: "one"})
		var got *content.Error
		if !errors.As(err, &got) || got.Code != string(coffer.CodeSignerNotTrusted) || status != http.StatusConflict || !strings.Contains(got.Hint, "storage-location trust") {
			t.Errorf("%d, %v", status, err)
		}
	})
	for path, status := range map[string]int{
		"/v1/storage-locations/default/backups/one/contents?secret=true": http.StatusBadRequest,
		"/v1/storage-locations/default/backups/one":                      http.StatusNotFound,
		"/": http.StatusNotFound,
	} {
		answer := httptest.NewRecorder()
		New(Config{Contents: s.reader().Contents}).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if answer.Code != status {
			t.Errorf("%s: %d, want %d", path, answer.Code, status)
		}
	}
	answer := httptest.NewRecorder()
	New(Config{Contents: s.reader().Contents}).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, content.Contents{StorageLocation: "default", BackupName: "one"}.URL().String(), nil))
	if answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", answer.Code)
	}
}

func TestAnErrorInTheMiddleIsTheLastLine(t *testing.T) {
	h := New(Config{Contents: func(_ context.Context, _ flow.ContentsRequest, each func(flow.ContentsItem) error) error {
		if err := each(flow.ContentsItem{ObjectRef: configMap("a").ref, Size: 1}); err != nil {
			return err
		}
		return coffer.Errorf(coffer.CodeArchiveCorrupt, "it was altered")
	}})
	items, status, err := ask(t, h, content.Contents{StorageLocation: "default", BackupName: "one"})
	var got *content.Error
	if len(items) != 1 || status != http.StatusOK || !errors.As(err, &got) || got.Code != string(coffer.CodeArchiveCorrupt) {
		t.Errorf("%+v, %d, %v", items, status, err)
	}
}

func TestOnlySoManyAnswersAreGivenAtOnce(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	h := New(Config{Streams: 2, Patience: 50 * time.Millisecond, Contents: func(ctx context.Context, q flow.ContentsRequest, _ func(flow.ContentsItem) error) error {
		if q.BackupName != "slow" {
			return nil
		}
		began <- struct{}{}
		<-finish
		return nil
	}})
	var slow sync.WaitGroup
	for range 2 {
		slow.Go(func() {
			if _, _, err := ask(t, h, content.Contents{StorageLocation: "default", BackupName: "slow"}); err != nil {
				t.Error(err)
			}
		})
		<-began
	}
	_, status, err := ask(t, h, content.Contents{StorageLocation: "default", BackupName: "fast"})
	var busy *content.Error
	if !errors.As(err, &busy) || busy.Code != string(coffer.CodeBusy) || status != http.StatusServiceUnavailable {
		t.Errorf("%d, %v", status, err)
	}
	close(finish)
	slow.Wait()
	if _, _, err := ask(t, h, content.Contents{StorageLocation: "default", BackupName: "fast"}); err != nil {
		t.Error(err)
	}
}

// endless answers until nobody listens, and tells by what error it knew.
func endless(ended chan<- error, stall time.Duration) *Handler {
	return New(Config{Streams: 1, Stall: stall, Contents: func(ctx context.Context, _ flow.ContentsRequest, each func(flow.ContentsItem) error) error {
		item := flow.ContentsItem{ObjectRef: coffer.ObjectRef{Name: strings.Repeat("x", 10_000)}}
		for {
			if err := errors.Join(ctx.Err(), each(item)); err != nil {
				ended <- err
				return err
			}
		}
	}})
}

func TestWhoStopsListeningEndsTheAnswer(t *testing.T) {
	path := content.Contents{StorageLocation: "default", BackupName: "one"}.URL().String()
	get := func(ctx context.Context, t *testing.T, server *httptest.Server) io.ReadCloser {
		t.Helper()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		return answer.Body
	}
	for name, stop := range map[string]func(io.ReadCloser, context.CancelFunc){
		"goes away":      func(_ io.ReadCloser, cancel context.CancelFunc) { cancel() },
		"closes":         func(body io.ReadCloser, _ context.CancelFunc) { body.Close() },
		"reads no more":  func(io.ReadCloser, context.CancelFunc) {},
		"reads a little": func(body io.ReadCloser, _ context.CancelFunc) { _, _ = io.CopyN(io.Discard, body, 100_000) },
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			server := httptest.NewServer(endless(ended, 100*time.Millisecond))
			defer server.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stop(get(ctx, t, server), cancel)
			select {
			case err := <-ended:
				t.Logf("it ends with: %v", err)
			case <-time.After(20 * time.Second):
				t.Error("the answer goes on")
			}
			cancel()
		})
	}
	t.Run("the extension ends", func(t *testing.T) {
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		server := httptest.NewUnstartedServer(nil)
		server.Config = Server(ctx, endless(ended, time.Minute))
		server.Start()
		defer server.Close()
		body := get(t.Context(), t, server)
		cancel()
		err := content.Read(body, func(content.Item) error { return nil })
		var said *content.Error
		if !errors.As(err, &said) || !strings.Contains(said.Message, "canceled") {
			t.Errorf("%v", err)
		}
		body.Close()
	})
}

// sink counts what is written to it, and looks at the memory now and then.
type sink struct {
	header http.Header
	bytes  int
	next   int
	peak   uint64
}

// Header implements http.ResponseWriter.
func (s *sink) Header() http.Header { return s.header }

// WriteHeader implements http.ResponseWriter.
func (s *sink) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (s *sink) Write(p []byte) (int, error) {
	if s.bytes += len(p); s.bytes > s.next {
		s.next = s.bytes + 10<<20
		s.peak = max(s.peak, live())
	}
	return len(p), nil
}

func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestALargeRecoveryPointIsNeverHeld(t *testing.T) {
	s := newStore(t)
	func() {
		objects := make([]stored, 50_000)
		for i := range objects {
			o := configMap(fmt.Sprintf("map-%06d", i))
			o.body = strings.Replace(o.body, "<b>", strings.Repeat(fmt.Sprint(i), 200), 1)
			objects[i] = o
		}
		s.seal(t, "large", false, objects...)
	}()
	h := New(Config{Contents: s.reader().Contents})
	before := live()
	w := &sink{header: http.Header{}}
	q := content.Contents{StorageLocation: "default", BackupName: "large", Objects: true}
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, q.URL().String(), nil))
	if w.bytes < 50<<20 {
		t.Fatalf("only %d bytes were answered", w.bytes)
	}
	if grown := int64(w.peak) - int64(before); grown > 10<<20 {
		t.Errorf("%d MiB were held for an answer of %d MiB", grown>>20, w.bytes>>20)
	}
}

func TestManyAreServedAtOnce(t *testing.T) {
	s := newStore(t)
	objects := []stored{login()}
	for i := range 3_000 {
		objects = append(objects, configMap(fmt.Sprintf("map-%06d", i)))
	}
	s.seal(t, "one", true, objects...)
	h := New(Config{Contents: s.reader().Contents, Patience: time.Minute})
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			items, _, err := ask(t, h, content.Contents{StorageLocation: "default", BackupName: "one", Objects: i%2 == 0})
			if err != nil || len(items) != len(objects) {
				t.Errorf("%d items, %v", len(items), err)
			}
		})
	}
	all.Wait()
}

func TestRequestsAreLogged(t *testing.T) {
	s := newStore(t)
	s.seal(t, "one", false, login())
	var log bytes.Buffer
	h := New(Config{Contents: s.reader().Contents, Log: slog.New(slog.NewJSONHandler(&log, nil))})
	if _, _, err := ask(t, h, content.Contents{StorageLocation: "default", BackupName: "one", Objects: true, Secrets: true}); err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line["path"] != "/v1/storage-locations/default/backups/one/contents" || line["query"] != "objects=true&secrets=true" || line["items"] != 1.0 {
		t.Errorf("%v", line)
	}
	if strings.Contains(log.String(), "aHVudGVyMg==") {
		t.Error("the log shows it")
	}
}
