//go:build lab

package test

import (
	"bytes"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

func TestAzureKeepsWhatIsPutOnce(t *testing.T) {
	eachWay(t, "AZURITE", func(t *testing.T, url string) {
		credential, err := azblob.NewSharedKeyCredential(environment["AZURITE_ACCOUNT"], environment["AZURITE_KEY"])
		if err != nil {
			t.Fatal(err)
		}
		client, err := azblob.NewClientWithSharedKeyCredential(url+"/"+environment["AZURITE_ACCOUNT"], credential, nil)
		if err != nil {
			t.Fatal(err)
		}
		container := newBucketName()
		if _, err := client.CreateContainer(t.Context(), container, nil); err != nil {
			t.Fatal(err)
		}
		once := &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}}
		put := func() error {
			// In blocks, which are committed as one.
			_, err := client.UploadStream(t.Context(), container, key, bytes.NewReader(content()), &blockblob.UploadStreamOptions{BlockSize: 1 << 20, AccessConditions: once})
			return err
		}
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if err := put(); !bloberror.HasCode(err, bloberror.BlobAlreadyExists) {
			t.Errorf("put over it: %v", err)
		}
		read := make([]byte, len(content())-16)
		if _, err := client.DownloadBuffer(t.Context(), container, key, read, &blob.DownloadBufferOptions{Range: blob.HTTPRange{Offset: 16}}); err != nil || !bytes.Equal(read, content()[16:]) {
			t.Errorf("read %d bytes: %v", len(read), err)
		}
		for pages := client.NewListBlobsFlatPager(container, nil); pages.More(); {
			page, err := pages.NextPage(t.Context())
			if err != nil || len(page.Segment.BlobItems) != 1 || *page.Segment.BlobItems[0].Name != key {
				t.Fatalf("listed %+v (%v)", page, err)
			}
		}
	})
}
