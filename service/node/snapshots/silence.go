package snapshots

import (
	"context"
	"io"
	"time"

	"github.com/clusterlite/clusterlite/service/httpclient"
)

// limits bound how long a node or a bucket may be silent. Answer covers the longest work
// without a sign of progress: a node that copies its file reports that regularly, and a
// bucket accepts written data in parts of some megabytes.
var limits = httpclient.Limits{Connect: 5 * time.Second, Answer: time.Minute, Stall: 30 * time.Second, Least: 64 << 10}

// waiting watches the requests to a store. The providers' clients have no time limits of
// their own, or limits that grow with their retries.
type waiting struct {
	*httpclient.Watch
	stop func()
}

// watch returns the context for requests to the store.
func (s *Store) watch(ctx context.Context) (context.Context, waiting) {
	ctx, w, stop := httpclient.NewWatch(ctx, s.name)
	return ctx, waiting{w, stop}
}

// ask sends a request with a single answer. If a time limit ends it, the error is an
// [httpclient.SilentError] that names the store.
func ask[T any](w waiting, question func() (T, error)) (T, error) {
	w.Wait(httpclient.Asking, limits.Answer)
	defer w.Rest()
	answer, err := question()
	return answer, w.Err(err)
}

// reader returns a reader of what the store sends. Its Close stops the watch.
func (w waiting) reader(r io.ReadCloser) io.ReadCloser {
	return &object{httpclient.NewReader(r, w.Watch, limits), r, w.stop}
}

type object struct {
	io.Reader
	closer io.Closer
	stop   func()
}

func (o *object) Close() error {
	o.stop()
	return o.closer.Close()
}

// writer returns a writer to the store, which must accept each part in time.
func (w waiting) writer(to io.Writer) io.Writer { return patientWriter{w, to} }

type patientWriter struct {
	waiting
	io.Writer
}

func (w patientWriter) Write(p []byte) (int, error) {
	return ask(w.waiting, func() (int, error) { return w.Writer.Write(p) })
}

// remove removes an object.
func (s *Store) remove(ctx context.Context, name string) error {
	ctx, waiting := s.watch(ctx)
	defer waiting.stop()
	_, err := ask(waiting, func() (none struct{}, _ error) { return none, s.bucket.Remove(ctx, name) })
	return err
}
