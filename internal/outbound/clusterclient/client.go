// Package clusterclient makes and reads the run objects of one vault in one cluster, through a session of that cluster.
package clusterclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

const (
	// requestTime is how long one request to a cluster may take.
	requestTime = 15 * time.Second
	// maxAnswer is how large an answer may be, in bytes: etcd keeps no larger object than 1.5 MiB. A list has several.
	maxAnswer = 8 << 20
	// pageLimit is how many objects are asked for at a time.
	pageLimit = 50
)

// answerLimits bound what decoding an answer may cost.
var answerLimits = bounded.JSONLimits{Depth: 64, Containers: 200_000, Values: 1_000_000}

// resources are the names of the kinds in urls.
var resources = map[job.Kind]string{
	job.Backup: "backups", job.Restore: "restores", job.DeleteBackup: "deletebackups",
	job.ValidateForBackup: "validateforbackups", job.ValidateForRestore: "validateforrestores",
}

// Client implements what the vault's flow calls Runs. It may be used concurrently. An object that another vault has made is not there
// for it.
type Client struct {
	http      *http.Client
	namespace string
	identity  string
}

// New makes a client of the run objects of the vault that has an identity.
func New(session catalogue.ClusterSession, identity string) *Client {
	return &Client{
		http: &http.Client{
			Transport: session.Kubernetes(identity), Timeout: requestTime,
			// An API server sends nobody elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		namespace: session.Info().Namespace, identity: identity,
	}
}

// Create makes a run object, or answers the one of that name that the vault has made before.
func (c *Client) Create(ctx context.Context, kind job.Kind, name string, spec any) (job.Run, error) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": c.namespace, "labels": map[string]string{job.VaultLabel: c.identity}},
		"spec":     spec,
	})
	if err != nil {
		return job.Run{}, err
	}
	text, err := c.do(ctx, request{method: http.MethodPost, kind: kind, body: body})
	if errors.Is(err, errExists) {
		found, err := c.Read(ctx, kind, name)
		if coffer.CodeOf(err) == coffer.CodeNotFound {
			err = coffer.Errorf(coffer.CodeConflict, "there is a %s %s in the cluster that this vault has not made", kind, name).
				WithHint("see whose it is: kubectl get -n %s %s.%s %s -o yaml", c.namespace, resources[kind], v1alpha1.Group, name)
		}
		return found, err
	}
	if err != nil {
		return job.Run{}, err
	}
	return c.own(kind, name, text)
}

// Read is a run object that the vault has made.
func (c *Client) Read(ctx context.Context, kind job.Kind, name string) (job.Run, error) {
	text, err := c.do(ctx, request{method: http.MethodGet, kind: kind, name: name})
	if err != nil {
		return job.Run{}, err
	}
	return c.own(kind, name, text)
}

// own reads a run object of a name, if the vault has made it.
func (c *Client) own(kind job.Kind, name string, text []byte) (job.Run, error) {
	run, err := job.ReadRun(text)
	if err != nil {
		return run, err
	}
	if run.Vault != c.identity || run.Name != name {
		return job.Run{}, notFound(kind, name)
	}
	return run, nil
}

// Cancel tells a run to end.
func (c *Client) Cancel(ctx context.Context, kind job.Kind, name string) (job.Run, error) {
	// Somebody else's is not touched.
	run, err := c.Read(ctx, kind, name)
	if err != nil || run.Phase.Final() {
		return run, err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]string{"uid": run.UID}, "spec": map[string]bool{"cancel": true}})
	if err != nil {
		return run, err
	}
	text, err := c.do(ctx, request{method: http.MethodPatch, kind: kind, name: name, body: patch})
	if err != nil {
		return run, err
	}
	return c.own(kind, name, text)
}

// Delete removes a run object that the vault has made.
func (c *Client) Delete(ctx context.Context, kind job.Kind, name string) error {
	run, err := c.Read(ctx, kind, name)
	if coffer.CodeOf(err) == coffer.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": map[string]string{"uid": run.UID}})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, request{method: http.MethodDelete, kind: kind, name: name, body: body})
	if coffer.CodeOf(err) == coffer.CodeNotFound {
		return nil
	}
	return err
}

// List are up to limit run objects of a kind that the vault has made.
func (c *Client) List(ctx context.Context, kind job.Kind, limit int) ([]job.Run, error) {
	var found []job.Run
	for next := ""; ; {
		query := url.Values{"labelSelector": {job.VaultLabel + "=" + c.identity}, "limit": {strconv.Itoa(min(pageLimit, limit-len(found)))}}
		if next != "" {
			query.Set("continue", next)
		}
		text, err := c.do(ctx, request{method: http.MethodGet, kind: kind, query: query})
		if err != nil {
			return nil, err
		}
		var page struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, coffer.Errorf(coffer.CodeServerError, "the cluster's answer is not a list of %s", resources[kind])
		}
		for _, item := range page.Items {
			run, err := job.ReadRun(item)
			if err != nil {
				return nil, err
			}
			if run.Vault == c.identity && len(found) < limit {
				found = append(found, run)
			}
		}
		if page.Metadata.Continue == "" || len(page.Items) == 0 || len(found) >= limit {
			return found, nil
		}
		next = page.Metadata.Continue
	}
}

type request struct {
	method string
	kind   job.Kind
	name   string
	query  url.Values
	body   []byte
}

// errExists is the answer to the creation of what there is.
var errExists = errors.New("it exists already")

// do sends one request, and answers the JSON that comes back.
func (c *Client) do(ctx context.Context, r request) ([]byte, error) {
	at := &url.URL{Scheme: "https", Host: "cluster", RawQuery: r.query.Encode()}
	at = at.JoinPath("apis", v1alpha1.Group, v1alpha1.GroupVersion.Version, "namespaces", url.PathEscape(c.namespace), resources[r.kind])
	if r.name != "" {
		at = at.JoinPath(url.PathEscape(r.name))
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	asked, err := http.NewRequestWithContext(ctx, r.method, at.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	asked.Header.Set("Accept", "application/json")
	if r.body != nil {
		asked.Header.Set("Content-Type", "application/json")
	}
	if r.method == http.MethodPatch {
		asked.Header.Set("Content-Type", "application/merge-patch+json")
	}
	answer, err := c.http.Do(asked)
	if err != nil {
		return nil, unreachable(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return nil, unreachable(err)
	}
	if len(text) > maxAnswer {
		return nil, coffer.Errorf(coffer.CodeServerError, "the cluster's answer is larger than %d MiB", maxAnswer>>20)
	}
	if answer.StatusCode/100 != 2 {
		return nil, c.refused(r, answer.StatusCode, text)
	}
	if err := bounded.JSON(text, answerLimits); err != nil {
		return nil, coffer.Errorf(coffer.CodeServerError, "the cluster's answer cannot be read: %s", job.Text(err.Error(), 200))
	}
	return text, nil
}

// unreachable is the error of a request that was not answered.
func unreachable(err error) error {
	if coded, ok := errors.AsType[*coffer.Error](err); ok {
		return coded
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &coffer.Error{
		Code: coffer.CodeClusterNotReachable, Message: "the cluster did not answer: " + job.Text(err.Error(), 300),
		Hint: "see whether the connector runs there: coffer cluster show", Transient: true,
	}
}

// refused is what an answer means that is no success. Only the reason of the API server's Status is believed, and its message shown.
func (c *Client) refused(r request, status int, text []byte) error {
	var said metav1.Status
	if bounded.JSON(text, answerLimits) != nil || json.Unmarshal(text, &said) != nil {
		said = metav1.Status{}
	}
	message := job.Text(said.Message, 1000)
	if message == "" {
		message = "HTTP " + strconv.Itoa(status)
	}
	switch {
	case status == http.StatusForbidden && strings.Contains(message, "cannot "):
		return coffer.Errorf(coffer.CodeTrustedAccessMissing, "the cluster does not let the vault in: %s", message).
			WithHint("its owner approves the trusted access by the command that the trusted access role binding shows")
	case status == http.StatusForbidden:
		// An admission rule, a quota or a namespace that is being deleted: it is the request that is not taken.
		return coffer.Errorf(coffer.CodeForbidden, "the cluster refuses the %s: %s", r.kind, message)
	case status == http.StatusConflict && said.Reason == metav1.StatusReasonAlreadyExists:
		return errExists
	case status == http.StatusConflict:
		return &coffer.Error{Code: coffer.CodeChanged, Message: fmt.Sprintf("the %s %s was changed meanwhile: %s", r.kind, r.name, message), Transient: true}
	case status == http.StatusNotFound && (r.name == "" || said.Details == nil || said.Details.Name != r.name):
		return coffer.Errorf(coffer.CodeExtensionNotFound, "the cluster has no %s.%s in namespace %s: %s", resources[r.kind], v1alpha1.Group, c.namespace, message).
			WithHint("install the Backup extension anew, in the version of this server: coffer cluster join")
	case status == http.StatusNotFound:
		return notFound(r.kind, r.name)
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError, status == http.StatusUnauthorized, status == http.StatusRequestTimeout:
		return &coffer.Error{Code: coffer.CodeClusterNotReachable, Message: "the cluster cannot answer at the moment: " + message, Hint: "try again later", Transient: true}
	}
	return coffer.Errorf(coffer.CodeRejected, "the cluster does not take the %s: %s", r.kind, message)
}

func notFound(kind job.Kind, name string) error {
	return coffer.Errorf(coffer.CodeNotFound, "there is no %s %s of this vault in the cluster", kind, name)
}
