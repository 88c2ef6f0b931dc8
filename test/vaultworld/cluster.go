package vaultworld

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

// Cluster is an APIServer that keeps run objects, behind HTTP: one name is one object, what has another uid is not changed, and an
// identity that is not bound may nothing. It may be used concurrently.
type Cluster struct {
	*APIServer
	server *httptest.Server
	now    func() time.Time

	// mu guards all below.
	mu      sync.Mutex
	objects map[string]map[string]any
	made    int
	deleted []string
	// calls counts requests. The call dieAt is not made; the answer to the call dieAfter is lost.
	calls, dieAt, dieAfter int
	// reader answers requests for contents.
	reader http.Handler
	// onMade is the status that objects have at once.
	onMade func(resource, name string) string
}

// NewCluster makes a cluster without objects in which nobody is bound.
func NewCluster(t testing.TB, now func() time.Time, info catalogue.ClusterInfo) *Cluster {
	t.Helper()
	c := &Cluster{
		APIServer: NewAPIServer(t, info), now: now, objects: map[string]map[string]any{}, dieAt: -1, dieAfter: -1,
		reader: http.NotFoundHandler(),
	}
	c.server = httptest.NewServer(c)
	t.Cleanup(c.server.Close)
	return c
}

// OnMade has the extension write the status of an object as soon as it is made, by its resource and name; empty is none.
func (c *Cluster) OnMade(status func(resource, name string) string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onMade = status
}

// Read serves contents by a handler.
func (c *Cluster) Read(reader http.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reader = reader
}

// DieAt breaks the request of a number, counted from now and from 0: lost says that only its answer is. A negative number breaks none.
func (c *Cluster) DieAt(call int, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.dieAt, c.dieAfter = 0, -1, -1
	if lost {
		c.dieAfter = call
	} else {
		c.dieAt = call
	}
}

// Calls is how many requests came since DieAt was called.
func (c *Cluster) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// Made is how many objects were ever made.
func (c *Cluster) Made() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made
}

// Names are those of all objects of a resource, such as backups, sorted.
func (c *Cluster) Names(resource string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := []string{}
	for key := range c.objects {
		if of, name, _ := strings.Cut(key, "/"); of == resource {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Get is a field of an object, by the names on the way to it; nil if there is none.
func (c *Cluster) Get(resource, name string, path ...string) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	var v any = c.objects[resource+"/"+name]
	for _, field := range path {
		m, _ := v.(map[string]any)
		v = m[field]
	}
	return v
}

// IsSet says whether a field of an object is true, by the names on the way to it.
func (c *Cluster) IsSet(resource, name string, path ...string) bool {
	set, _ := c.Get(resource, name, path...).(bool)
	return set
}

// SetStatus does what an extension does: it writes the status of an object, if there is one.
func (c *Cluster) SetStatus(resource, name, status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.objects[resource+"/"+name]
	if o == nil {
		return
	}
	var decoded map[string]any
	if err := json.Unmarshal([]byte(status), &decoded); err != nil {
		panic(err)
	}
	o["status"] = decoded
}

// Remove deletes an object, as somebody in the cluster does.
func (c *Cluster) Remove(resource, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.objects, resource+"/"+name)
}

// Put puts an object there that somebody in the cluster has made.
func (c *Cluster) Put(resource, name string, labels map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(resource, name, map[string]any{"metadata": map[string]any{"name": name, "labels": labels}})
}

func (c *Cluster) keep(resource, name string, o map[string]any) map[string]any {
	c.made++
	meta, _ := o["metadata"].(map[string]any)
	meta["uid"], meta["creationTimestamp"] = fmt.Sprintf("00000000-0000-4000-8000-%012d", c.made), c.now().Format(time.RFC3339)
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var kept map[string]any
	if err := json.Unmarshal(text, &kept); err != nil {
		panic(err)
	}
	c.objects[resource+"/"+name] = kept
	if c.onMade != nil {
		if status := c.onMade(resource, name); status != "" {
			var decoded map[string]any
			if err := json.Unmarshal([]byte(status), &decoded); err != nil {
				panic(err)
			}
			kept["status"] = decoded
		}
	}
	return kept
}

// ServeHTTP implements http.Handler.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.calls
	c.calls++
	if call == c.dieAt {
		panic(http.ErrAbortHandler)
	}
	status, answer := c.serve(r, body)
	if call == c.dieAfter {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (c *Cluster) serve(r *http.Request, body []byte) (int, any) {
	who := r.Header.Get("Impersonate-User")
	prefix := "/apis/" + v1alpha1.GroupVersion.String() + "/namespaces/" + c.info.Namespace + "/"
	rest, ok := strings.CutPrefix(r.URL.Path, prefix)
	resource, name, _ := strings.Cut(rest, "/")
	switch {
	case !ok:
		return refusal(http.StatusNotFound, "NotFound", "", "the server could not find the requested resource")
	case !c.Bound(who):
		return refusal(http.StatusForbidden, "Forbidden", name, fmt.Sprintf("%s.%s is forbidden: User %q cannot %s resource %q", resource, v1alpha1.Group, who, r.Method, resource))
	}
	kept := c.objects[rest]
	switch {
	case r.Method == http.MethodPost:
		var o map[string]any
		if err := json.Unmarshal(body, &o); err != nil {
			return refusal(http.StatusBadRequest, "BadRequest", "", err.Error())
		}
		meta, _ := o["metadata"].(map[string]any)
		name, _ := meta["name"].(string)
		if c.objects[resource+"/"+name] != nil {
			return refusal(http.StatusConflict, "AlreadyExists", name, resource+" "+name+" already exists")
		}
		return http.StatusCreated, c.keep(resource, name, o)
	case r.Method == http.MethodGet && name == "":
		return http.StatusOK, c.list(resource, r.URL.Query())
	case kept == nil:
		return refusal(http.StatusNotFound, "NotFound", name, resource+" "+name+" not found")
	case r.Method == http.MethodGet:
		return http.StatusOK, kept
	case r.Method == http.MethodPatch:
		return c.patch(rest, name, kept, body)
	case r.Method == http.MethodDelete:
		var options struct {
			Preconditions struct {
				UID string `json:"uid"`
			} `json:"preconditions"`
		}
		_ = json.Unmarshal(body, &options)
		if uid := kept["metadata"].(map[string]any)["uid"]; options.Preconditions.UID != "" && uid != options.Preconditions.UID {
			return refusal(http.StatusConflict, "Conflict", name, "it has another uid")
		}
		delete(c.objects, rest)
		c.deleted = append(c.deleted, rest)
		return http.StatusOK, map[string]any{"kind": "Status", "status": "Success"}
	}
	return refusal(http.StatusMethodNotAllowed, "MethodNotAllowed", name, "no")
}

func (c *Cluster) patch(key, name string, kept map[string]any, body []byte) (int, any) {
	before, err := json.Marshal(kept)
	if err != nil {
		panic(err)
	}
	after, err := jsonpatch.MergePatch(before, body)
	if err != nil {
		return refusal(http.StatusBadRequest, "BadRequest", name, err.Error())
	}
	var patched map[string]any
	if err := json.Unmarshal(after, &patched); err != nil {
		panic(err)
	}
	if patched["metadata"].(map[string]any)["uid"] != kept["metadata"].(map[string]any)["uid"] {
		return refusal(http.StatusConflict, "Conflict", name, "it has another uid")
	}
	c.objects[key] = patched
	return http.StatusOK, patched
}

func (c *Cluster) list(resource string, query url.Values) any {
	label, value, _ := strings.Cut(query.Get("labelSelector"), "=")
	limit, _ := strconv.Atoi(query.Get("limit"))
	var keys []string
	for key, o := range c.objects {
		labels, _ := o["metadata"].(map[string]any)["labels"].(map[string]any)
		if strings.HasPrefix(key, resource+"/") && labels[label] == value && key > query.Get("continue") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	meta := map[string]any{}
	if len(keys) > limit {
		keys = keys[:limit]
		meta["continue"] = keys[limit-1]
	}
	items := make([]any, len(keys))
	for i, key := range keys {
		items[i] = c.objects[key]
	}
	return map[string]any{"metadata": meta, "items": items}
}

func refusal(status int, reason, name, message string) (int, any) {
	return status, map[string]any{
		"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": status, "details": map[string]any{"name": name},
	}
}

// Kubernetes implements catalogue.ClusterSession.
func (c *Cluster) Kubernetes(identity string) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if !strings.HasPrefix(r.URL.Path, "/apis/"+v1alpha1.Group+"/") {
			return c.APIServer.Kubernetes(identity).RoundTrip(r)
		}
		at, err := url.Parse(c.server.URL)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = at.Scheme, at.Host
		r.Header.Set("Impersonate-User", identity)
		return c.server.Client().Transport.RoundTrip(r)
	})
}

// Content implements catalogue.ClusterSession.
func (c *Cluster) Content(identity string) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		recorded := httptest.NewRecorder()
		if !c.Bound(identity) {
			recorded.WriteHeader(http.StatusForbidden)
			return recorded.Result(), nil
		}
		c.mu.Lock()
		reader := c.reader
		c.mu.Unlock()
		reader.ServeHTTP(recorded, r)
		return recorded.Result(), nil
	})
}
