package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/lifecycle"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

// RebuildOptions say how a projection is built anew.
type RebuildOptions struct {
	// From, if not nil, writes the file of a read model of the same topic to path, such as a
	// snapshot's, to start from in place of the beginning of the log. Path is not there yet.
	From func(ctx context.Context, path string) error
	// Back takes the generation that was kept instead of a new one.
	Back bool
	// Keep keeps the generation that is replaced, in the place of one kept before.
	Keep bool
	// Force goes on if the digests differ. What is replaced is then kept, unless Back is
	// set: what was built from the log can be built again.
	Force bool
	// Rate bounds how many records a second are applied. Zero leaves it to the rebuild: on an
	// idle node it never rests, on a busy one as long as it works.
	Rate int
}

// Validate tells what can't be asked for.
func (o RebuildOptions) Validate() error {
	switch {
	case o.Back && (o.From != nil || o.Keep):
		return errors.New("back can't be combined with from or keep: going back to the kept file neither builds nor keeps one")
	case o.Rate < 0:
		return fmt.Errorf("rate must not be negative: %d", o.Rate)
	}
	return nil
}

// RebuildState is how far a rebuild is.
type RebuildState string

// The states. The words are part of the admin interface.
const (
	RebuildRunning   RebuildState = "running"
	RebuildDone      RebuildState = "done"
	RebuildFailed    RebuildState = "failed"
	RebuildCancelled RebuildState = "cancelled"
)

// RebuildStatus tells of a rebuild. The JSON names are part of the admin interface.
type RebuildStatus struct {
	State RebuildState `json:"state"`
	// Position is how many records it has applied.
	Position events.Position `json:"position"`
	// End is the position that it has to reach: that of the file that serves.
	End events.Position `json:"end"`
	// Rate is how many records a second were applied lately.
	Rate float64 `json:"rate"`
	// Error says why it failed.
	Error     string     `json:"error,omitempty"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	// SwapSeconds is for how long the swap kept the log from being applied.
	SwapSeconds float64 `json:"swap_seconds,omitempty"`
	// Differs names the collections whose digests were not the same in both files.
	Differs []string `json:"differs,omitempty"`
	// Kept is the file that was replaced and kept. One that was damaged is not the one that
	// [RebuildOptions.Back] takes.
	Kept string `json:"kept,omitempty"`
}

// Errors of rebuilds.
var (
	// ErrRebuilding: a rebuild is running, or reads still hold the file that the last one
	// replaced.
	ErrRebuilding = errors.New("a rebuild is already running, or reads still use the file that the last one replaced")
)

// DigestsDifferError is returned if the rows built anew are not those that serve.
type DigestsDifferError struct {
	At          events.Position
	Collections []string
}

// Error names the collections and what to do.
func (e *DigestsDifferError) Error() string {
	return fmt.Sprintf("at position %d the digests of %s differ: the file that serves does not match the log, and was not replaced. `clusterlite verify --deep` lists the entities that differ. To replace the file anyway, force the rebuild, which then keeps it", e.At, strings.Join(e.Collections, ", "))
}

// A rebuild builds another generation and puts it in the place of the one that serves.
type rebuild struct {
	options  RebuildOptions
	cancel   context.CancelCauseFunc
	progress lifecycle.Progress
	settled  chan struct{} // closed once its outcome is known
	cleared  chan struct{} // closed once another may start
	err      error         // why it failed; written before settled is closed

	mu     sync.Mutex
	status RebuildStatus
}

// StartRebuild has a fresh file built from the log, beside the one that serves. Once it
// is as far, and holds the same rows, it takes the other's place; [Rebuild]
// tells. It returns [ErrRebuilding] if one is under way, and the reason if the
// projection has stopped because of its log. If the file that serves is damaged the new one
// takes its place whatever rows it holds.
func (p *Projection) StartRebuild(options RebuildOptions) error {
	if err := options.Validate(); err != nil {
		return err
	}
	if refused := p.Err(); refused != nil && !unreadable(refused) {
		return fmt.Errorf("stop this node and rebuild its data folder: %w", refused)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed() {
		return errClosed
	}
	if p.rebuild != nil && !over(p.rebuild.cleared) {
		return ErrRebuilding
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &rebuild{options: options, cancel: cancel, settled: make(chan struct{}), cleared: make(chan struct{})}
	r.status = RebuildStatus{State: RebuildRunning, StartedAt: time.Now().UTC()}
	p.rebuild = r
	p.rebuilds.Go(func() {
		defer cancel(nil)
		p.runRebuild(ctx, r)
	})
	return nil
}

// unreadable tells whether a projection stopped at a record that this version can't
// read. What it holds is right, and can be built again up to there.
func unreadable(err error) bool {
	var refused *refusal.Error
	return errors.As(err, &refused) && refused.Reason == refusal.Format
}

// Rebuild tells of the rebuild that runs, or of the last one since the projection was
// opened. It returns false if there was none.
func (p *Projection) Rebuild() (status RebuildStatus, any bool) {
	p.mu.Lock()
	r := p.rebuild
	p.mu.Unlock()
	if r == nil {
		return status, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if status = r.status; status.State == RebuildRunning {
		status.Position = r.progress.Position()
		status.End, status.Rate = max(p.Position(), status.Position), r.progress.Speed()
	}
	return status, true
}

// The causes of an end from without.
var (
	errCancelled = errors.New("the rebuild was cancelled")
	errClosed    = errors.New("the projection is closed")
)

// CancelRebuild ends the rebuild that runs and returns once it has. It returns false if
// there was none to end.
func (p *Projection) CancelRebuild() bool {
	p.mu.Lock()
	r := p.rebuild
	p.mu.Unlock()
	if r == nil || over(r.settled) {
		return false
	}
	r.cancel(errCancelled)
	<-r.settled
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.State == RebuildCancelled
}

// over tells whether a channel is closed that nothing is sent on.
func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
