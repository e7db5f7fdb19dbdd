// Package s3 opens buckets of Amazon S3 and of compatible stores. The requests are those of
// minio-go; credentials, profiles and regions are found by Amazon's own library, in the same
// places as by Amazon's tools.
package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"

	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/internal/upload"
)

// Scheme is the scheme of a bucket's URL.
const Scheme = "s3"

// pageSize is the number of objects in one page of a listing, the maximum of S3.
const pageSize = 1000

type bucket struct {
	client    *minio.Core
	transport *http.Transport
	name      string
	put       minio.PutObjectOptions
}

// Open opens a bucket by its URL. It sends no request, except for credentials. The type
// parameters lists the parameters of the URL.
func Open(ctx context.Context, address *url.URL) (snapshots.Bucket, error) {
	p, err := parse(address.Query())
	if err != nil {
		return nil, err
	}
	b, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	b.name = address.Host
	return b, nil
}

func (b *bucket) List(ctx context.Context, prefix, page string) (objects []snapshots.Object, next string, err error) {
	options := minio.ListObjectsOptions{Prefix: prefix, StartAfter: page, MaxKeys: pageSize, Recursive: true}
	for o := range b.client.ListObjectsIter(ctx, b.name, options) {
		if o.Err != nil {
			return nil, "", o.Err
		}
		objects = append(objects, snapshots.Object{Name: o.Key, Size: o.Size, ModTime: o.LastModified})
		if len(objects) == pageSize {
			return objects, o.Key, nil
		}
	}
	return objects, "", nil
}

func (b *bucket) Exists(ctx context.Context, name string) (bool, error) {
	_, err := b.client.StatObject(ctx, b.name, name, minio.StatObjectOptions{})
	if missing(err) {
		return false, nil
	}
	return err == nil, err
}

func (b *bucket) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, _, _, err := b.client.GetObject(ctx, b.name, name, minio.GetObjectOptions{})
	if missing(err) {
		return nil, errors.Join(err, fs.ErrNotExist)
	}
	return r, err
}

func (b *bucket) Create(ctx context.Context, name string) (io.WriteCloser, error) {
	return upload.NewWriter(ctx, func(ctx context.Context, r io.Reader) error { return b.send(ctx, name, r) }), nil
}

// send uploads an object, in one request if it is small.
func (b *bucket) send(ctx context.Context, name string, r io.Reader) error {
	first, err := io.ReadAll(io.LimitReader(r, upload.PartSize))
	if err != nil {
		return err
	}
	size, body := int64(len(first)), io.Reader(bytes.NewReader(first))
	if size == upload.PartSize {
		size, body = -1, io.MultiReader(body, r)
	}
	_, err = b.client.Client.PutObject(ctx, b.name, name, body, size, b.put)
	return err
}

func (b *bucket) Remove(ctx context.Context, name string) error {
	return b.client.RemoveObject(ctx, b.name, name, minio.RemoveObjectOptions{})
}

func (b *bucket) Close() error {
	b.transport.CloseIdleConnections()
	return nil
}

// missing reports whether an error says that the object does not exist.
func missing(err error) bool {
	var response minio.ErrorResponse
	return errors.As(err, &response) && response.StatusCode == http.StatusNotFound && response.Code != minio.NoSuchBucket
}
