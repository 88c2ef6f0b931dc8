package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// Ask implements coffer.Cluster.
func (c *Cluster) Ask(ctx context.Context, a coffer.Ask) (coffer.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	target, err := c.proxied(a)
	if err != nil {
		return coffer.Answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return coffer.Answer{}, fmt.Errorf("ask %s: %w", target.Path, err)
	}
	response, err := c.web.Do(request)
	if err != nil {
		return coffer.Answer{}, fmt.Errorf("ask %s: %w", target.Path, err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return coffer.Answer{}, fmt.Errorf("ask %s: read the answer: %w", target.Path, err)
	}
	return coffer.Answer{Status: response.StatusCode, Body: string(body)}, nil
}

// proxied is the URL by which the API server passes a request on.
func (c *Cluster) proxied(a coffer.Ask) (*url.URL, error) {
	kind, name := "services", a.Service
	if a.Pod != "" {
		kind, name = "pods", a.Pod
	}
	name += ":" + a.Port
	if a.TLS {
		name = "https:" + name
	}
	// What leads out of the proxy's path would be asked of the API server itself, with all rights of this program.
	for _, part := range []string{a.Namespace, kind, name} {
		if part == "" || strings.ContainsAny(part, "/\\%?#") {
			return nil, coffer.Errorf(coffer.CodeInvalid, "%q cannot be asked", name)
		}
	}
	path, err := url.Parse(a.Path)
	if err != nil || path.Host != "" || path.Scheme != "" || leaves(path.Path) {
		return nil, coffer.Errorf(coffer.CodeInvalid, "%q is not a path to ask for", a.Path)
	}
	target := c.client.Get().AbsPath("/api/v1/namespaces", a.Namespace, kind, name, "proxy").URL().JoinPath(path.EscapedPath())
	target.RawQuery = path.RawQuery
	return target, nil
}

func leaves(path string) bool {
	return strings.Contains(path, `\`) || slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return part == ".." || part == "." })
}

// unredirected is a client that takes a redirect for an answer.
func unredirected(c *http.Client) *http.Client {
	as := *c
	as.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &as
}
