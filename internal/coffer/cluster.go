package coffer

import (
	"context"
	"encoding/json"
	"time"
)

// Cluster reads and writes the objects of one Kubernetes cluster. All methods may be called concurrently. Answers of
// the API server that mean something to a run come as Errors with a code (CodeForbidden, CodeNotFound, CodeExists,
// CodeRejected, CodeServerError); everything else is uncoded. Requests that the API server asked to be repeated later (429, 503 with
// Retry-After) have been repeated, and how many writes there are at a time follows its answers.
type Cluster interface {
	// Types lists every resource type that can be listed and created, at its preferred version, and the API group
	// versions whose discovery failed. The gaps do not make it fail.
	Types(ctx context.Context) ([]ResourceType, []TypeGap, error)
	// Versions is Types with each type at all the versions that the cluster serves, the preferred one first.
	Versions(ctx context.Context) ([]ResourceType, []TypeGap, error)
	// List streams all objects of a type, page by page, in one namespace or, if that is empty, in all. The pages are of
	// one resource version, unless Page.Later says otherwise. How many pages are in memory at a time is bounded for all
	// lists together, so each must not list itself; it is called by one goroutine at a time. A list that the API server
	// does not answer although it answers others is a transient Error with CodeUnanswered.
	List(ctx context.Context, t ResourceType, namespace string, each func(Page) error) error
	// ListMetadata is List of objects without all but their metadata.
	ListMetadata(ctx context.Context, t ResourceType, namespace string, each func(Page) error) error
	// Get reads one object's JSON.
	Get(ctx context.Context, t ResourceType, namespace, name string) (json.RawMessage, error)
	// Create creates an object from its JSON and returns it as the API server stored it.
	Create(ctx context.Context, t ResourceType, namespace string, body []byte) (json.RawMessage, error)
	// Patch applies a JSON merge patch. A refusal names the fields that were refused.
	Patch(ctx context.Context, t ResourceType, namespace, name string, mergePatch []byte) error
	// TryCreate is Create without any effect (a dry run): it answers what the API server would store once admission has seen
	// it. An object that exists, and that the API server would take if it did not, is CodeExists. What an admission webhook
	// keeps from being tried is CodeNotTryable.
	TryCreate(ctx context.Context, t ResourceType, namespace string, body []byte) (json.RawMessage, error)
	// TryPatch is Patch without any effect, as TryCreate is Create.
	TryPatch(ctx context.Context, t ResourceType, namespace, name string, mergePatch []byte) (json.RawMessage, error)
	// Delete deletes an object if it has this UID, and what it owns in the background. gone says that it is gone already:
	// otherwise a finalizer or a grace period keeps it. One with another UID is an Error with CodeChanged.
	Delete(ctx context.Context, t ResourceType, namespace, name, uid string) (gone bool, err error)
	// As is the same cluster, in which objects bear the given name as field manager of what it writes.
	As(manager string) Cluster
	// PatchStatus applies a JSON merge patch to the status subresource of an object. A type without one is CodeNotFound.
	PatchStatus(ctx context.Context, t ResourceType, namespace, name string, mergePatch []byte) error
	// Forbidden answers with which of the types this process may not do what the verb says in a namespace, or in the whole
	// cluster if that is empty: with one request where all are allowed, with one more for each type where not. The resource of
	// a type may be RESOURCE/SUBRESOURCE.
	Forbidden(ctx context.Context, verb, namespace string, types []GroupResource) ([]GroupResource, error)
	// Release is the version of the API server, such as v1.34.1.
	Release(ctx context.Context) (string, error)
	// Exec runs a command in a container until it ends or the timeout has passed.
	Exec(ctx context.Context, e Exec) (ExecResult, error)
	// Ask makes a GET request to a Service or pod through the API server's proxy. Redirects are not followed. That nobody is
	// there is an answer of the API server, with a status and a body like any other; the error is for no answer.
	Ask(ctx context.Context, a Ask) (Answer, error)
}

// Page is a part of a list.
type Page struct {
	// Items are objects' JSON as the API server sent it, without apiVersion and kind where it leaves those out of lists.
	// They are valid until each has returned. That they are well-formed is for those to find out who decode them.
	Items []json.RawMessage
	// Remaining is about how many objects come after this page, or zero if the API server does not say.
	Remaining int64
	// Later, if not empty, says why this page is of a later moment than the first one. Objects may then come twice, also
	// as others of the same name.
	Later string
}

// Exec is one command to run in a container, without a shell.
type Exec struct {
	Namespace, Pod, Container string
	Command                   []string
	// Timeout after which ExecResult.TimedOut is set. The command itself may go on.
	Timeout time.Duration
}

// ExecResult is how a command ended.
type ExecResult struct {
	// ExitCode of the command, if it ended.
	ExitCode int
	// TimedOut says that the command was still running at the timeout.
	TimedOut bool
	// Output is the beginning of what it printed on both streams, at most 4 KiB.
	Output string
}

// Ask is one request to a Service or a pod.
type Ask struct {
	Namespace string
	// Service or Pod, by its name; the other is empty.
	Service, Pod string
	// Port is a number or, of a Service, a name.
	Port string
	// TLS says that it serves https. Its certificate is not verified.
	TLS bool
	// Path begins with a slash, and may have a query.
	Path    string
	Timeout time.Duration
}

// Answer is what was answered.
type Answer struct {
	Status int
	// Body is its beginning, at most 64 KiB.
	Body string
}
