package arm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Replicas is how requests are passed on to other replicas of this server. The zero value passes nothing on.
type Replicas struct {
	// Elsewhere is the url of the replica that holds the link of a cluster; empty if it is this one or none.
	Elsewhere func(ctx context.Context, cluster catalogue.ID) (url string, err error)
	// Transport reaches the other replicas, and makes sure that they are.
	Transport http.RoundTripper
}

// passedOn is the header of a request that has been passed on: it is not once more.
const passedOn = "Coffer-Passed-On"

// maxPassed bounds the answer of another replica, in bytes.
const maxPassed = 64 << 20

// What is passed on of a request, and handed back of an answer.
var (
	passedHeaders   = []string{"Authorization", "Content-Type", "Accept", "If-Match", "If-None-Match", "X-Ms-Client-Request-Id"}
	answeredHeaders = []string{"Etag", "Location", "Azure-Asyncoperation", "Retry-After", "X-Ms-Error-Code", "Warning"}
)

// elsewhere passes a request that needs a cluster on to the replica that holds its link: passed says that a is what that one has answered.
// Otherwise the cluster is linked here, or nowhere.
func (s *Server) elsewhere(ctx context.Context, r request, cluster catalogue.ID) (a answer, passed bool, err error) {
	if s.Replicas.Elsewhere == nil || r.http.Header.Get(passedOn) != "" {
		return answer{}, false, nil
	}
	if _, err := s.Links.Session(ctx, cluster); err == nil {
		return answer{}, false, nil
	}
	url, err := s.Replicas.Elsewhere(ctx, cluster)
	if err != nil || url == "" {
		return answer{}, false, err
	}
	a, err = s.pass(ctx, r, url)
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("another replica does not answer", "url", url, "cluster", cluster, "error", err)
		err = &coffer.Error{
			Code: coffer.CodeClusterNotReachable, Message: fmt.Sprintf("the cluster %s is linked to another replica of this server, which does not answer", cluster),
			Hint: "try again in a minute", Transient: true,
		}
	}
	return a, err == nil, err
}

// pass has another replica answer a request, by the caller's own token.
func (s *Server) pass(ctx context.Context, r request, base string) (answer, error) {
	out, err := http.NewRequestWithContext(ctx, r.http.Method, base+r.http.URL.RequestURI(), bytes.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	// Urls in the answer are those that the caller knows.
	out.Host = r.http.Host
	for _, name := range passedHeaders {
		if v := r.http.Header.Get(name); v != "" {
			out.Header.Set(name, v)
		}
	}
	out.Header.Set(passedOn, "1")
	out.Header.Set("X-Ms-Correlation-Request-Id", r.caller.Request)
	back, err := s.Replicas.Transport.RoundTrip(out)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = back.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(back.Body, maxPassed+1))
	if err != nil {
		return answer{}, err
	}
	if len(text) > maxPassed || len(text) > 0 && !json.Valid(text) {
		return answer{}, errors.New("its answer is too large, or no JSON")
	}
	a := answer{status: back.StatusCode, header: http.Header{}}
	if len(text) > 0 {
		a.body = json.RawMessage(text)
	}
	for _, name := range answeredHeaders {
		if v := back.Header.Values(name); len(v) > 0 {
			a.header[name] = v
		}
	}
	return a, nil
}
