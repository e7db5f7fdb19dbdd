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

// RebuildOptions configure a rebuild.
type RebuildOptions struct {
	// From, if not nil, writes the file of a read model of the same topic to path, for example
	// a snapshot. The rebuild then starts from this file instead of the beginning of the log.
	// No file exists at path before.
	From func(ctx context.Context, path string) error
	// Back goes back to the generation that was kept, instead of building a new one.
	Back bool
	// Keep keeps the replaced generation, in the place of one that was kept before.
	Keep bool
	// Force continues if the digests differ. The replaced generation is then kept, unless Back
	// is set: what was built from the log can be built again.
	Force bool
	// Rate is the maximum number of records to apply per second. At zero the rebuild paces
	// itself: it never pauses on an idle node, and on a busy one it pauses for as long as it
	// works.
	Rate int
}

// Validate returns an error if the options contradict each other.
func (o RebuildOptions) Validate() error {
	switch {
	case o.Back && (o.From != nil || o.Keep):
		return errors.New("back can't be combined with from or keep: going back to the kept file neither builds nor keeps one")
	case o.Rate < 0:
		return fmt.Errorf("rate must not be negative: %d", o.Rate)
	}
	return nil
}

// RebuildState is the state of a rebuild.
type RebuildState string

// The states. The words are part of the admin interface.
const (
	RebuildRunning   RebuildState = "running"
	RebuildDone      RebuildState = "done"
	RebuildFailed    RebuildState = "failed"
	RebuildCancelled RebuildState = "cancelled"
)

// RebuildStatus describes a rebuild. The JSON names are part of the admin interface.
type RebuildStatus struct {
	State RebuildState `json:"state"`
	// Position is the number of records applied so far.
	Position events.Position `json:"position"`
	// End is the position to reach: that of the file that serves.
	End events.Position `json:"end"`
	// Rate is the recent number of applied records per second.
	Rate float64 `json:"rate"`
	// Error is the reason for a failure.
	Error     string     `json:"error,omitempty"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	// SwapSeconds is how long the swap kept the worker from applying the log.
	SwapSeconds float64 `json:"swap_seconds,omitempty"`
	// Differs names the collections whose digests differed between the two files.
	Differs []string `json:"differs,omitempty"`
	// Kept is the replaced file, if it was kept. [RebuildOptions.Back] does not use a file that
	// was damaged.
	Kept string `json:"kept,omitempty"`
}

// Errors of rebuilds.
var (
	// ErrRebuilding: a rebuild is running, or reads still hold the file that the last one
	// replaced.
	ErrRebuilding = errors.New("a rebuild is already running, or reads still use the file that the last one replaced")
)

// DigestsDifferError is returned if the rebuilt rows differ from those that serve.
type DigestsDifferError struct {
	At          events.Position
	Collections []string
}

// Error names the collections, and says what to do.
func (e *DigestsDifferError) Error() string {
	return fmt.Sprintf("at position %d the digests of %s differ: the file that serves does not match the log, and was not replaced. `clusterlite verify --deep` lists the entities that differ. To replace the file anyway, force the rebuild, which then keeps it", e.At, strings.Join(e.Collections, ", "))
}

// A rebuild builds another generation and swaps it with the one that serves.
type rebuild struct {
	options  RebuildOptions
	cancel   context.CancelCauseFunc
	progress lifecycle.Progress
	settled  chan struct{} // closed once the outcome is known
	cleared  chan struct{} // closed once another rebuild may start
	err      error         // the reason for a failure; written before settled is closed

	mu     sync.Mutex
	status RebuildStatus
}

// StartRebuild starts to build a new file from the log, beside the one that serves. Once the
// new file has reached the position of the old one and holds the same rows, it takes its place.
// [Projection.Rebuild] reports the progress. StartRebuild returns [ErrRebuilding] if a rebuild
// is running, and the reason if the projection was refused. A damaged file is replaced no
// matter what rows it holds.
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
	if p.rebuild != nil && !isClosed(p.rebuild.cleared) {
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

// unreadable reports whether a projection stopped at a record that this version can't read. The
// rows before the record are right, and can be rebuilt.
func unreadable(err error) bool {
	var refused *refusal.Error
	return errors.As(err, &refused) && refused.Reason == refusal.Format
}

// Rebuild returns the status of the rebuild that is running, or of the last one since the
// projection was opened. It returns false if there was none.
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

// Causes of cancellation.
var (
	errCancelled = errors.New("the rebuild was cancelled")
	errClosed    = errors.New("the projection is closed")
)

// CancelRebuild cancels the running rebuild and waits for its end. It returns false if there
// was none to cancel.
func (p *Projection) CancelRebuild() bool {
	p.mu.Lock()
	r := p.rebuild
	p.mu.Unlock()
	if r == nil || isClosed(r.settled) {
		return false
	}
	r.cancel(errCancelled)
	<-r.settled
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.State == RebuildCancelled
}

// over reports whether a channel that carries no values is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
