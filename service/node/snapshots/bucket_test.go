package snapshots_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterlite/clusterlite/service/httpclient"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
)

// A faultyBucket is a provider's client of which one operation fails. It holds two snapshots and
// does not keep what is written to it.
type faultyBucket struct {
	operation string // open, exists, list, get, read, create, write, close or delete
	fault     func(context.Context) error
	content   []byte // of each object; nil if only the listing has them
	committed bool
	deleted   bool
}

// errRPCDeadline is a provider's error that carries its timeout only as a code.
var errRPCDeadline = errors.New("rpc error: code = DeadlineExceeded")

// openFaulty opens the bucket as a store, by its URL.
func openFaulty(ctx context.Context, b *faultyBucket) (*snapshots.Store, error) {
	scheme := fmt.Sprintf("faulty%p", b)
	return snapshots.Providers{scheme: b.open}.Open(ctx, scheme+"://bucket")
}

func (b *faultyBucket) open(ctx context.Context, _ *url.URL) (snapshots.Bucket, error) {
	if err := b.failOn(ctx, "open"); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *faultyBucket) failOn(ctx context.Context, operation string) error {
	if operation != b.operation {
		return nil
	}
	err := b.fault(ctx)
	if errors.Is(err, errRPCDeadline) {
		return errors.Join(err, context.DeadlineExceeded) // as the interface requires
	}
	return err
}

func (b *faultyBucket) Exists(ctx context.Context, _ string) (bool, error) {
	return b.content != nil, b.failOn(ctx, "exists")
}

// List returns each object in a separate page.
func (b *faultyBucket) List(ctx context.Context, _, page string) ([]snapshots.Object, string, error) {
	if err := b.failOn(ctx, "list"); err != nil {
		return nil, "", err
	}
	number, next := 1, "2"
	if page == next {
		number, next = 2, ""
	}
	return []snapshots.Object{{Name: fmt.Sprintf("clusterlite-0a-%020d.snapshot", number)}}, next, nil
}

func (b *faultyBucket) Open(ctx context.Context, _ string) (io.ReadCloser, error) {
	return &faultyReader{b, ctx, bytes.NewReader(b.content)}, b.failOn(ctx, "get")
}

func (b *faultyBucket) Create(ctx context.Context, _ string) (io.WriteCloser, error) {
	return &faultyWriter{b, ctx}, b.failOn(ctx, "create")
}

func (b *faultyBucket) Remove(ctx context.Context, _ string) error {
	err := b.failOn(ctx, "delete")
	b.deleted = err == nil
	return err
}

func (b *faultyBucket) Close() error { return nil }

type faultyReader struct {
	b   *faultyBucket
	ctx context.Context
	io.Reader
}

func (r *faultyReader) Read(p []byte) (int, error) {
	if err := r.b.failOn(r.ctx, "read"); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

func (r *faultyReader) Close() error { return nil }

type faultyWriter struct {
	b   *faultyBucket
	ctx context.Context
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if err := w.b.failOn(w.ctx, "write"); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close commits unless the context has ended, as the providers' clients do.
func (w *faultyWriter) Close() error {
	if err := w.b.failOn(w.ctx, "close"); err != nil {
		return err
	}
	w.b.committed = w.ctx.Err() == nil
	return w.ctx.Err()
}

// Whichever deadline ends an operation, and however the provider's client reports it, the
// error names the bucket and says for how long it did not answer. Time is simulated, so
// that the test does not depend on the speed of the machine.
func TestAnOperationThatTimesOutNamesTheBucket(t *testing.T) {
	r := newRig(t)
	r.write(3)
	b, _ := r.snapshot()
	put := func(ctx context.Context, s *snapshots.Store) error {
		_, _, err := s.Put(ctx, bytes.NewReader(b), nil)
		return err
	}
	list := func(ctx context.Context, s *snapshots.Store) error {
		_, err := s.List(ctx)
		return err
	}
	manifest := func(ctx context.Context, s *snapshots.Store) error {
		_, err := s.Manifest(ctx, "clusterlite-0a-00000000000000000001.snapshot")
		return err
	}
	prune := func(ctx context.Context, s *snapshots.Store) error {
		_, err := s.Prune(ctx, snapshots.Retention{Keep: 1})
		return err
	}
	const (
		answer, stall = time.Minute, 30 * time.Second
		atOnce        = time.Duration(-1)
	)
	operations := []struct {
		name, operation string
		content         []byte
		limit           time.Duration
		do              func(context.Context, *snapshots.Store) error
	}{
		{"open", "open", nil, answer, list},
		{"list", "list", nil, answer, list},
		{"get", "get", b, answer, manifest},
		{"read", "read", b, stall, manifest},
		{"delete", "delete", b, answer, prune},
		{"list for prune", "list", nil, answer, prune},
		{"put: exists", "exists", nil, answer, put},
		{"put: get the present one", "get", b, answer, put},
		{"put: read the present one", "read", b, stall, put},
		{"put: create", "create", nil, answer, put},
		{"put: write", "write", nil, answer, put},
		{"put: close", "close", nil, answer, put},
	}
	blocks := func(err func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error { <-ctx.Done(); return err(ctx) }
	}
	fails := func(err error) func(context.Context) error {
		return func(context.Context) error { time.Sleep(time.Second); return err }
	}
	reports := func(ctx context.Context) error { return fmt.Errorf("operation error: %w", ctx.Err()) }
	hides := func(context.Context) error { return errors.New("request canceled") }
	faults := []struct {
		name     string
		fault    func(context.Context) error
		deadline time.Duration // the caller's; zero: none, atOnce: when the limit of the operation ends
		within   time.Duration // zero: the limit of the operation
	}{
		{"our limit, reported", blocks(reports), 0, 0},
		{"our limit, hidden", blocks(hides), 0, 0},
		{"both at once, reported", blocks(reports), atOnce, 0},
		{"both at once, hidden", blocks(hides), atOnce, 0},
		{"the caller's deadline, reported", blocks(reports), 10 * time.Second, 10 * time.Second},
		{"the caller's deadline, hidden", blocks(hides), 10 * time.Second, 10 * time.Second},
		{"the client's own timeout", fails(fmt.Errorf("operation error: %w", context.DeadlineExceeded)), 0, time.Second},
		{"the client's own timeout, below an error without", fails(&url.Error{Op: "Head", URL: "x", Err: fmt.Errorf("send: %w", context.DeadlineExceeded)}), 0, time.Second},
		{"the client's own timeout, as a code", fails(errRPCDeadline), 0, time.Second},
	}
	for _, o := range operations {
		for _, f := range faults {
			if o.operation == "open" && strings.HasSuffix(f.name, "as a code") {
				continue // without a bucket an error has no code
			}
			t.Run(o.name+"/"+f.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					want := f.within
					if want == 0 {
						want = o.limit
					}
					ctx := t.Context()
					if f.deadline != 0 {
						deadline := f.deadline
						if deadline == atOnce {
							deadline = o.limit
						}
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, deadline)
						defer cancel()
					}
					bucket := &faultyBucket{operation: o.operation, fault: f.fault, content: o.content}
					began := time.Now()
					store, err := openFaulty(ctx, bucket)
					if err == nil {
						err = errors.Join(o.do(ctx, store), store.Close())
					}
					var silent *httpclient.SilentError
					if !errors.As(err, &silent) || silent.For != want || !strings.HasSuffix(silent.Peer, "://bucket") {
						t.Errorf("got %v, want that the bucket did not answer for %s", err, want)
					}
					if took := time.Since(began); took != want {
						t.Errorf("got it after %s, want after %s", took, want)
					}
					if bucket.committed || bucket.deleted {
						t.Errorf("got committed %t, deleted %t, want nothing changed", bucket.committed, bucket.deleted)
					}
				})
			})
		}
	}
}

// An error that is not a timeout is returned unchanged, and nothing is changed.
func TestAnOperationThatFailsIsNotSilence(t *testing.T) {
	r := newRig(t)
	r.write(3)
	b, _ := r.snapshot()
	closed := &url.Error{Op: "Get", URL: "x", Err: io.EOF} // the connection was closed before an answer
	for name, c := range map[string]struct {
		operation string
		content   []byte
		fault     error
	}{
		"list, closed connection":            {"list", nil, closed},
		"exists, closed connection":          {"exists", nil, closed},
		"present one denied":                 {"get", b, errors.New("access denied")},
		"present one, closed connection":     {"read", b, closed},
		"present one, connection breaks off": {"read", b, io.ErrUnexpectedEOF},
		"write, closed connection":           {"write", nil, closed},
		"close, denied":                      {"close", nil, errors.New("access denied")},
	} {
		t.Run(name, func(t *testing.T) {
			bucket := &faultyBucket{operation: c.operation, content: c.content, fault: func(context.Context) error { return c.fault }}
			store, err := openFaulty(t.Context(), bucket)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			if c.operation == "list" {
				_, err = store.List(t.Context())
			} else {
				_, _, err = store.Put(t.Context(), bytes.NewReader(b), nil)
			}
			var silent *httpclient.SilentError
			if !errors.Is(err, c.fault) || errors.As(err, &silent) || bucket.committed {
				t.Errorf("got %v, committed %t, want %v and nothing stored", err, bucket.committed, c.fault)
			}
		})
	}
}

// A caller that gives up does not get an error about a silent bucket.
func TestACallerWhoGivesUpIsNotSilence(t *testing.T) {
	bucket := &faultyBucket{operation: "list"}
	store, err := openFaulty(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	bucket.fault = func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }
	_, err = store.List(ctx)
	var silent *httpclient.SilentError
	if !errors.Is(err, context.Canceled) || errors.As(err, &silent) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
