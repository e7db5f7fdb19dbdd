package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/service/httpclient"
)

// A Bucket holds objects by name. The packages below this one implement it for each
// provider; a folder is built in. Safe for concurrent use.
//
// Each method sends the requests of one step and honours ctx. An error about an object that
// does not exist wraps [fs.ErrNotExist]. An error about a client that ran into a time limit
// of its own has a method Timeout that returns true, somewhere in its chain.
type Bucket interface {
	// List returns one page of the objects whose names begin with prefix, in any order. An
	// empty page token asks for the first page; next is the token of the page that follows,
	// or empty after the last one.
	List(ctx context.Context, prefix, page string) (objects []Object, next string, err error)
	// Exists reports whether the bucket has an object.
	Exists(ctx context.Context, name string) (bool, error)
	// Open reads an object. The caller closes it. ctx covers reading too.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// Create writes an object, and replaces an existing one. The object exists, complete and
	// durable, once Close has returned nil. If ctx ends before, Close returns an error and the
	// bucket is unchanged.
	Create(ctx context.Context, name string) (io.WriteCloser, error)
	// Remove removes an object.
	Remove(ctx context.Context, name string) error
	// Close releases connections.
	Close() error
}

// An Object is an entry of a bucket's listing. Size is in bytes.
type Object struct {
	Name    string
	Size    int64
	ModTime time.Time
}

// An Opener opens the bucket that a URL names. It must reject query parameters that it does
// not know. ctx may be kept for later requests for credentials; it ends when the bucket is
// closed.
type Opener func(ctx context.Context, address *url.URL) (Bucket, error)

// Providers are the kinds of buckets that a process supports, by the scheme of their URLs.
// Folders are always supported. The main package of each process sets them, so that a
// process links only the clients that it uses.
type Providers map[string]Opener

// open opens a bucket. It takes the parameter prefix out of the URL: the names of all
// objects begin with it.
func (p Providers) open(ctx context.Context, place string) (Bucket, error) {
	address, err := url.Parse(place)
	if err != nil {
		return nil, err
	}
	open := p[address.Scheme]
	if open == nil {
		supported := []string{"a folder"}
		for scheme := range p {
			supported = append(supported, scheme+"://…")
		}
		slices.Sort(supported[1:])
		return nil, fmt.Errorf("%q is not a supported kind of store; supported: %s", address.Scheme, strings.Join(supported, ", "))
	}
	if address.Host == "" {
		return nil, errors.New("the URL names no bucket")
	}
	query := address.Query()
	prefix := query.Get("prefix")
	query.Del("prefix")
	address.RawQuery = query.Encode()
	bucket, err := open(ctx, address)
	if err != nil || prefix == "" {
		return bucket, err
	}
	return &prefixed{bucket, prefix}, nil
}

// A prefixed bucket is the part of a bucket whose names begin with a prefix.
type prefixed struct {
	Bucket
	prefix string
}

func (p *prefixed) List(ctx context.Context, prefix, page string) ([]Object, string, error) {
	objects, next, err := p.Bucket.List(ctx, p.prefix+prefix, page)
	for i := range objects {
		objects[i].Name = strings.TrimPrefix(objects[i].Name, p.prefix)
	}
	return objects, next, err
}

func (p *prefixed) Exists(ctx context.Context, name string) (bool, error) {
	return p.Bucket.Exists(ctx, p.prefix+name)
}

func (p *prefixed) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	return p.Bucket.Open(ctx, p.prefix+name)
}

func (p *prefixed) Create(ctx context.Context, name string) (io.WriteCloser, error) {
	return p.Bucket.Create(ctx, p.prefix+name)
}

func (p *prefixed) Remove(ctx context.Context, name string) error {
	return p.Bucket.Remove(ctx, p.prefix+name)
}

// openWithin opens a bucket within the time limit of one request: some clients fetch their
// credentials while they are created. stop ends the context that the bucket keeps.
func (p Providers) openWithin(ctx context.Context, place string) (b Bucket, stop func(), err error) {
	ctx, w, stop := httpclient.NewWatch(ctx, place)
	b, err = ask(waiting{w, stop}, func() (Bucket, error) { return p.open(ctx, place) })
	if err != nil {
		stop()
		return nil, nil, err
	}
	return b, stop, nil
}
