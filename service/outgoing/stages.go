package outgoing

import (
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"
)

// stages has the watch wait for each stage of a request in turn. The transport tells of
// them from goroutines of its own, also after the answer has begun.
type stages struct {
	watch  *Watch
	limits Limits

	mu    sync.Mutex
	ended bool
}

func (s *stages) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		// The connection bounds each piece that is sent, and the request may have many.
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

// reach notes a stage and waits for the next, for so long at most; zero is without end.
func (s *stages) reach(stage Stage, atMost time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.watch.Wait(stage, atMost)
}

// end says that the answer has begun, or never will.
func (s *stages) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.watch.Rest()
}
