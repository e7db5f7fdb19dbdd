package httpclient

import (
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"
)

// stages makes the watch wait for each stage of a request in turn. The transport reports
// them from its own goroutines, even after the answer has begun.
type stages struct {
	watch  *Watch
	limits Limits

	mu    sync.Mutex
	ended bool
}

func (s *stages) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		// The connection bounds each part that is sent; a request may have many.
		GotConn: func(httptrace.GotConnInfo) { s.reach(Sending, 0) },
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			if i.Err == nil {
				s.reach(Awaiting, s.limits.Answer)
			}
		},
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			s.reach(Awaiting, s.limits.Stall)
			return nil
		},
	}
}

// reach records a stage and waits for the next, for at most this long; zero means without
// limit.
func (s *stages) reach(stage Stage, atMost time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.watch.Wait(stage, atMost)
}

// end records that the answer has begun, or never will.
func (s *stages) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.watch.Rest()
}
