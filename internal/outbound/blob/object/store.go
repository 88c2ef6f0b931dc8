// Package object makes a coffer.Container of an object store that is asked over HTTP.
//
// What the stores have in common is here, once: blobs that appear whole or not at all, uploads cut into parts, retries,
// the recognition of a try that had its effect although its answer was lost, and what each refusal means for a person.
// A store only says how its SDK is asked.
package object

import (
	"context"
	"io"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Store is how the bucket of one object store is asked. Names are whole names in the bucket. Each call is one try: no
// SDK retries, for the container does.
type Store interface {
	// Create stores a whole object, unless the name is taken: then the error is judged Taken. The id is kept with it.
	Create(ctx context.Context, name, id string, body []byte) error
	// Begin opens an upload in parts; nothing is visible before it is committed.
	Begin(ctx context.Context, name, id string) (Upload, error)
	// Head describes an object.
	Head(ctx context.Context, name string) (Head, error)
	// Read reads length bytes from offset, which are not zero bytes; a negative length reads to the end.
	Read(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	// Page lists objects in order of their names, from where the token of the page before says; the first has none.
	Page(ctx context.Context, r PageRequest) (Page, error)
	// Remove deletes an object.
	Remove(ctx context.Context, name string) error
	// Make makes the bucket itself. That it is there already, and may be used, is no error.
	Make(ctx context.Context) error
	// Judge says what an error of the other methods means.
	Judge(err error) Verdict
}

// Upload is an object that is sent in parts. Its methods are called one after the other.
type Upload interface {
	// Part sends the next part. It may be called again with the same number and body.
	Part(ctx context.Context, number int, body []byte) error
	// Commit makes the object visible, unless the name is taken: then the error is judged Taken.
	Commit(ctx context.Context) error
	// Abort gives the parts up.
	Abort(ctx context.Context) error
}

// Head is what a store knows of an object beside its bytes.
type Head struct {
	Size     int64
	Modified time.Time
	// ID is the one that it was created with; empty for an object that somebody else made.
	ID string
}

// PageRequest asks for a page of a listing.
type PageRequest struct {
	// Prefix of the names.
	Prefix string
	// Folders asks for what lies directly below the prefix: names up to the next "/" count once.
	Folders bool
	// Token of the page before; empty for the first.
	Token string
	// Limit of entries; zero is the store's own.
	Limit int
}

// Page is a part of a listing.
type Page struct {
	Blobs []coffer.BlobInfo
	// Folders end in "/".
	Folders []string
	// Next is the token for the next page; empty for none.
	Next string
}

// A Verdict is what an error of a store means.
type Verdict struct {
	Cause Cause
	// Says is the store's own reason in a few words; empty for the error's.
	Says string
	// After is how long the store asks to be left alone.
	After time.Duration
	// Spent says that the SDK has tried again itself, or that the same call cannot be made again.
	Spent bool
}

// Cause is a kind of failure that there is something to say about.
type Cause int

// The causes. All others are Unknown: not retried here, and without a code.
const (
	Unknown Cause = iota
	// Missing: there is no such object.
	Missing
	// Taken: there is an object of the name already.
	Taken
	// Busy: somebody else is at the same object; or an answer was lost. Trying again tells.
	Busy
	// NoContainer: the bucket does not exist.
	NoContainer
	// Unauthenticated: the store does not know these credentials, or there are none.
	Unauthenticated
	// Forbidden: the store knows the credentials, and they do not allow this.
	Forbidden
	// Skewed: the store refuses requests of another time than its own.
	Skewed
	// Full: there is no room, or no quota.
	Full
	// Throttled: too many requests.
	Throttled
	// Away: the store failed, or could not be reached.
	Away
	// PastEnd: the range begins at or after the end of the object.
	PastEnd
	// Untrusted: the store's certificate is not signed by anybody who is trusted.
	Untrusted
	// Held: the object is protected from deletion.
	Held
)
