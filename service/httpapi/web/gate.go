package web

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

const (
	// queued is how many requests may wait for each one that is worked on.
	queued = 4
	// patience is how long a request waits for a place or for memory. Who waits longer has
	// often gone, and an answer that comes too late is work for nothing.
	patience = time.Second
)

// Limits bound what an API takes on at once. What goes beyond them waits, for a second
// at most and in a queue that is bounded too, and is then answered 503 overloaded.
type Limits struct {
	// Requests is how many are worked on at once: so many reads, and so many writes.
	Requests int
	// Memory is for bodies, for what is made of them, and for answers, in bytes.
	Memory int64
}

// overload keeps a server from taking on more than it can do. A request has a place
// while it is worked on: from when its body is here until its answer is ready. So a
// client that sends or reads slowly keeps nobody out.
type overload struct {
	reads, writes *gate
	room          *semaphore.Weighted
	mostMemory    int64
	mostBody      int64
	zstd          *zstd.Decoder // for whole bodies
	rejected      *prometheus.CounterVec
}

func newOverload(l Limits, mostBody int64, registry *prometheus.Registry) *overload {
	o := &overload{
		reads: newGate(l.Requests), writes: newGate(l.Requests), room: semaphore.NewWeighted(l.Memory), mostMemory: l.Memory, mostBody: mostBody,
		zstd: newZstdDecoder(),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterlite_http_requests_rejected_total", Help: "Requests rejected with 503 because of overload, by reason.",
		}, []string{"reason"}),
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clusterlite_http_requests_waiting", Help: "Requests waiting to be served.",
	}, func() float64 { return float64(o.reads.waiting.Load() + o.writes.waiting.Load()) })
	for _, lack := range []string{lackRoom, lackTime, lackMemory} {
		o.rejected.WithLabelValues(lack) // so that it is there from the start
	}
	registry.MustRegister(o.rejected, waiting)
	return o
}

// gateFor is where a request gets its place: reads and writes have their own.
func (o *overload) gateFor(r *http.Request) *gate {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return o.reads
	}
	return o.writes
}

// What there may be not enough of, as the metric names it.
const (
	lackRoom   = "queue_full"
	lackTime   = "timeout"
	lackMemory = "memory"
)

// errBusy is returned if there is too much to do.
type errBusy struct{ lack string }

// Error says what there is not enough of.
func (e *errBusy) Error() string { return "overload: " + e.lack }

// lacking tells why a wait has ended: there was too much to do, or the client is gone.
func lacking(ctx context.Context, lack string) error {
	if ctx.Err() != nil {
		return problem.NotReady.Because(ctx.Err(), "The client cancelled the request. Nothing was done.")
	}
	return &errBusy{lack}
}

// A gate has places for requests.
type gate struct {
	places  *semaphore.Weighted
	waiting atomic.Int64
	queue   int64
}

func newGate(places int) *gate {
	return &gate{places: semaphore.NewWeighted(int64(places)), queue: int64(places) * queued}
}

// enter gives a place, in the order of arrival. Whoever gets one calls leave once.
func (g *gate) enter(ctx context.Context) error {
	if !g.places.TryAcquire(1) {
		defer g.waiting.Add(-1)
		if g.waiting.Add(1) > g.queue {
			return &errBusy{lackRoom}
		}
		wait, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if g.places.Acquire(wait, 1) != nil {
			return lacking(ctx, lackTime)
		}
	}
	return nil
}

func (g *gate) leave() { g.places.Release(1) }
