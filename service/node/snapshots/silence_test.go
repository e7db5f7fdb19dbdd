package snapshots_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/httpclient"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/s3"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// stalling returns the URL of a node that answers health checks and announces a snapshot of the
// given size in its header, but sends only the first bytes of it. then decides what happens to the
// rest.
func stalling(t *testing.T, size int, first []byte, then func(w http.ResponseWriter, ended <-chan struct{})) (url string) {
	t.Helper()
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != snapshots.Path {
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = w.Write(first)
		_ = http.NewResponseController(w).Flush()
		then(w, ended)
	}))
	t.Cleanup(func() { close(ended); s.Close() })
	return s.URL
}

func waits(_ http.ResponseWriter, ended <-chan struct{}) { <-ended }

func drips(w http.ResponseWriter, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-time.After(10 * time.Millisecond):
			if _, err := io.WriteString(w, "."); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// If a place falls silent at any point, the log names it, and the next place is used.
func TestASilentPlaceIsPassedOver(t *testing.T) {
	r := newRig(t)
	r.write(3)
	b, _ := r.snapshot()
	r.put(b)
	manifest := bytes.IndexByte(b, '\n') + 1
	t.Setenv("AWS_ACCESS_KEY_ID", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	mute := servicetest.Peer(t, nil)
	for name, c := range map[string]struct{ place, words string }{
		"a node that says nothing":               {"http://" + mute, mute + " accepted the connection but did not answer within"},
		"a node that is alive but sends no more": {stalling(t, len(b), nil, waits), "stalled while sending its answer: after 0 bytes"},
		"a node that stops in the manifest":      {stalling(t, len(b), b[:manifest/2], waits), "stalled while sending its answer: after " + strconv.Itoa(manifest/2) + " bytes"},
		"a node that stops after the manifest":   {stalling(t, len(b), b[:manifest], waits), "stalled while sending its answer: after " + strconv.Itoa(manifest) + " bytes"},
		"a node that stops in the file":          {stalling(t, len(b), b[:len(b)-10], waits), "stalled while sending its answer"},
		"a node that drips":                      {stalling(t, len(b)+1<<20, b[:manifest/2], drips), "stalled while sending its answer"},
		"a bucket that says nothing":             {"s3://bucket?region=eu-west-1&use_path_style=true&endpoint=" + url.QueryEscape("http://"+mute), "s3://bucket?region=eu-west-1&use_path_style=true&endpoint=" + url.QueryEscape("http://"+mute) + " did not answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			snapshots.Impatient(t, 300*time.Millisecond)
			var log bytes.Buffer
			f := snapshots.Finder{Sources: []string{c.place, r.place}, Providers: snapshots.Providers{s3.Scheme: s3.Open}, Log: r.log, Logger: slog.New(slog.NewJSONHandler(&log, nil))}
			if err := f.Save(servicetest.Context(t), filepath.Join(t.TempDir(), "f.db")); err != nil {
				t.Fatalf("got %v, want that the next place is used\n%s", err, log.String())
			}
			if got := strings.ReplaceAll(log.String(), `\u0026`, "&"); !strings.Contains(got, c.words) {
				t.Errorf("got %s, want that it says %q", got, c.words)
			}
		})
	}
}

// A bucket that does not accept data is named as well.
func TestASilentBucketStoresNothing(t *testing.T) {
	r := newRig(t)
	r.write(3)
	b, _ := r.snapshot()
	t.Setenv("AWS_ACCESS_KEY_ID", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	const soon = 300 * time.Millisecond // far below the deadline of each operation's context
	snapshots.Impatient(t, soon)
	store, err := snapshots.Providers{s3.Scheme: s3.Open}.Open(t.Context(), "s3://bucket?region=eu-west-1&use_path_style=true&endpoint="+url.QueryEscape("http://"+servicetest.Peer(t, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	for name, operation := range map[string]func(context.Context) error{
		"put": func(ctx context.Context) error {
			_, _, err := store.Put(ctx, bytes.NewReader(b), nil)
			return err
		},
		"list": func(ctx context.Context) error {
			_, err := store.List(ctx)
			return err
		},
		"open": func(ctx context.Context) error {
			_, err := store.Open(ctx, "clusterlite-0a-00000000000000000001.snapshot")
			return err
		},
		"prune": func(ctx context.Context) error {
			_, err := store.Prune(ctx, snapshots.Retention{Keep: 1})
			return err
		},
	} {
		err := operation(servicetest.Context(t))
		var silent *httpclient.SilentError
		if !errors.As(err, &silent) || silent.For != soon || !strings.Contains(err.Error(), "did not answer within 300ms") {
			t.Errorf("%s: got %v, want that the bucket did not answer within %s", name, err, soon)
		}
	}
}
