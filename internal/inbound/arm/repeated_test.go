package arm

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

const clientRequestID = "X-Ms-Client-Request-Id"

// restores are how many the vault has begun.
func (w *world) restores() int {
	w.t.Helper()
	list, _ := w.must(200, http.MethodGet, strings.TrimSuffix(jobsID, "/")+version, "").at("value").([]any)
	n := 0
	for _, j := range list {
		if p, ok := j.(map[string]any)["properties"].(map[string]any); ok && p["operation"] == "Restore" {
			n++
		}
	}
	return n
}

// restorable is a world with a recovery point, and the request that restores it.
func restorable(t *testing.T) (w *world, body string) {
	t.Helper()
	w = newInstance(t)
	w.putPoint("p1", time.Date(2026, 5, 4, 2, 0, 0, 0, time.UTC))
	return w, bareRestore
}

func TestARepeatedPostAnswersWithTheSameOperation(t *testing.T) {
	w, body := restorable(t)
	restore := func(body, id string) (async, location string) {
		t.Helper()
		got := w.must(202, http.MethodPost, instanceID+"/restore"+version, body, clientRequestID, id)
		return got.header.Get("Azure-AsyncOperation"), got.header.Get("Location")
	}
	const first, second = "0a8c8a0c-2b6e-4a53-9a46-2b7a5a1c8d10", "7d9b2f3e-6a0f-4c0a-8f5b-1f2e3d4c5b6a"
	async, location := restore(body, first)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			// Some write theirs in capitals.
			got := w.do("owner", http.MethodPost, instanceID+"/restore"+version, body, clientRequestID, strings.ToUpper(first))
			if a, l := got.header.Get("Azure-AsyncOperation"), got.header.Get("Location"); got.status != http.StatusAccepted || a != async || l != location || a == "" || l == "" {
				t.Errorf("once more, it is %d, %s and %s, want %s and %s", got.status, a, l, async, location)
			}
		})
	}
	all.Wait()
	if n := w.restores(); n != 1 {
		t.Fatalf("%d restores have begun", n)
	}
	// Others, and ids that are words, for those are for many requests.
	for n, id := range []string{second, "terraform", "", "", "terraform", "{" + first + "}", "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"} {
		if a, _ := restore(body, id); a == async {
			t.Errorf("%q is answered with the operation of another", id)
		}
		if got := w.restores(); got != n+2 {
			t.Errorf("with %q there are %d restores, want %d", id, got, n+2)
		}
	}
	if a, _ := restore(strings.Replace(body, "{", "{ ", 1), first); a == async {
		t.Error("another body is answered with the operation of the first")
	}
}

// lossy loses the answers to the first requests, once the server has sent them.
type lossy struct {
	client *http.Client
	token  string
	loses  int
	ids    []string
}

func (l *lossy) Do(r *http.Request) (*http.Response, error) {
	l.ids = append(l.ids, r.Header.Get(clientRequestID))
	r.Header.Set("Authorization", "Bearer "+l.token)
	answer, err := l.client.Do(r)
	if err != nil || len(l.ids) > l.loses {
		return answer, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return nil, errors.Join(err, answer.Body.Close(), io.ErrUnexpectedEOF)
}

// TestAzuresClientsThatLoseAnAnswerRestoreOnce has azcore repeat a POST by itself, as it does with every method, with the policy that gives requests an id.
func TestAzuresClientsThatLoseAnAnswerRestoreOnce(t *testing.T) {
	w, body := restorable(t)
	l := &lossy{client: w.Client(), token: "owner", loses: 2}
	pipeline := runtime.NewPipeline("test", "v1", runtime.PipelineOptions{PerCall: []policy.Policy{runtime.NewRequestIDPolicy()}}, &policy.ClientOptions{
		Transport: l, Retry: policy.RetryOptions{RetryDelay: time.Millisecond},
	})
	restore := func() string {
		t.Helper()
		l.ids = nil
		request, err := runtime.NewRequest(t.Context(), http.MethodPost, w.URL+instanceID+"/restore"+version)
		if err == nil {
			err = request.SetBody(seekable{strings.NewReader(body)}, "application/json")
		}
		if err != nil {
			t.Fatal(err)
		}
		answer, err := pipeline.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode != http.StatusAccepted || len(l.ids) != 3 || l.ids[0] == "" || l.ids[0] != l.ids[2] {
			t.Fatalf("%d by the ids %q", answer.StatusCode, l.ids)
		}
		return answer.Header.Get("Azure-AsyncOperation")
	}
	if first, second := restore(), restore(); first == second || w.restores() != 2 {
		t.Errorf("two calls, of which two answers each were lost, have begun %d restores: %s and %s", w.restores(), first, second)
	}
}

type seekable struct{ *strings.Reader }

func (seekable) Close() error { return nil }
