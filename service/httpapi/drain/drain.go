// Package drain takes the API of a process out of service without failing requests. Package node
// uses it when an operator asks for it and when the process stops, and the programs' subcommand
// drain is its client.
package drain

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// ErrDraining is why a draining process is not ready.
var ErrDraining = errors.New("the process is being drained, and takes no more clients")

// A Drain is the end of an API. First the process is not ready, but still serves, because load
// balancers need time to notice. It asks clients to close their connections. Then it accepts no more
// requests, and finishes those in flight. There is no way back but a restart. Safe for concurrent use.
type Drain struct {
	begun   atomic.Bool
	once    sync.Once
	stop    chan struct{} // closed when the API must stop
	stopped chan struct{} // closed once the API has stopped
}

// New returns a drain of an API that Serve will serve.
func New() *Drain {
	return &Drain{stop: make(chan struct{}), stopped: make(chan struct{})}
}

// Begun returns ErrDraining once the drain has begun, and nil before.
func (d *Drain) Begun() error {
	if d.begun.Load() {
		return ErrDraining
	}
	return nil
}

// Serve runs serve, which is to serve the API until its context ends, and returns when ctx ends.
// It returns an error if serve fails. It may be called once.
func (d *Drain) Serve(ctx context.Context, serve func(context.Context) error) error {
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-d.stop:
			cancel()
		case <-serving.Done():
		}
	}()
	err := serve(serving)
	close(d.stopped)
	if err != nil || ctx.Err() != nil {
		return err
	}
	select {
	case <-d.stop:
		<-ctx.Done()
		return nil
	default:
		return errors.New("the API ended unexpectedly")
	}
}

// Run drains the API: it waits for as long as load balancers need, and returns once all requests
// are done and all connections are closed. Serve limits the time for that. It returns the error
// of ctx if that ends earlier. A second call does not wait again.
func (d *Drain) Run(ctx context.Context, wait time.Duration) error {
	if d.begun.CompareAndSwap(false, true) && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		d.once.Do(func() { close(d.stop) })
	} else if wait <= 0 {
		d.once.Do(func() { close(d.stop) })
	}
	select {
	case <-d.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Handler serves requests with h. During a drain it ends each HTTP/1 connection with the response,
// and HTTP/2 connections as well. A write from a proxy that can send it elsewhere is sent there: it
// has not been touched, and the connection on which it came may be the last one.
func (d *Drain) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.begun.Load() {
			w.Header().Set("Connection", "close")
			if next := web.TryNext(r); next != "" {
				w.Header().Set("X-Accel-Redirect", next)
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}
