package arm

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// A route is what can be done with one kind of target. What has no route is not there.
type route struct {
	// method is HTTP's.
	method string
	// kind is the type of the target in ARM's spelling; on says whether it is a resource, or a collection or action below one.
	kind string
	on   on
	// below are the types that a collection or action may lie below; the empty one is the root of the tenant, and nil is any.
	below []string
	// action is what role definitions call it; empty is for everybody who is somebody.
	action string
	handle func(ctx context.Context, r request) (answer, error)
	// query are the parameters that it has beside those of all, for the document.
	query []string
	// accepts says that an answer may be that something is under way.
	accepts bool
}

// on is what a path ends with.
type on int

const (
	onResource on = iota
	// onRest is a collection or an action.
	onRest
)

// request is one that is understood and allowed.
type request struct {
	target catalogue.Target
	caller vault.Caller
	// body is a JSON document, or nil.
	body []byte
	http *http.Request
	// base is what urls in answers begin with: https://HOST.
	base string
	// grants are what the caller may do.
	grants vault.Grants
}

// answer is what is sent back.
type answer struct {
	status int
	// body is encoded as JSON; nil is none.
	body any
	// header is added.
	header http.Header
}

// routes are the table, by the target's type in lower case.
type routes map[string][]route

func newRoutes(table ...[]route) routes {
	found := routes{}
	for _, r := range slices.Concat(table...) {
		if r.handle == nil || r.kind == "" || r.method == "" {
			panic("a route without a type, a method or a handler: " + r.method + " " + r.kind)
		}
		key := strings.ToLower(r.kind)
		found[key] = append(found[key], r)
	}
	return found
}

// find is the route of a request; allowed are the methods that the target has, if it has any.
func (all routes) find(method string, target catalogue.Target) (r route, allowed []string, ok bool) {
	where := onResource
	if target.Rest != "" {
		where = onRest
	}
	kind := strings.ToLower(target.Type())
	if strings.HasPrefix(kind, anyProvider[:len(anyProvider)-1]) {
		kind = anyProvider
	}
	for _, candidate := range all[kind] {
		if candidate.on != where || where == onRest && !candidate.liesBelow(target.ID) {
			continue
		}
		if candidate.method == method {
			return candidate, nil, true
		}
		allowed = append(allowed, candidate.method)
	}
	return route{}, allowed, false
}

func (r route) liesBelow(id catalogue.ID) bool {
	return r.below == nil || slices.ContainsFunc(r.below, func(kind string) bool { return strings.EqualFold(kind, id.Type()) })
}

// anyProvider is the type of the path of one resource provider: there is one route for all.
const anyProvider = "providers/*"

// noRoute is why there is none.
func noRoute(method string, target catalogue.Target, allowed []string) (answer, error) {
	if len(allowed) == 0 {
		return answer{}, coffer.Errorf(coffer.CodeTypeNotFound, "there is nothing of type %q at %s", target.Type(), string(target.ID)+"/"+target.Rest)
	}
	return answer{header: http.Header{"Allow": {strings.Join(allowed, ", ")}}},
		coffer.Errorf(coffer.CodeMethodNotAllowed, "%s is not possible on a %s", method, target.Type()).WithHint("use %s", strings.Join(allowed, ", "))
}
