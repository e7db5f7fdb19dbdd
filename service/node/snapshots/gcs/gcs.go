// Package gcs opens buckets of Google Cloud Storage. It uses the JSON API directly, because
// Google's client links gRPC, xDS and CEL. Google's own library finds the credentials.
package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/internal/upload"
)

// Scheme is the scheme of a bucket's URL.
const Scheme = "gs"

type bucket struct {
	client *client
	name   string
}

// Open opens a bucket by its URL. It sends no request, except for credentials. The
// parameters are anonymous=true for a public bucket, and universe_domain.
func Open(ctx context.Context, address *url.URL) (snapshots.Bucket, error) {
	c, err := newClient(ctx, address.Query())
	if err != nil {
		return nil, err
	}
	return &bucket{c, address.Host}, nil
}

// object returns the URL of an object.
func (b *bucket) object(name string, query url.Values) string {
	return b.client.endpoint + "/storage/v1/b/" + url.PathEscape(b.name) + "/o/" + url.PathEscape(name) + "?" + query.Encode()
}

func (b *bucket) List(ctx context.Context, prefix, page string) (objects []snapshots.Object, next string, err error) {
	query := url.Values{"prefix": {prefix}, "fields": {"items(name,size,updated),nextPageToken"}}
	if page != "" {
		query.Set("pageToken", page)
	}
	response, err := b.client.get(ctx, b.client.endpoint+"/storage/v1/b/"+url.PathEscape(b.name)+"/o?"+query.Encode())
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	var listed struct {
		Items []struct {
			Name    string    `json:"name"`
			Size    string    `json:"size"` // 64-bit numbers are strings in this API
			Updated time.Time `json:"updated"`
		} `json:"items"`
		NextPageToken string `json:"nextPageToken"`
	}
	if err := json.NewDecoder(response.Body).Decode(&listed); err != nil {
		return nil, "", err
	}
	for _, item := range listed.Items {
		size, err := strconv.ParseInt(item.Size, 10, 64)
		if err != nil {
			return nil, "", err
		}
		objects = append(objects, snapshots.Object{Name: item.Name, Size: size, ModTime: item.Updated})
	}
	return objects, listed.NextPageToken, nil
}

func (b *bucket) Exists(ctx context.Context, name string) (bool, error) {
	response, err := b.client.get(ctx, b.object(name, url.Values{"fields": {"name"}}))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, response.Body.Close()
}

func (b *bucket) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	response, err := b.client.get(ctx, b.object(name, url.Values{"alt": {"media"}}))
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

func (b *bucket) Create(ctx context.Context, name string) (io.WriteCloser, error) {
	return upload.NewWriter(ctx, func(ctx context.Context, r io.Reader) error {
		return b.client.upload(ctx, b.name, name, r)
	}), nil
}

func (b *bucket) Remove(ctx context.Context, name string) error {
	response, err := b.client.do(ctx, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodDelete, b.object(name, nil), nil)
	})
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func (b *bucket) Close() error {
	b.client.base.CloseIdleConnections()
	return nil
}
