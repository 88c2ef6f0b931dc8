package arm

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// Pages are of 100 resources unless the client asks for another number.
const (
	defaultPage = 100
	maxPage     = 500
)

// resourceRoutes are those of every kind of resource that is kept: put, patch, get, delete, list.
func (s *Server) resourceRoutes() []route {
	var table []route
	for _, kind := range s.Keeper.Kinds {
		action := kind.Action()
		remove := route{method: http.MethodDelete, kind: kind.Type, action: action + "/delete", handle: s.deleteResource}
		if kind.Type == typeInstance {
			remove.handle, remove.accepts, remove.query = s.deleteInstance, true, []string{"retainData"}
		}
		table = append(table, route{method: http.MethodGet, kind: kind.Type, action: action + "/read", handle: s.getResource})
		if !kind.Fixed {
			table = append(table,
				route{method: http.MethodPut, kind: kind.Type, action: action + "/write", handle: s.putResource},
				route{method: http.MethodPatch, kind: kind.Type, action: action + "/write", handle: s.putResource},
				remove)
		}
		// Everybody may list: what is shown is what may be read.
		table = append(table, route{method: http.MethodGet, kind: listType(kind.Type), on: onRest, handle: s.listResources})
	}
	return table
}

// listType is the type of the path of a collection: those of groups and subscriptions have no provider in it.
func listType(kind string) string {
	switch kind {
	case "Microsoft.Resources/resourceGroups":
		return "Microsoft.Resources/subscriptions/resourceGroups"
	case "Microsoft.Resources/subscriptions":
		return "subscriptions"
	}
	return kind
}

func (s *Server) getResource(ctx context.Context, r request) (answer, error) {
	found, err := s.Keeper.Get(ctx, r.target.ID)
	if err != nil {
		return answer{}, err
	}
	return shown(http.StatusOK, found)
}

func shown(status int, r catalogue.Resource) (answer, error) {
	text, err := vault.Shown(r)
	return answer{status: status, body: text, header: http.Header{"Etag": {vault.ETag(r)}}}, err
}

func (s *Server) putResource(ctx context.Context, r request) (answer, error) {
	condition, err := conditionOf(r.http.Header)
	if err != nil {
		return answer{}, err
	}
	put := vault.Put{ID: r.target.ID, Body: r.body, Patch: r.http.Method == http.MethodPatch, If: condition}
	if put.Undelete, err = undeleted(r); err != nil {
		return answer{}, err
	}
	kept, err := s.Keeper.Put(ctx, r.caller, put)
	if err != nil {
		return answer{}, err
	}
	a, err := shown(kept.Status(), s.asked(ctx, r, kept.Resource))
	if err == nil && strings.EqualFold(kept.Resource.ID.Type(), typeProxy) {
		a, err = s.warnAlone(ctx, r, kept.Resource, a)
	}
	return tracked(r, a, kept.Operation), err
}

func (s *Server) deleteResource(ctx context.Context, r request) (answer, error) {
	condition, err := conditionOf(r.http.Header)
	if err != nil {
		return answer{}, err
	}
	o, found, err := s.Keeper.Delete(ctx, r.caller, r.target.ID, condition)
	switch {
	case err != nil:
		return answer{}, err
	case !found:
		return answer{status: http.StatusNoContent}, nil
	}
	if strings.EqualFold(o.Resource.Type(), typeCluster) {
		s.Links.Close(o.Resource)
	}
	kind := s.Keeper.Kinds[strings.ToLower(o.Resource.Type())]
	return tracked(r, answer{status: kind.DeletedStatus(), header: warning(o.Resource)}, o), nil
}

func (s *Server) listResources(ctx context.Context, r request) (answer, error) {
	limit, after, err := paging(r.http.URL.Query())
	if err != nil {
		return answer{}, err
	}
	kind := s.Keeper.Kinds[strings.ToLower(keptType(r.target.Type()))]
	visible := func(id catalogue.ID) bool { return r.grants.Sees(kind.Action()+"/read", id) }
	found, next, err := s.Keeper.List(ctx, catalogue.ResourceQuery{Type: kind.Type, Under: r.target.ID, After: after, Limit: limit}, visible)
	if err != nil {
		return answer{}, err
	}
	if len(found) == 0 && after == "" && visible(r.target.ID) && !strings.EqualFold(r.target.ID.Type(), typeLocation) {
		// Whoever may not read there is told the same of what is there and of what is not.
		if err := s.Keeper.MustExist(ctx, r.target.ID); err != nil {
			return answer{}, err
		}
	}
	return resourcePage(r, found, next)
}

// page is ARM's shape of a part of a collection.
type page struct {
	Value    []json.RawMessage `json:"value"`
	NextLink string            `json:"nextLink,omitempty"`
}

func resourcePage(r request, found []catalogue.Resource, next string) (answer, error) {
	p := page{Value: make([]json.RawMessage, len(found)), NextLink: nextLink(r, next)}
	for i, one := range found {
		var err error
		if p.Value[i], err = vault.Shown(one); err != nil {
			return answer{}, err
		}
	}
	return answer{status: http.StatusOK, body: p}, nil
}

// keptType undoes listType.
func keptType(kind string) string {
	switch strings.ToLower(kind) {
	case "microsoft.resources/subscriptions/resourcegroups":
		return "Microsoft.Resources/resourceGroups"
	case "subscriptions":
		return "Microsoft.Resources/subscriptions"
	}
	return kind
}

// paging reads which part of a collection is asked for.
func paging(query url.Values) (limit int, after string, err error) {
	limit = defaultPage
	if top := query.Get("$top"); top != "" {
		n, err := strconv.Atoi(top)
		if err != nil || n < 1 {
			return 0, "", coffer.Errorf(coffer.CodeInvalidInput, "$top is %.20q: give a number from 1 to %d", top, maxPage)
		}
		limit = min(n, maxPage)
	}
	token := query.Get("$skipToken")
	if token == "" {
		token = query.Get("$skiptoken")
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(token) > 4096 {
		return 0, "", coffer.Errorf(coffer.CodeInvalidInput, "the $skipToken is not one of this server's").WithHint("follow nextLink as it is")
	}
	return limit, string(text), nil
}

// nextLink is where the rest of a collection is, or empty.
func nextLink(r request, after string) string {
	if after == "" {
		return ""
	}
	query := r.http.URL.Query()
	query.Del("$skiptoken")
	query.Set("$skipToken", base64.RawURLEncoding.EncodeToString([]byte(after)))
	return r.base + r.http.URL.EscapedPath() + "?" + query.Encode()
}

// conditionOf reads what a write expects.
func conditionOf(h http.Header) (c catalogue.Condition, err error) {
	switch match, none := h.Get("If-Match"), h.Get("If-None-Match"); {
	case none == "*":
		c.New = true
	case none != "":
		return c, coffer.Errorf(coffer.CodeInvalidInput, "If-None-Match is %.60q: only * is possible", none)
	case match == "*":
		c.Exists = true
	case match == "":
	default:
		var ok bool
		if c, ok = vault.ParseETag(match); !ok {
			// An ETag that this server never gave is of no version.
			return c, coffer.Errorf(coffer.CodePreconditionFailed, "If-Match %.60q is not an ETag of this server", match).WithHint("read the resource again")
		}
	}
	return c, nil
}
