package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

// Ready tells whether the projection has caught up with the log since Run started, is
// not stopped, has not been behind for longer than maxLag, and can be read. The error says
// why not.
// A broker that is away does not make it unready: it serves on from what it has.
func (p *Projection) Ready(maxLag time.Duration) error {
	p.mu.Lock()
	refused, failing := p.refused, p.failing
	p.mu.Unlock()
	switch {
	case refused != nil:
		return refused
	case failing != nil && !errors.Is(failing, eventlog.ErrUnreachable):
		return fmt.Errorf("can't apply the log: %w", failing)
	}
	if err := p.stuck(); err != nil {
		return err
	}
	return p.progress.ready(maxLag)
}

// Serves tells whether what the projection has may be given to clients: if it is ready,
// and, while the broker is out of reach and nobody knows how far behind it is, if it has
// ever been caught up before. The error says why not. What it refuses is to pass off the
// beginning of the log as its end.
func (p *Projection) Serves(maxLag time.Duration) error {
	err := p.Ready(maxLag)
	if err == nil {
		return nil
	}
	p.mu.Lock()
	refused, failing := p.refused, p.failing
	p.mu.Unlock()
	away := errors.Is(failing, eventlog.ErrUnreachable) || failing == nil && !p.options.Log.Reachable()
	if refused == nil && away && p.hadCaughtUp.Load() {
		return nil
	}
	return err
}

// noteCaughtUp has the file remember that it has been as far as the log was.
func (p *Projection) noteCaughtUp() {
	p.applying.Lock()
	defer p.applying.Unlock()
	if err := p.serving.Load().writer.remark(context.Background(), metaCaughtUp, "1"); err != nil {
		p.options.Logger.Debug("it is not noted that the file has caught up", "error", err) // next time
		return
	}
	p.hadCaughtUp.Store(true)
}
