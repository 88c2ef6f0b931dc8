package arm

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// requestTime is how long a request may take, and maxRequests how many are under way at a time: others are told to come again, so
// that whoever sends many does not take the memory of all.
const (
	requestTime = time.Minute
	maxRequests = 256
	// maxRequestsOfOne is how many of them are one principal's: whoever sends slowly does not take the turns of all.
	maxRequestsOfOne = 64
	// recordTime is how long it may take to record that a request was refused.
	recordTime = 10 * time.Second
)

// Config is what a Server needs; all of it but Replicas.
type Config struct {
	Keeper *vault.Keeper
	Access *vault.Access
	// Joining and Consents are of clusters, and Links says which are linked here, and ends links.
	Joining  *vault.Joining
	Consents *vault.Consents
	Links    Links
	// Replicas are the other ones of this server.
	Replicas Replicas
	// Jobs are those of the same keeper.
	Jobs *vault.Jobs
	// Authenticate says whose the value of an Authorization header is; its errors have codes.
	Authenticate func(ctx context.Context, header string) (catalogue.Principal, error)

	Tenant string
	// URL is what clients reach the server by, without a slash at its end; empty is the host that the request names.
	URL string
	Log *slog.Logger
	// NewID makes ids that cannot be guessed.
	NewID func() string
	// Observe is told of each request: the route's type and method, or empty ones, the status and how long it took.
	Observe func(kind, method string, status int, took time.Duration)
}

// Server serves ARM's API. It may be used concurrently.
type Server struct {
	Config
	routes routes
	// turns has a place for each request that is under way.
	turns chan struct{}
	// graphs has a place for each query of the resource graph that is being answered.
	graphs chan struct{}
	// reads has a place for each answer of a cluster that is being read.
	reads chan struct{}
	// busy are the requests of each principal that are under way.
	busy     busy
	refusals refusals
}

// New makes a server.
func New(c Config) *Server {
	s := &Server{Config: c, turns: make(chan struct{}, maxRequests), graphs: make(chan struct{}, maxGraphs), reads: make(chan struct{}, maxContents)}
	s.routes = newRoutes(s.resourceRoutes(), s.recordRoutes(), s.instanceRoutes(), s.accessRoutes(), s.auditRoutes(), s.locationRoutes(), s.graphRoutes(), s.clusterRoutes(),
		s.directoryRoutes(), s.operationRoutes(), s.jobRoutes(), s.contentRoutes(), s.protectionRoutes(), s.previewRoutes(),
		s.softDeleteRoutes(), s.holdRoutes(), s.guardRoutes(), s.alertRoutes(), s.scheduleRoutes(), s.meterRoutes(), s.orphanRoutes())
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	id := correlation(r, s.NewID)
	w.Header().Set("X-Ms-Request-Id", id)
	w.Header().Set("X-Ms-Correlation-Request-Id", id)
	w.Header().Set("Cache-Control", "no-store")
	x := &exchange{server: s, w: w, r: r.WithContext(ctx), id: id}
	var a answer
	var err error
	select {
	case s.turns <- struct{}{}:
		a, err = x.serve()
		<-s.turns
	default:
		err = tooMany("too many requests are under way", "try again later")
	}
	if ctx.Err() == context.DeadlineExceeded && err != nil {
		err = &coffer.Error{Code: coffer.CodeTimeout, Message: "the request took longer than " + requestTime.String(), Transient: true, Err: err}
	}
	status := s.answer(w, x, a, err)
	s.Observe(x.route.kind, x.route.method, status, time.Since(began))
	s.Log.Info("request", "method", r.Method, "path", r.URL.Path, "status", status, "took", time.Since(began), "correlation", id,
		"principal", x.caller.Principal.ObjectID)
}

// exchange is one request on its way through the server.
type exchange struct {
	server *Server
	w      http.ResponseWriter
	r      *http.Request
	id     string
	// route and caller are known from where they are found out.
	route  route
	caller vault.Caller
}

// serve goes from the outside to the inside: nothing is said about what is there to somebody who may not know.
func (x *exchange) serve() (a answer, err error) {
	defer func() {
		if r := recover(); r != nil {
			a, err = answer{}, errors.New("a handler panicked")
			x.server.Log.Error("panic", "correlation", x.id, "value", r, "stack", string(debug.Stack()))
		}
	}()
	ctx := x.r.Context()
	principal, err := x.server.Authenticate(ctx, x.r.Header.Get("Authorization"))
	if err != nil {
		return answer{header: http.Header{"Www-Authenticate": {`Bearer realm="coffer"`}}}, err
	}
	if !x.server.busy.enter(principal.ObjectID) {
		return answer{}, tooMany("too many requests of yours are under way", "send fewer at a time")
	}
	defer x.server.busy.leave(principal.ObjectID)
	target, err := catalogue.ParsePath(x.r.URL.Path)
	if err != nil {
		return answer{}, err
	}
	if err := checkVersion(x.r); err != nil {
		return answer{}, err
	}
	route, allowed, ok := x.server.routes.find(x.method(target), target)
	if !ok {
		return noRoute(x.r.Method, target, allowed)
	}
	x.route = route
	x.caller = vault.Caller{Principal: principal, Request: x.id, Remote: x.r.RemoteAddr, ClientRequest: clientRequest(x.r)}
	grants, err := x.server.Access.Grants(ctx, principal)
	if err != nil {
		return answer{}, err
	}
	if route.action != "" {
		if err := grants.Check(route.action, target.ID); err != nil {
			return answer{}, x.refused(ctx, target, err)
		}
	}
	body, err := readBody(x.w, x.r)
	if err != nil {
		return answer{}, err
	}
	// What is malformed in it is for the handler to refuse.
	x.caller.GuardRequests, _ = arm.GuardRequests(body)
	a, err = x.server.approving(ctx, request{
		target: target, caller: x.caller, body: body, http: x.r, base: x.server.base(x.r),
		grants: grants,
	}, route.handle)
	switch code := coffer.CodeOf(err); {
	case code == coffer.CodeAuthorizationFailed, code == coffer.CodeLinkedAuthorizationFailed, code == coffer.CodeGuarded:
		err = x.refused(ctx, target, err)
	case err == nil && x.r.Method == http.MethodHead:
		a = answer{status: http.StatusNoContent}
	}
	return a, err
}

func tooMany(message, hint string) *coffer.Error {
	return &coffer.Error{Code: coffer.CodeTooManyRequests, Message: message, Hint: hint, Transient: true}
}

// method is by which a route is found: HEAD asks whether there is a resource, and is a GET without a body.
func (x *exchange) method(target catalogue.Target) string {
	if x.r.Method == http.MethodHead && target.Rest == "" {
		return http.MethodGet
	}
	return x.r.Method
}

// refused records that somebody may not do what they asked for, if it is a write, and is what they are told. Whoever has no role at all
// can ask for what they may not do, so they are bounded in how much they write into the log.
func (x *exchange) refused(ctx context.Context, target catalogue.Target, err error) error {
	if x.route.method == http.MethodGet {
		return err
	}
	if !x.server.refusals.take(x.caller.Principal.ObjectID, time.Now()) {
		return tooMany("too many requests of yours were refused", "ask for the role that they need, and try again in a minute")
	}
	// Who does not wait for the answer is recorded all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	status, body := describe(err, x.id)
	if failed := x.server.Access.RecordRefusal(ctx, x.caller, x.route.action, target.ID, status, coffer.Code(body.Error.Code)); failed != nil {
		x.server.Log.Error("a refused write is not in the audit log", "correlation", x.id, "error", failed)
	}
	return err
}

// answer writes what came of a request, and says the status.
func (s *Server) answer(w http.ResponseWriter, x *exchange, a answer, err error) int {
	for name, values := range a.header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	status, body := a.status, a.body
	if err != nil {
		var described arm.CloudError
		if status, described = describe(err, x.id); described.Error.Code != "" {
			w.Header().Set("X-Ms-Error-Code", described.Error.Code)
		}
		body = described
		if status >= http.StatusInternalServerError {
			s.Log.Error("request failed", "correlation", x.id, "method", x.r.Method, "path", x.r.URL.Path, "error", err)
		}
		if coded, ok := errors.AsType[*coffer.Error](err); ok && coded.Transient {
			w.Header().Set("Retry-After", "5")
		}
	}
	if body == nil {
		w.WriteHeader(status)
		return status
	}
	text, err := json.Marshal(body)
	if err != nil {
		s.Log.Error("an answer cannot be encoded", "correlation", x.id, "error", err)
		status, text = http.StatusInternalServerError, []byte(`{"error":{"code":"InternalServerError","message":"the answer cannot be encoded"}}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text)
	return status
}

// base is what urls begin with that clients are to follow.
func (s *Server) base(r *http.Request) string {
	if s.URL != "" {
		return s.URL
	}
	return (&url.URL{Scheme: "https", Host: r.Host}).String()
}

// correlation is what a request is called in logs: the client's own word for it, if it is a decent one.
func correlation(r *http.Request, newID func() string) string {
	if given := r.Header.Get("X-Ms-Correlation-Request-Id"); given != "" && len(given) <= 64 && strings.Trim(given, "0123456789abcdefABCDEF-") == "" {
		return given
	}
	return newID()
}

// clientRequest is the id that a client has given its request, if it is a UUID: those are made for one request, and words are for many.
func clientRequest(r *http.Request) string {
	const length = 36 // without braces, or what else uuid.Parse takes
	given := r.Header.Get("X-Ms-Client-Request-Id")
	id, err := uuid.Parse(given)
	if err != nil || len(given) != length || id == uuid.Nil {
		return ""
	}
	return id.String()
}
