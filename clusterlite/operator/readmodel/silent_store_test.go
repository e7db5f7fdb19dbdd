package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/httpclient"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
)

// A silentBucket lists snapshots of two topics, the newer topic first, but does not return the
// snapshots of one of them: the provider's client times out.
type silentBucket struct {
	snapshots.Bucket // for the methods that are not used

	silent string // the id of the topic whose snapshots it does not return
	reads  map[string]int
}

const newTopic, oldTopic = "0b", "0a"

func (b *silentBucket) List(context.Context, string, string) (objects []snapshots.Object, next string, err error) {
	for age, topic := range []string{newTopic, oldTopic} {
		for position := range 2 {
			objects = append(objects, snapshots.Object{Name: fmt.Sprintf("clusterlite-%s-%020d.snapshot", topic, position), ModTime: time.Unix(int64(-age), 0)})
		}
	}
	return objects, "", nil
}

func (b *silentBucket) Open(_ context.Context, name string) (io.ReadCloser, error) {
	topic := strings.Split(name, "-")[1]
	b.reads[topic]++
	if topic == b.silent {
		return nil, fmt.Errorf("operation error: %w", context.DeadlineExceeded)
	}
	manifest := `{"clusterlite_snapshot":1,"topic":"clusterlite.events","topic_id":"` + topic + `"}` + "\n"
	return io.NopCloser(strings.NewReader(manifest)), nil
}

func (b *silentBucket) Close() error { return nil }

// If a store falls silent after its listing, a restore fails with an error that names the
// store. It does not skip snapshots one after another, and does not fall back to a snapshot of
// an older topic.
func TestASilentStoreEndsARestore(t *testing.T) {
	for silent, c := range map[string]struct {
		args  []string
		reads int // the number of reads of the silent topic's snapshots
	}{
		newTopic:           {nil, 1},
		oldTopic:           {nil, 1},
		newTopic + "/only": {[]string{"--topic-id=" + newTopic}, 1},
	} {
		t.Run(silent, func(t *testing.T) {
			topic, _, _ := strings.Cut(silent, "/")
			b := &silentBucket{silent: topic, reads: map[string]int{}}
			scheme := fmt.Sprintf("silent%p", b)
			subcommand.Stores[scheme] = func(context.Context, *url.URL) (snapshots.Bucket, error) { return b, nil }
			t.Cleanup(func() { delete(subcommand.Stores, scheme) })
			err := clitest.ToolAlone(t, nil, append([]string{"snapshot", "restore", scheme + "://bucket", "--data-dir=" + filepath.Join(t.TempDir(), "data")}, c.args...)...)
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
