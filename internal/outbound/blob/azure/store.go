package azure

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/object"
)

// store is an object.Store.
type store struct {
	client *container.Client
}

// idKey is the metadata that holds the id of a put. Azure's names are those of variables.
const idKey = "cofferput"

func ifAbsent() *blob.AccessConditions {
	return &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}}
}

func body(b []byte) io.ReadSeekCloser { return streaming.NopCloser(bytes.NewReader(b)) }

// Create implements object.Store.
func (s *store) Create(ctx context.Context, name, id string, content []byte) error {
	_, err := s.client.NewBlockBlobClient(name).Upload(ctx, body(content), &blockblob.UploadOptions{
		Metadata: map[string]*string{idKey: &id}, AccessConditions: ifAbsent(),
	})
	return err
}

// Begin implements object.Store. Blocks that are never committed stay invisible, and Azure removes them after a week.
func (s *store) Begin(_ context.Context, name, id string) (object.Upload, error) {
	return &upload{client: s.client.NewBlockBlobClient(name), id: id}, nil
}

type upload struct {
	client *blockblob.Client
	id     string
	blocks []string
}

// Part implements object.Upload. Writers of one name share its blocks, hence the id in theirs.
func (u *upload) Part(ctx context.Context, number int, content []byte) error {
	block := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s-%06d", u.id, number))
	if _, err := u.client.StageBlock(ctx, block, body(content), nil); err != nil {
		return err
	}
	u.blocks = append(u.blocks[:number-1], block)
	return nil
}

// Commit implements object.Upload.
func (u *upload) Commit(ctx context.Context) error {
	_, err := u.client.CommitBlockList(ctx, u.blocks, &blockblob.CommitBlockListOptions{
		Metadata: map[string]*string{idKey: &u.id}, AccessConditions: ifAbsent(),
	})
	return err
}

// Abort implements object.Upload.
func (u *upload) Abort(context.Context) error { return nil }

// Make implements object.Store.
func (s *store) Make(ctx context.Context) error {
	_, err := s.client.Create(ctx, nil)
	if bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return nil
	}
	return err
}

// Head implements object.Store.
func (s *store) Head(ctx context.Context, name string) (object.Head, error) {
	p, err := s.client.NewBlobClient(name).GetProperties(ctx, nil)
	if err != nil {
		return object.Head{}, err
	}
	h := object.Head{Size: deref(p.ContentLength), Modified: deref(p.LastModified)}
	for key, value := range p.Metadata {
		// Names come back as HTTP writes headers.
		if strings.EqualFold(key, idKey) {
			h.ID = deref(value)
		}
	}
	return h, nil
}

// Read implements object.Store.
func (s *store) Read(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	got, err := s.client.NewBlobClient(name).DownloadStream(ctx, &blob.DownloadStreamOptions{
		Range: blob.HTTPRange{Offset: offset, Count: max(length, 0)},
	})
	if err != nil {
		return nil, err
	}
	return got.Body, nil
}

// Page implements object.Store.
func (s *store) Page(ctx context.Context, r object.PageRequest) (object.Page, error) {
	var token *string
	if r.Token != "" {
		token = &r.Token
	}
	var limit *int32
	if r.Limit > 0 {
		limit = to.Ptr(int32(r.Limit)) //nolint:gosec // a page of some thousand
	}
	var page object.Page
	if r.Folders {
		got, err := s.client.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Prefix: &r.Prefix, Marker: token, MaxResults: limit}).NextPage(ctx)
		if err != nil {
			return page, err
		}
		for _, p := range got.Segment.BlobPrefixes {
			page.Folders = append(page.Folders, deref(p.Name))
		}
		page.Blobs, page.Next = infos(got.Segment.BlobItems), deref(got.NextMarker)
		return page, nil
	}
	got, err := s.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &r.Prefix, Marker: token, MaxResults: limit}).NextPage(ctx)
	if err != nil {
		return page, err
	}
	page.Blobs, page.Next = infos(got.Segment.BlobItems), deref(got.NextMarker)
	return page, nil
}

func infos(items []*container.BlobItem) []coffer.BlobInfo {
	found := make([]coffer.BlobInfo, 0, len(items))
	for _, b := range items {
		info := coffer.BlobInfo{Key: deref(b.Name)}
		if b.Properties != nil {
			info.Size, info.Modified = deref(b.Properties.ContentLength), deref(b.Properties.LastModified)
		}
		found = append(found, info)
	}
	return found
}

// Remove implements object.Store.
func (s *store) Remove(ctx context.Context, name string) error {
	_, err := s.client.NewBlobClient(name).Delete(ctx, &blob.DeleteOptions{DeleteSnapshots: to.Ptr(blob.DeleteSnapshotsOptionTypeInclude)})
	return err
}

// causes are the codes of Azure that say more than their HTTP status.
var causes = map[bloberror.Code]object.Cause{
	bloberror.ContainerNotFound:               object.NoContainer,
	bloberror.ContainerBeingDeleted:           object.NoContainer,
	bloberror.BlobNotFound:                    object.Missing,
	bloberror.BlobAlreadyExists:               object.Taken,
	bloberror.ConditionNotMet:                 object.Taken,
	bloberror.AuthenticationFailed:            object.Unauthenticated,
	bloberror.InvalidAuthenticationInfo:       object.Unauthenticated,
	bloberror.NoAuthenticationInformation:     object.Unauthenticated,
	bloberror.AuthorizationPermissionMismatch: object.Forbidden,
	bloberror.AuthorizationFailure:            object.Forbidden,
	bloberror.AccountIsDisabled:               object.Forbidden,
	bloberror.InsufficientAccountPermissions:  object.Forbidden,
	bloberror.ServerBusy:                      object.Throttled,
	bloberror.InvalidRange:                    object.PastEnd,
	bloberror.BlobImmutableDueToPolicy:        object.Held,
	bloberror.LeaseIDMissing:                  object.Held,
	// Another writer of the name has committed, and with that discarded all blocks but its own: what is there now tells.
	bloberror.InvalidBlockList: object.Unknown,
}

// Judge implements object.Store.
func (s *store) Judge(err error) object.Verdict {
	var response *azcore.ResponseError
	if errors.As(err, &response) {
		v := object.Verdict{Cause: object.ByStatus(response.StatusCode), Says: fmt.Sprintf("%s (HTTP status %d)", response.ErrorCode, response.StatusCode)}
		if response.RawResponse != nil {
			v.After = object.RetryAfter(response.RawResponse.Header)
		}
		if cause, ok := causes[bloberror.Code(response.ErrorCode)]; ok {
			v.Cause = cause
		}
		return v
	}
	// This is how the identity library marks that there is no token to be had.
	var identity interface{ NonRetriable() }
	if errors.As(err, &identity) {
		return object.Verdict{Cause: object.Unauthenticated}
	}
	return object.Verdict{Cause: object.Unanswered(err)}
}

// deref is what p points to, or the zero value.
func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
