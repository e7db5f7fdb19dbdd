// Package azure opens containers of Azure Blob Storage with Microsoft's own client.
package azure

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/internal/upload"
)

// Scheme is the scheme of a container's URL.
const Scheme = "azblob"

type bucket struct{ client *container.Client }

// Open opens a container by its URL. It sends no request.
func Open(_ context.Context, address *url.URL) (snapshots.Bucket, error) {
	a, err := accountOf(address.Query())
	if err != nil {
		return nil, err
	}
	client, err := a.client(address.Host)
	if err != nil {
		return nil, err
	}
	return bucket{client}, nil
}

func (b bucket) List(ctx context.Context, prefix, page string) (objects []snapshots.Object, next string, err error) {
	options := container.ListBlobsFlatOptions{Prefix: &prefix}
	if page != "" {
		options.Marker = &page
	}
	answer, err := b.client.NewListBlobsFlatPager(&options).NextPage(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, item := range answer.Segment.BlobItems {
		if item.Name == nil || item.Properties == nil {
			continue
		}
		objects = append(objects, snapshots.Object{
			Name: *item.Name, Size: value(item.Properties.ContentLength), ModTime: value(item.Properties.LastModified),
		})
	}
	return objects, value(answer.NextMarker), nil
}

// value returns what p points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func (b bucket) Exists(ctx context.Context, name string) (bool, error) {
	_, err := b.client.NewBlobClient(name).GetProperties(ctx, nil)
	if bloberror.HasCode(err, bloberror.BlobNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (b bucket) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	answer, err := b.client.NewBlobClient(name).DownloadStream(ctx, nil)
	if bloberror.HasCode(err, bloberror.BlobNotFound) {
		return nil, errors.Join(err, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

func (b bucket) Create(ctx context.Context, name string) (io.WriteCloser, error) {
	contentType := "application/octet-stream"
	options := &blockblob.UploadStreamOptions{
		BlockSize: upload.PartSize, Concurrency: 1, HTTPHeaders: &blob.HTTPHeaders{BlobContentType: &contentType},
	}
	return upload.NewWriter(ctx, func(ctx context.Context, r io.Reader) error {
		_, err := b.client.NewBlockBlobClient(name).UploadStream(ctx, r, options)
		return err
	}), nil
}

func (b bucket) Remove(ctx context.Context, name string) error {
	_, err := b.client.NewBlobClient(name).Delete(ctx, nil)
	return err
}

func (bucket) Close() error { return nil }
