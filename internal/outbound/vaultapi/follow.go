package vaultapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// follow asks for the state of what a request has begun until it is final.
func (c *Client) follow(ctx context.Context, first *http.Response, progress func(state string)) (Reply, error) {
	reply := Reply{Status: first.StatusCode}
	poller, err := runtime.NewPoller[json.RawMessage](first, c.pipeline, nil)
	if err != nil {
		return reply, c.translate(err)
	}
	pause := retryAfter(first)
	for !poller.Done() {
		if err := wait(ctx, pause); err != nil {
			return reply, fmt.Errorf("stopped waiting; what was begun goes on: %w", err)
		}
		response, err := poller.Poll(ctx) //nolint:bodyclose // The poller has read it to its end.
		if err != nil {
			return reply, c.translate(err)
		}
		if pause = retryAfter(response); pause == 0 {
			pause = c.interval
		}
		if progress != nil && !poller.Done() {
			progress(stateOf(response))
		}
	}
	body, err := poller.Result(ctx)
	if err != nil {
		return reply, c.translate(err)
	}
	reply.Body, err = checkJSON(body)
	return reply, err
}

// retryAfter is how long the server wants one to wait, up to a minute.
func retryAfter(r *http.Response) time.Duration {
	seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 60))*time.Second, time.Minute)
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// stateOf is the word for the state of an operation in an answer that the poller has read already.
func stateOf(r *http.Response) string {
	var body struct {
		Status     string `json:"status"`
		Properties struct {
			State string `json:"provisioningState"`
		} `json:"properties"`
	}
	text, err := runtime.Payload(r)
	if err == nil && json.Unmarshal(text, &body) == nil {
		if body.Status != "" {
			return body.Status
		}
		if body.Properties.State != "" {
			return body.Properties.State
		}
	}
	return "InProgress"
}

type page struct {
	Value    []json.RawMessage `json:"value"`
	NextLink string            `json:"nextLink"`
}

// maxPages bounds a list whose end does not come.
const maxPages = 10_000

// List is all of a collection, page by page.
func (c *Client) List(ctx context.Context, path string) ([]json.RawMessage, error) {
	var all []json.RawMessage
	err := c.Each(ctx, path, func(item json.RawMessage) error {
		all = append(all, item)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Each calls each for every item of a collection, holding a page at a time. Errors of each end it, and are returned as they are.
func (c *Client) Each(ctx context.Context, path string, each func(item json.RawMessage) error) error {
	pager := runtime.NewPager(runtime.PagingHandler[page]{
		More:    func(p page) bool { return p.NextLink != "" },
		Fetcher: func(ctx context.Context, last *page) (page, error) { return c.page(ctx, path, last) },
	})
	for pages := 0; pager.More(); pages++ {
		if pages == maxPages {
			return fmt.Errorf("the list %s has no end: %d pages were read", path, pages)
		}
		p, err := pager.NextPage(ctx)
		if err != nil {
			return c.translate(err)
		}
		for _, item := range p.Value {
			if err := each(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// page reads the page after another; the first after nil.
func (c *Client) page(ctx context.Context, path string, last *page) (p page, err error) {
	request, err := c.request(ctx, Call{Method: http.MethodGet, Path: path})
	if err == nil && last != nil {
		request, err = runtime.NewRequest(ctx, http.MethodGet, last.NextLink)
	}
	if err != nil {
		return p, err
	}
	response, err := c.pipeline.Do(request)
	if err != nil {
		return p, err
	}
	if !runtime.HasStatusCode(response, http.StatusOK) {
		defer func() { _ = response.Body.Close() }()
		return p, runtime.NewResponseError(response)
	}
	return p, runtime.UnmarshalAsJSON(response, &p)
}
