package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/lifecycle"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// An ApplyError says that the log can't be applied just now, for another reason than that
// the broker is away. It is tried again.
type ApplyError struct{ Err error }

// Error says why.
func (e *ApplyError) Error() string { return fmt.Sprintf("can't apply the log: %v", e.Err) }

// Unwrap gives the cause.
func (e *ApplyError) Unwrap() error { return e.Err }

// Ready tells whether what the projection has may be given to clients. It is what /readyz
// says, and what decides about reads. The error says why not: the projection is stuck (see
// [Stuck]), it has not caught up with the log since Run started, or it has been
// behind for longer than maxLag.
//
// A broker that is away makes no node unready that has ever caught up, even if it was
// started since: no one can tell how far behind it is, and [Degraded] says so.
// What Ready prevents is that the beginning of the log passes for its end.
func (p *Projection) Ready(maxLag time.Duration) error {
	if err := p.Stuck(); err != nil {
		return err
	}
	if err := p.progress.Ready(p.life.HasCaughtUp(), maxLag); err != nil && !p.servesAlone() {
		return err
	}
	return nil
}

// ErrNotServed is returned by [Projection.Serves] for what no read model serves.
var ErrNotServed = errors.New("no read model serves this")

// Serves returns nil if the projection can be read for what a read model says that it serves, such
// as entities or lists. Otherwise it returns the reason: [ErrNotServed], a
// [readmodel.BehindError], or that of [Projection.Stuck]. How far the projection is behind the log
// is a question for [Projection.Ready].
func (p *Projection) Serves(what string) error {
	known, err := p.serving.Load().Writer.Serves(what)
	switch {
	case !known:
		return fmt.Errorf("%w: %s", ErrNotServed, what)
	case err != nil:
		return err
	}
	return p.Stuck()
}

// Degraded says what a projection that is ready can't promise; it is empty if there is
// nothing.
func (p *Projection) Degraded() string {
	if p.Stuck() != nil || !p.servesAlone() {
		return ""
	}
	return fmt.Sprintf("the broker is unreachable, so the end of the log is unknown: serving position %d; reads that do not ask for a consistency are eventual", p.Position())
}

// servesAlone reports whether the projection serves without knowing the end of the log.
func (p *Projection) servesAlone() bool { return p.life.ServesAlone(p.options.Log.Reachable()) }

// noteCaughtUp moves the projection to live once it has reached the end that the log had at the
// start, and has the file record it.
func (p *Projection) noteCaughtUp() {
	if !p.progress.ReachedTarget() || p.life.CatchUp() {
		return
	}
	p.applying.Lock()
	defer p.applying.Unlock()
	g := p.serving.Load()
	if err := p.observe(g, g.Writer.Remark(context.Background(), applier.MetaCaughtUp, "1")); err != nil {
		p.options.Logger.Debug("could not save that the file has caught up", "error", err) // next time
		return
	}
	p.life.RecordCaughtUp()
}

// A State is the state of a projection in the words of the admin interface.
type State string

// The states.
const (
	// StateStarting: the file has not been compared with the log yet.
	StateStarting State = "starting"
	// StateFollowing: the file belongs to the log, and the log is applied.
	StateFollowing State = "following"
	// StateInDoubt: the broker is unreachable, so nothing shows whether the log still continues
	// from the file.
	StateInDoubt State = "in-doubt"
	// StateFailing: the log can't be applied. The worker retries.
	StateFailing State = "failing"
	// StateDamaged: the file can't be used. It waits for a rebuild, or is being rebuilt.
	StateDamaged State = "damaged"
	// StateRefused: the file and the log do not belong together, or the next record can't be
	// read. See [refusal.Error].
	StateRefused State = "refused"
)

// stateWords gives the word for each state of the life cycle.
var stateWords = map[lifecycle.State]State{
	lifecycle.Starting:   StateStarting,
	lifecycle.CatchingUp: StateFollowing,
	lifecycle.Live:       StateFollowing,
	lifecycle.InDoubt:    StateInDoubt,
	lifecycle.Failing:    StateFailing,
	lifecycle.Damaged:    StateDamaged,
	lifecycle.Suspended:  StateRefused,
	lifecycle.Stopped:    StateRefused,
}

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
	s.TopicID, s.Position = p.topicID, p.digested.Position
	for name, d := range p.digests {
		s.Digests[name], s.Entities[name] = d.Digest.String(), d.Living
	}
	p.mu.Unlock()
	state, cause := p.life.Now()
	switch s.State = stateWords[state]; s.State {
	case StateRefused:
		s.Stopped = cause.Error()
	case StateFailing, StateInDoubt:
		s.Failing = cause.Error()
	case StateDamaged:
		s.Damaged = cause.Error()
	}
	s.End, s.Lag = p.Lag()
	s.Rate = p.progress.Speed()
	return s, nil
}

func (p *Projection) countVoids(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	if counts, err := p.VoidCounts(ctx); err == nil {
		p.voids.Store(reads.VoidSum(counts))
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
	end, lag.Events, lag.Seconds = p.progress.Lag()
	return end, lag
}

// Rate tells how many records a second were applied lately; zero when idle.
func (p *Projection) Rate() float64 { return p.progress.Speed() }
