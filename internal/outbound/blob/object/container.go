package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Config is what a Container is made of.
type Config struct {
	// Store is how the bucket is asked.
	Store Store
	// Name is how messages name the container: KIND "NAME" of WHERE.
	Name string
	// Prefix is a folder in the bucket that all blobs are in; empty for the bucket itself.
	Prefix string
	// Link is the one that the store is asked over.
	Link *Link
	// PageSize is the length of listed pages; zero is the store's own.
	PageSize int
	// PartSize is the length of the parts that a large blob is sent in; zero is 8 MiB.
	PartSize int
	// MaxParts is how many parts the store takes for one blob.
	MaxParts int
	// Pause is how long to wait before the first retry; each next one waits twice as long. Zero is 200 ms.
	Pause time.Duration
}

// Container is a coffer.Container in a bucket of an object store.
//
// A Put holds two parts in memory, 16 MiB, and no more than the blob has; so it takes blobs of any length up to the
// product of the greatest number and size of parts: 78 GiB on S3, 390 GiB on Azure, 5 TiB on Google Cloud Storage.
type Container struct {
	Config
}

// maxName is the longest name that every store takes, in bytes.
const maxName = 1024

// New makes a Container of a store.
func New(c Config) *Container {
	if c.Prefix != "" {
		c.Prefix = strings.Trim(c.Prefix, "/") + "/"
	}
	if c.PartSize == 0 {
		c.PartSize = 8 << 20
	}
	if c.Pause == 0 {
		c.Pause = 200 * time.Millisecond
	}
	return &Container{Config: c}
}

// Close lets go of the connections.
func (c *Container) Close() { c.Link.Close() }

// ClockSkew implements coffer.Clocked.
func (c *Container) ClockSkew() time.Duration { return c.Link.Skew() }

func (c *Container) object(key string) (string, error) {
	if err := coffer.CheckBlobKey(key); err != nil {
		return "", err
	}
	name := c.Prefix + key
	if len(name) > maxName {
		return "", coffer.Errorf(coffer.CodeInvalid, "blob name %q has %d bytes, and object stores take %d", name, len(name), maxName)
	}
	return name, nil
}

// Get implements coffer.Container. The range is not checked against the blob: past its end there are no bytes.
func (c *Container) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	name, err := c.object(key)
	if err != nil {
		return nil, err
	}
	if length == 0 {
		// HTTP has no word for a range without bytes.
		_, err := c.Stat(ctx, key)
		return io.NopCloser(bytes.NewReader(nil)), err
	}
	var body io.ReadCloser
	err = c.retry(ctx, func() error {
		var err error
		body, err = c.Store.Read(ctx, name, offset, length)
		return err
	})
	if err == nil {
		return &reader{ReadCloser: body, container: c, key: key}, nil
	}
	if c.Store.Judge(err).Cause == PastEnd {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	return nil, c.fail("get", key, err)
}

// reader says where a body broke off.
type reader struct {
	io.ReadCloser
	container *Container
	key       string
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.container.fail("get", r.key, err)
	}
	return n, err
}

// Stat implements coffer.Container.
func (c *Container) Stat(ctx context.Context, key string) (coffer.BlobInfo, error) {
	name, err := c.object(key)
	if err != nil {
		return coffer.BlobInfo{}, err
	}
	head, err := c.head(ctx, name)
	if err != nil {
		return coffer.BlobInfo{}, c.fail("stat", key, err)
	}
	return coffer.BlobInfo{Key: key, Size: head.Size, Modified: head.Modified}, nil
}

func (c *Container) head(ctx context.Context, name string) (Head, error) {
	var head Head
	err := c.retry(ctx, func() error {
		var err error
		head, err = c.Store.Head(ctx, name)
		return err
	})
	return head, err
}

// Make makes the container in its store if it is missing, and says whether it was.
func (c *Container) Make(ctx context.Context) (made bool, err error) {
	err = c.retry(ctx, func() error {
		_, err := c.Store.Page(ctx, PageRequest{Prefix: c.Prefix, Limit: 1})
		return err
	})
	if err == nil {
		return false, nil
	}
	if cause := c.Store.Judge(err).Cause; cause != NoContainer && cause != Missing {
		return false, c.fail("list", "", err)
	}
	if err := c.retry(ctx, func() error { return c.Store.Make(ctx) }); err != nil {
		return false, c.fail("make", "", err)
	}
	return true, nil
}

// List implements coffer.Container. One page is held at a time. Objects whose names are no keys, such as the markers
// that some consoles make for folders, are passed over.
func (c *Container) List(ctx context.Context, prefix string) iter.Seq2[coffer.BlobInfo, error] {
	return func(yield func(coffer.BlobInfo, error) bool) {
		for page, err := range c.pages(ctx, PageRequest{Prefix: c.Prefix + prefix}) {
			if err != nil {
				yield(coffer.BlobInfo{}, c.fail("list", prefix, err))
				return
			}
			for _, info := range page.Blobs {
				info.Key = strings.TrimPrefix(info.Key, c.Prefix)
				if coffer.CheckBlobKey(info.Key) == nil && !yield(info, nil) {
					return
				}
			}
		}
	}
}

// Top implements coffer.TopLister.
func (c *Container) Top(ctx context.Context) ([]string, error) {
	var found []string
	for page, err := range c.pages(ctx, PageRequest{Prefix: c.Prefix, Folders: true}) {
		if err != nil {
			return nil, c.fail("list", "", err)
		}
		for _, info := range page.Blobs {
			// The marker of the prefix's own folder is not in it.
			if name := strings.TrimPrefix(info.Key, c.Prefix); name != "" {
				found = append(found, name)
			}
		}
		for _, folder := range page.Folders {
			found = append(found, strings.TrimPrefix(folder, c.Prefix))
		}
	}
	// Some stores name a folder again on each page that it reaches.
	slices.Sort(found)
	return slices.Compact(found), nil
}

func (c *Container) pages(ctx context.Context, r PageRequest) iter.Seq2[Page, error] {
	r.Limit = c.PageSize
	return func(yield func(Page, error) bool) {
		for {
			var page Page
			err := c.retry(ctx, func() error {
				var err error
				page, err = c.Store.Page(ctx, r)
				return err
			})
			if !yield(page, err) || err != nil || page.Next == "" {
				return
			}
			r.Token = page.Next
		}
	}
}

// Delete implements coffer.Container.
func (c *Container) Delete(ctx context.Context, key string) error {
	name, err := c.object(key)
	if err != nil {
		return err
	}
	err = c.retry(ctx, func() error { return c.Store.Remove(ctx, name) })
	if err == nil || c.Store.Judge(err).Cause == Missing {
		return nil
	}
	return c.fail("delete", key, err)
}

// fail names the container, and says of what a person must act on what that is. A failure that passes by itself has no
// code, so that runs try again.
func (c *Container) fail(doing, key string, err error) error {
	if coffer.CodeOf(err) != "" {
		return err
	}
	at := strings.TrimSpace(doing + " " + key)
	verdict := c.Store.Judge(err)
	cause, skew := verdict.Cause, c.Link.Skew()
	err = short{error: err, says: verdict.Says}
	if (cause == Unauthenticated || cause == Forbidden) && skew.Abs() >= skewThatIsRefused {
		// A signature of another time looks to most stores like a wrong one.
		cause = Skewed
	}
	if cause == Missing && (doing == "put" || doing == "list") {
		cause = NoContainer
	}
	refused := func(reason string) *coffer.Error {
		return coffer.Errorf(coffer.CodeLocationNotReady, "%s in %s: %s: %w", at, c.Name, reason, err)
	}
	switch cause {
	case Missing:
		return fmt.Errorf("%s in %s: %w", at, c.Name, coffer.ErrBlobNotFound)
	case Taken:
		return fmt.Errorf("%s in %s: %w", at, c.Name, coffer.ErrBlobExists)
	case NoContainer:
		return refused("the container does not exist").WithHint("create it in the store, or correct `container` of the BackupStorageLocation")
	case Unauthenticated:
		return refused("the store does not accept the credentials").WithHint("correct the Secret that credentialsSecretRef names; without one, the identity of the extension's pod")
	case Forbidden:
		return refused("the credentials do not allow this").
			WithHint("allow them to read, list, write and delete there, or correct the Secret that credentialsSecretRef names; " +
				"for restores only, set readOnly on the BackupStorageLocation")
	case Skewed:
		return refused(skewText(skew)).WithHint("correct whichever is wrong, on the nodes with NTP")
	case Untrusted:
		return refused("the store's certificate is not trusted").WithHint("give the certificate of its authority in caCert of the BackupStorageLocation")
	case Full:
		return refused("there is no room").WithHint("make room or raise the quota, or delete recovery points that are not needed")
	case Held:
		return refused("the store protects the blob from deletion").WithHint("wait for the end of its retention, or lift the hold in the store")
	case Throttled:
		return fmt.Errorf("%s in %s: the store asks for fewer requests: %w", at, c.Name, err)
	case Away:
		return fmt.Errorf("%s in %s: the store could not be reached or failed: %w", at, c.Name, err)
	default:
		return fmt.Errorf("%s in %s: %w", at, c.Name, err)
	}
}

func skewText(skew time.Duration) string {
	if skew == 0 {
		return "the store's clock and this machine's differ"
	}
	return fmt.Sprintf("the store's clock and this machine's differ by %s", skew.Abs().Round(time.Second))
}

// short is an error in one line: SDKs print whole responses.
type short struct {
	error
	says string
}

// Error is at most 300 bytes of it.
func (s short) Error() string {
	text := s.says
	var request *url.Error
	switch {
	case text != "":
	case errors.As(s.error, &request):
		// A URL is long, and its query may be a signature.
		text = request.Err.Error()
	default:
		text = s.error.Error()
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}

// Unwrap is the SDK's error.
func (s short) Unwrap() error { return s.error }
