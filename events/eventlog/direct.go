package eventlog

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
)

// This file has the part of the publisher that appends through the broker in the same process. The
// appender takes groups when the broker is ready for them, so no goroutine of the log is involved.
// Groups that are too large for one batch, and those that the broker refused for now, go through
// the client, which splits and retries them. Only one group is in flight at a time.

func (p *publisher) attach(a *inprocess.Appender) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.appender = a
	}
	p.proceed()
}

func (p *publisher) detach() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.appender, p.ended = nil, true
	p.proceed()
}

// direct reports whether appends go to a broker in the same process.
func (p *publisher) direct() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.appender != nil
}

// byAppender reports whether the appender may take the next group. The caller holds the mutex.
func (p *publisher) byAppender() bool {
	return p.appender != nil && p.refused == nil && !p.sending && (len(p.waiting) == 0 || p.waiting[0].bytes <= groupBytes)
}

// give returns the records of the next group for the appender.
func (p *publisher) give() (records []*kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = false
	for len(records) == 0 && len(p.waiting) > 0 && p.byAppender() {
		p.group, records = decide(p.take())
	}
	if len(records) == 0 {
		p.group = nil
		p.proceed() // what waits now may be too large for the appender
	}
	p.taken = time.Now()
	return records
}

// settle reports the outcome of the group that the appender has taken.
func (p *publisher) settle(base int64, err error) {
	p.mu.Lock()
	group, now := p.group, time.Now()
	p.group = nil
	p.noteSent(len(group), now.Sub(p.taken), err == nil)
	if err != nil && kerr.IsRetriable(err) {
		p.refused = group
		group = nil
	}
	p.proceed()
	p.mu.Unlock()
	next := events.Position(base)
	for _, s := range group {
		next += events.Position(len(s.records))
		if err == nil {
			s.receipt.Position = next
		}
		s.report(err, &now)
	}
}

// takeForClient returns the next group that goes through the client. decided says that the
// callers already count on it.
func (p *publisher) takeForClient() (group []*publication, decided bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.group != nil: // settle proceeds
		return nil, false
	case p.refused != nil:
		group, p.refused, decided = p.refused, nil, true
	case p.byAppender() && !p.closed:
		p.proceed()
		return nil, false
	case !p.due && !p.closed:
		return nil, false // it lingers
	default:
		group = p.take()
	}
	p.due = false
	p.sending = len(group) > 0
	return group, decided
}

// closeAppender waits until the appender has appended what waits, or until the log abandons it.
func (p *publisher) closeAppender() {
	for {
		p.mu.Lock()
		appender := p.appender
		busy := p.group != nil || len(p.waiting) > 0 && p.byAppender()
		if appender != nil && busy {
			appender.Wake()
		}
		p.mu.Unlock()
		if appender == nil {
			return
		}
		if busy {
			select {
			case <-p.called:
				continue
			case <-p.log.sending.Done():
			}
		}
		appender.Close()
		return
	}
}
