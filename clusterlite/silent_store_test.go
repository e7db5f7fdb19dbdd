package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/clusterlite/clusterlite/service/httpclient"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
)

// A silentBucket lists snapshots of two topics, the newer topic first, but does not return
// those of one of them: the provider's client times out.
type silentBucket struct {
	driver.Bucket // what is not used

	silent string // the topic's id
	reads  map[string]int
}

const newTopic, oldTopic = "0b", "0a"

// OpenBucketURL implements [blob.BucketURLOpener].
func (b *silentBucket) OpenBucketURL(context.Context, *url.URL) (*blob.Bucket, error) {
	return blob.NewBucket(b), nil
}

func (b *silentBucket) ListPaged(context.Context, *driver.ListOptions) (*driver.ListPage, error) {
	var page driver.ListPage
	for age, topic := range []string{newTopic, oldTopic} {
		for position := range 2 {
			page.Objects = append(page.Objects, &driver.ListObject{Key: fmt.Sprintf("clusterlite-%s-%020d.snapshot", topic, position), ModTime: time.Unix(int64(-age), 0)})
		}
	}
	return &page, nil
}

func (b *silentBucket) NewRangeReader(_ context.Context, key string, _, _ int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	topic := strings.Split(key, "-")[1]
	b.reads[topic]++
	if topic == b.silent {
		return nil, fmt.Errorf("operation error: %w", context.DeadlineExceeded)
	}
	manifest := `{"clusterlite_snapshot":1,"topic":"clusterlite.events","topic_id":"` + topic + `"}` + "\n"
	return soundReader{bytes.NewReader([]byte(manifest))}, nil
}

func (b *silentBucket) Close() error { return nil }

func (b *silentBucket) As(any) bool { return false }

func (b *silentBucket) ErrorAs(error, any) bool { return false }

func (b *silentBucket) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.Unknown }

type soundReader struct{ io.Reader }

func (soundReader) Close() error { return nil }

func (soundReader) Attributes() *driver.ReaderAttributes { return &driver.ReaderAttributes{} }

func (soundReader) As(any) bool { return false }

// A store that falls silent after its listing ends a restore with an error that names it.
// It does not skip snapshots one after the other, and does not fall back to a snapshot of
// an older topic.
func TestASilentStoreEndsARestore(t *testing.T) {
	for silent, c := range map[string]struct {
		args  []string
		reads int // of the silent topic
	}{
		newTopic:           {nil, 1},
		oldTopic:           {nil, 1},
		newTopic + "/only": {[]string{"--topic-id=" + newTopic}, 1},
	} {
		t.Run(silent, func(t *testing.T) {
			topic, _, _ := strings.Cut(silent, "/")
			b := &silentBucket{silent: topic, reads: map[string]int{}}
			scheme := fmt.Sprintf("silent%p", b)
			blob.DefaultURLMux().RegisterBucket(scheme, b)
			err := toolAlone(t, nil, append([]string{"snapshot", "restore", scheme + "://bucket", "--data-dir=" + filepath.Join(t.TempDir(), "data")}, c.args...)...)
			var gone *httpclient.SilentError
			if !errors.As(err, &gone) || gone.Peer != scheme+"://bucket" || errors.Is(err, snapshots.ErrNone) {
				t.Errorf("got %v, want that the store did not answer", err)
			}
			if b.reads[topic] != c.reads {
				t.Errorf("got %d questions to the silent store, want %d", b.reads[topic], c.reads)
			}
		})
	}
}
