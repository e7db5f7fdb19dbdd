package projections

import (
	"context"
	"fmt"
	"time"
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
// [Projection.Stuck]), it has not caught up with the log since Run started, or it has been
// behind for longer than maxLag.
//
// A broker that is away makes no node unready that has ever caught up, even if it was
// started since: no one can tell how far behind it is, and [Projection.Degraded] says so.
// What Ready prevents is that the beginning of the log passes for its end.
func (p *Projection) Ready(maxLag time.Duration) error {
	if err := p.Stuck(); err != nil {
		return err
	}
	if err := p.progress.ready(maxLag); err != nil && !p.servesAlone() {
		return err
	}
	return nil
}

// Degraded says what a projection that is ready can't promise; it is empty if there is
// nothing.
func (p *Projection) Degraded() string {
	if p.Stuck() != nil || !p.servesAlone() {
		return ""
	}
	return fmt.Sprintf("the broker is unreachable, so the end of the log is unknown: serving position %d; reads that do not ask for a consistency are eventual", p.Position())
}

// servesAlone tells whether it serves without knowing the end of the log: the broker is
// away, and the file has once been as far as the log was.
func (p *Projection) servesAlone() bool {
	state, _ := p.life.now()
	return (state == StateInDoubt || !p.options.Log.Reachable()) && p.hadCaughtUp.Load()
}

// noteCaughtUp has the file remember that it has been as far as the log was.
func (p *Projection) noteCaughtUp() {
	p.applying.Lock()
	defer p.applying.Unlock()
	g := p.serving.Load()
	if err := p.observe(g, g.writer.remark(context.Background(), metaCaughtUp, "1")); err != nil {
		p.options.Logger.Debug("could not save that the file has caught up", "error", err) // next time
		return
	}
	p.hadCaughtUp.Store(true)
}
