package web

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/service/httpapi/coding"
	"github.com/clusterlite/clusterlite/service/httpapi/overload"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// parsed is the maximum memory that a parsed JSON document takes, for each byte of its text.
// A document of nothing but small objects takes 47 times as much as its text.
const parsed = 48

// Limits bound what an API accepts at once. What exceeds them waits, for at most a second and
// in a bounded queue, and is then rejected with 503 overloaded.
type Limits struct {
	// Requests is the maximum number of reads in progress, and also that of writes.
	Requests int
	// Memory is for bodies, for what is parsed from them, and for responses, in bytes.
	Memory int64
}

// capacity is what a server accepts at once. A request has a slot in one of the gates while
// it is in progress: from when its body has arrived until its response is ready. So a client
// that sends or reads slowly does not block others.
type capacity struct {
	reads, writes *overload.Gate
	memory        *overload.Memory
	maxBody       int64
	whole         coding.Whole
	rejected      *prometheus.CounterVec
}

func newCapacity(l Limits, maxBody int64, registry *prometheus.Registry) *capacity {
	o := &capacity{
		reads: overload.NewGate(l.Requests), writes: overload.NewGate(l.Requests), memory: overload.NewMemory(l.Memory), maxBody: maxBody,
		whole: coding.NewWhole(),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterlite_http_requests_rejected_total", Help: "Requests rejected with 503 because of overload, by reason.",
		}, []string{"reason"}),
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clusterlite_http_requests_waiting", Help: "Requests waiting to be served.",
	}, func() float64 { return float64(o.reads.Waiting() + o.writes.Waiting()) })
	for _, reason := range overload.Reasons {
		o.rejected.WithLabelValues(reason) // so that the series exists from the start
	}
	registry.MustRegister(o.rejected, waiting)
	return o
}

// gateFor returns the gate of a request. Reads and writes have one each.
func (o *capacity) gateFor(r *http.Request) *overload.Gate {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return o.reads
	}
	return o.writes
}

// admit is the middleware that gives each request memory for its body, and a slot.
func (o *capacity) admit() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			a := &requestOf(c).admission
			a.Account, a.capacity = o.memory.Account(), o
			defer a.end()
			err := a.serve(c, next)
			if err == nil {
				return nil
			}
			var busy *overload.BusyError
			if errors.As(err, &busy) {
				o.rejected.WithLabelValues(busy.Reason).Inc()
				return problem.Overloaded.Because(err, "The server is at capacity. Nothing was done. Retry later.")
			}
			return err
		}
	}
}

// An admission is what one request holds of a server's capacity: its slot, its memory and
// its body. It wraps the writer of the response, so that it can give the slot back as soon
// as the response is ready. Use it from one goroutine.
type admission struct {
	overload.Account
	*capacity
	out  http.ResponseWriter // the wrapped writer, once the request has a slot
	slot *overload.Gate      // where the request has a slot; nil before and afterwards

	slow     *slowBody // nil if the request has no body
	read     bool      // ReadBody was called
	body     []byte
	decoding *coding.Decoder // of a stream, or nil
}

func (a *admission) serve(c echo.Context, next echo.HandlerFunc) error {
	r := c.Request()
	if r.Body != nil && r.Body != http.NoBody {
		a.slow = &slowBody{ReadCloser: r.Body, control: *http.NewResponseController(c.Response())}
		r.Body = a.slow
	}
	if !a.readsWhole(r) {
		if err := a.enter(c); err != nil {
			return err
		}
	}
	err := next(c)
	if err != nil && a.slow != nil {
		a.release()
		a.slow.drain(r)
	}
	return err
}

// readsWhole reports whether the handler reads the body as a whole. Such a request takes its
// slot only once the body has arrived, so that a client that sends slowly does not block
// others. A handler that rejects such a request because of its header needs no slot.
func (a *admission) readsWhole(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return a.slow != nil && !IsStream(r)
	}
	return false
}

// enter takes a slot for the request until its response is ready. Sending the response may
// take long, and needs no slot.
func (a *admission) enter(c echo.Context) error {
	g := a.gateFor(c.Request())
	if err := g.Enter(c.Request().Context()); err != nil {
		return err
	}
	a.slot = g
	w := c.Response()
	a.out, w.Writer = w.Writer, a
	return nil
}

// Header implements [http.ResponseWriter].
func (a *admission) Header() http.Header { return a.out.Header() }

// WriteHeader implements [http.ResponseWriter]. The response is ready now, so it gives the
// slot back.
func (a *admission) WriteHeader(status int) {
	a.release()
	a.out.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (a *admission) Write(p []byte) (int, error) { return a.out.Write(p) }

// Unwrap returns the wrapped writer, for [http.ResponseController].
func (a *admission) Unwrap() http.ResponseWriter { return a.out }

func (a *admission) release() {
	if a.slot != nil {
		a.slot.Leave()
		a.slot = nil
	}
}

// admissionOf returns the admission of a request, or nil if the server has no limits.
func admissionOf(c echo.Context) *admission {
	if r := requestOf(c); r != nil && r.admission.capacity != nil {
		return &r.admission
	}
	return nil
}

func (a *admission) end() {
	a.release()
	if a.decoding != nil {
		a.decoding.Release()
	}
	a.Close()
}

// handOver returns an account with the memory of the request, which the caller has to close.
func (a *admission) handOver() *overload.Account {
	account := a.Account
	a.Account = a.memory.Account()
	return &account
}

// ReleaseSlot releases the slot of a request that is about to wait, for longer than a read may take,
// for something that is not work of this process. It does nothing once the response has begun.
func ReleaseSlot(c echo.Context) {
	if a := admissionOf(c); a != nil {
		a.release()
	}
}

// ReserveMemory reserves n bytes of the memory that all requests share, until the request ends. A
// handler that collects data of unknown size calls it while it does so. ReserveMemory waits for
// at most a second. The handler must return the error, which the server answers with 503.
func ReserveMemory(c echo.Context, n int) error {
	a := admissionOf(c)
	if a == nil {
		return nil
	}
	return a.Take(c.Request().Context(), int64(n))
}

// TryReserveMemory is [ReserveMemory] for a handler that holds something that other requests wait
// for, such as a connection to a database. It does not wait: if the memory is not free, it
// returns an error at once.
func TryReserveMemory(c echo.Context, n int) error {
	a := admissionOf(c)
	if a == nil {
		return nil
	}
	return a.TryTake(int64(n))
}
