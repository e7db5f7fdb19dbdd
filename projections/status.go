package projections

import (
	"context"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

// Status is what a node tells operators of its projection. The JSON names are part of
// the admin interface.
type Status struct {
	Topic    string          `json:"topic"`
	TopicID  string          `json:"topic_id"`
	Position events.Position `json:"position"`
	// End is the end of the log as last heard.
	End events.Position `json:"end"`
	Lag Lag             `json:"lag"`
	// Digests stand for the rows of each collection at Position: two nodes at the same
	// position have the same.
	Digests map[string]string `json:"digests"`
	// Entities is how many entities live in each collection.
	Entities map[string]int64 `json:"entities"`
	// Voids is how many records were void in all.
	Voids int64 `json:"voids"`
	// Rate is how many records a second were applied lately.
	Rate float64 `json:"rate"`
	// BrokerReachable tells whether the broker answered the last question.
	BrokerReachable bool `json:"broker_reachable"`
	// State is where the projection is in its life.
	State State `json:"state"`
	// Stopped says why the projection stopped, if it did.
	Stopped string `json:"stopped,omitempty"`
	// Failing says what keeps it from applying the log just now, if anything does.
	Failing string `json:"failing,omitempty"`
	// Damaged says what is wrong with its file, if it has to be rebuilt.
	Damaged string `json:"damaged,omitempty"`
}

// countTimeout bounds how long an operator's question waits for the answer of the file.
const countTimeout = time.Second

// Status tells how the projection is. Position and digests belong together. It also tells of
// a projection that can't be read: the void records are then as they were last counted. Its
// only error is that of ctx.
func (p *Projection) Status(ctx context.Context) (Status, error) {
	p.countVoids(ctx)
	if err := ctx.Err(); err != nil {
		return Status{}, err
	}
	s := Status{
		Topic:           p.options.Log.Topic(),
		Digests:         map[string]string{},
		Entities:        map[string]int64{},
		Voids:           p.voids.Load(),
		BrokerReachable: p.options.Log.Reachable(),
	}
	p.mu.Lock()
	s.TopicID, s.Position = p.topicID, p.digested.position
	for name, d := range p.digests {
		s.Digests[name], s.Entities[name] = d.Digest.String(), d.Living
	}
	p.mu.Unlock()
	var cause error
	switch s.State, cause = p.life.now(); s.State {
	case StateRefused:
		s.Stopped = cause.Error()
	case StateFailing, StateInDoubt:
		s.Failing = cause.Error()
	case StateDamaged:
		s.Damaged = cause.Error()
	}
	s.End, s.Lag = p.Lag()
	s.Rate = p.progress.speed()
	return s, nil
}

func (p *Projection) countVoids(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	if counts, err := p.VoidCounts(ctx); err == nil {
		p.voids.Store(VoidSum(counts))
	}
}

// Lag is how far a projection is behind the end of the log, as last heard.
type Lag struct {
	// Events is how many records are not applied yet.
	Events int64 `json:"events"`
	// Seconds is for how long there have been such.
	Seconds float64 `json:"seconds"`
}

// Lag returns the last known end of the log, and how far the projection is behind it.
func (p *Projection) Lag() (end events.Position, lag Lag) {
	end, lag.Events, lag.Seconds = p.progress.lag()
	return end, lag
}

// Rate tells how many records a second were applied lately; zero when idle.
func (p *Projection) Rate() float64 { return p.progress.speed() }
