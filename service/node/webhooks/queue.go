package webhooks

import (
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/clusterlite/clusterlite/events"
)

// An item is an event that has to be delivered.
type item struct {
	delivery
	appended time.Time // when the log received it; zero if that is not known
	// id and version are those of the record in the log; id is empty if the event has no record.
	id      string
	version int64

	next    time.Time // when to send it
	sending bool
	failed  bool // since the process began to deliver the webhook
}

func (i *item) entity() events.EntityKey {
	return events.EntityKey{Collection: i.Of, ID: i.Entity}
}

// A queue has the events that a webhook has to deliver, in the order of the log. It makes no requests,
// knows no clock, and belongs to one goroutine.
type queue struct {
	items []*item // by position
	// read is the position up to which all events of the webhook were added.
	read events.Position
	// failing are the events that failed since the last success. With downAfter of them, the
	// endpoint is considered to be down.
	failing map[string]bool
	// sending is the number of requests under way. probe is when a queue whose endpoint is down
	// sends the next, and probes the number of probes that failed.
	sending, probes int
	probe           time.Time
}

const (
	// maxFresh is the number of events after the cursor, and maxRecorded that of retried events with
	// a record, from which on a queue reads no more.
	maxFresh    = 256
	maxRecorded = 1000
	// downAfter is the number of different events that have to fail, without a success between them,
	// until the endpoint is considered to be down.
	downAfter = 5
)

// add adds an event in the order of positions.
func (q *queue) add(i *item) {
	at, _ := slices.BinarySearchFunc(q.items, i, func(a, b *item) int {
		return int(a.Position - b.Position)
	})
	q.items = slices.Insert(q.items, at, i)
}

func (q *queue) remove(i *item) {
	if at := slices.Index(q.items, i); at >= 0 {
		q.items = slices.Delete(q.items, at, at+1)
	}
}

// counts returns the number of events without a record, and with one.
func (q *queue) counts() (fresh, recorded int) {
	for _, i := range q.items {
		if i.id == "" {
			fresh++
		} else {
			recorded++
		}
	}
	return fresh, recorded
}

// full reports whether the queue reads no more for now.
func (q *queue) full() bool {
	fresh, recorded := q.counts()
	return fresh >= maxFresh || recorded >= maxRecorded
}

// cursor returns the position up to which all events were delivered or have a record.
func (q *queue) cursor() events.Position {
	for _, i := range q.items {
		if i.id == "" {
			return min(i.Position-1, q.read)
		}
	}
	return q.read
}

// down reports whether the endpoint seems to accept nothing. The queue then sends one event at a time.
func (q *queue) down() bool { return len(q.failing) >= downAfter }

// heads returns the first event of each entity of which none is being sent, in order. The others have
// to wait.
func (q *queue) heads() (heads []*item) {
	seen := make(map[events.EntityKey]bool, len(q.items))
	for _, i := range q.items {
		if i.sending { // not always the first, because an earlier one may be replayed
			seen[i.entity()] = true
		}
	}
	for _, i := range q.items {
		if !seen[i.entity()] {
			seen[i.entity()] = true
			heads = append(heads, i)
		}
	}
	return heads
}

// due returns the events to send now, at most so many that concurrency is not exceeded. wake is when
// the next one is due; zero if no other event waits for its time.
func (q *queue) due(now time.Time, concurrency int) (send []*item, wake time.Time) {
	if q.down() {
		return q.dueWhileDown(now)
	}
	for _, i := range q.heads() {
		switch {
		case i.next.After(now):
			if wake.IsZero() || i.next.Before(wake) {
				wake = i.next
			}
		case q.sending+len(send) < concurrency:
			send = append(send, i)
		}
	}
	return send, wake
}

// dueWhileDown returns the event that was not tried for the longest time.
func (q *queue) dueWhileDown(now time.Time) (send []*item, wake time.Time) {
	if q.sending > 0 {
		return nil, wake
	}
	if q.probe.After(now) {
		return nil, q.probe
	}
	tried := func(i *item) time.Time {
		if i.Last == nil || !i.failed { // of another process
			return time.Time{}
		}
		return *i.Last
	}
	if heads := q.heads(); len(heads) > 0 {
		return []*item{slices.MinFunc(heads, func(a, b *item) int { return tried(a).Compare(tried(b)) })}, wake
	}
	return nil, wake
}

// begun notes that an event is being sent.
func (q *queue) begun(i *item) {
	i.sending = true
	q.sending++
}

// delivered notes a success.
func (q *queue) delivered(i *item) {
	i.sending = false
	q.sending--
	clear(q.failing)
	q.probes = 0
	q.remove(i)
}

// fail notes a failure. It reports whether the event was retried for long enough.
func (q *queue) fail(i *item, o outcome, now time.Time, pause func(attempts int) time.Duration, retryFor time.Duration) (enough bool) {
	i.sending, i.failed = false, true
	q.sending--
	i.Attempts++
	i.Problem, i.Last = o.problem, &now
	if i.First == nil {
		i.First = &now
	}
	i.next = now.Add(max(pause(i.Attempts), o.after))
	if q.failing == nil {
		q.failing = map[string]bool{}
	}
	q.failing[i.Event] = true
	if q.down() {
		q.probes++
		q.probe = now.Add(max(pause(q.probes), o.after))
	}
	return now.Sub(*i.First) >= retryFor
}

// stranded returns the events without a record that wait for an earlier one of their entity that has a
// record. Without a record of their own they would hold the cursor for as long.
func (q *queue) stranded() (others []*item) {
	waiting := map[events.EntityKey]bool{}
	for _, i := range q.items {
		switch {
		case i.id != "":
			waiting[i.entity()] = true
		case waiting[i.entity()]:
			others = append(others, i)
		}
	}
	return others
}

// oldest returns the time of the oldest event that waits for its delivery; zero if no event waits.
func (q *queue) oldest() (at time.Time) {
	for _, i := range q.items {
		since := i.appended
		if since.IsZero() && i.First != nil { // the journal was not asked
			since = *i.First
		}
		if !since.IsZero() && (at.IsZero() || since.Before(at)) {
			at = since
		}
	}
	return at
}

// pauses returns how long to wait after a number of failed attempts: exponential, with jitter.
func pauses(first, longest time.Duration) func(attempts int) time.Duration {
	return func(attempts int) (pause time.Duration) {
		b := &backoff.ExponentialBackOff{InitialInterval: first, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: longest}
		b.Reset()
		for range min(max(attempts, 1), 30) {
			pause = b.NextBackOff()
		}
		return pause
	}
}
