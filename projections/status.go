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

// An ApplyError means that the log can't be applied at the moment, for a reason other than an
// unreachable broker. The worker retries.
type ApplyError struct{ Err error }

// Error describes the failure.
func (e *ApplyError) Error() string { return fmt.Sprintf("can't apply the log: %v", e.Err) }

// Unwrap returns the cause.
func (e *ApplyError) Unwrap() error { return e.Err }

// Ready returns nil if clients may read from the projection. /readyz reports it, and reads
// depend on it. Otherwise the error says why not: the projection is stuck (see
// [Projection.Stuck]), has not caught up with the log since Run started, or has been behind for
// longer than maxLag.
//
// An unreachable broker does not make a node unready if its file has ever caught up, even in an
// earlier run. In that case nothing shows how far behind the node is, and [Projection.Degraded]
// says so. A file that has never caught up may hold only the beginning of the log, so Ready
// returns an error for it.
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

// Degraded describes what a ready projection can't promise. It is empty if there is no such
// limit.
func (p *Projection) Degraded() string {
	if p.Stuck() != nil || !p.servesAlone() {
		return ""
	}
	return fmt.Sprintf("the broker is unreachable, so the end of the log is unknown: serving position %d; reads that do not ask for a consistency are eventual", p.Position())
}

// servesAlone reports whether the projection serves without knowing the end of the log.
func (p *Projection) servesAlone() bool { return p.life.ServesAlone(p.options.Log.Reachable()) }

// CaughtUp returns a channel that is closed once the projection has caught up with the log, in this run or an
// earlier one. Until then it may hold only the beginning of the log.
func (p *Projection) CaughtUp() <-chan struct{} { return p.life.CaughtUp() }

// noteCaughtUp moves the projection to live once it has reached the end that the log had at the
// start, and has the file record it.
func (p *Projection) noteCaughtUp() {
	if !p.progress.ReachedTarget() || p.life.CatchUp() {
		return
	}
	p.applying.Lock()
	defer p.applying.Unlock()
	g := p.serving.Load()
	if err := p.observe(g, g.Writer.SetMeta(context.Background(), applier.MetaCaughtUp, "1")); err != nil {
		p.options.Logger.Debug("could not save that the file has caught up", "error", err) // retried later
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

// stateWords maps the states of the life cycle to the words of the admin interface.
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

// Status describes a projection for operators. The JSON names are part of the admin interface.
type Status struct {
	Topic    string          `json:"topic"`
	TopicID  string          `json:"topic_id"`
	Position events.Position `json:"position"`
	// End is the last known end of the log.
	End events.Position `json:"end"`
	Lag Lag             `json:"lag"`
	// Digests are the digests of the collections at Position. Two nodes at the same position
	// have the same digests.
	Digests map[string]string `json:"digests"`
	// Entities is the number of living entities in each collection.
	Entities map[string]int64 `json:"entities"`
	// Voids is the total number of void records.
	Voids int64 `json:"voids"`
	// Rate is the recent number of applied records per second.
	Rate float64 `json:"rate"`
	// BrokerReachable reports whether the broker answered the last request.
	BrokerReachable bool `json:"broker_reachable"`
	// State is the state of the projection.
	State State `json:"state"`
	// Stopped is the reason why the projection stopped; empty if it did not.
	Stopped string `json:"stopped,omitempty"`
	// Failing is the reason why the log can't be applied at the moment; empty if it can.
	Failing string `json:"failing,omitempty"`
	// Damaged says what is wrong with the file if it has to be rebuilt.
	Damaged string `json:"damaged,omitempty"`
}

// countTimeout bounds the time that a status request waits for counts from the file.
const countTimeout = time.Second

// Status returns the status of the projection. Position and digests belong together. It also
// works while the file can't be read: the number of void records is then the last known one.
// The only error it returns is that of ctx.
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

// Lag is how far a projection is behind the last known end of the log.
type Lag struct {
	// Events is the number of records that are not applied yet.
	Events int64 `json:"events"`
	// Seconds is how long there have been records to apply.
	Seconds float64 `json:"seconds"`
}

// Lag returns the last known end of the log, and how far the projection is behind it.
func (p *Projection) Lag() (end events.Position, lag Lag) {
	end, lag.Events, lag.Seconds = p.progress.Lag()
	return end, lag
}

// Rate returns the recent number of applied records per second, or zero when idle.
func (p *Projection) Rate() float64 { return p.progress.Speed() }
