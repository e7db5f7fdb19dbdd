package projections

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/lifecycle"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// storageStats counts storage events since the projection was opened.
type storageStats struct {
	mu                    sync.Mutex
	faults                map[storagefault.Kind]int64
	repaired, notRepaired int64
	repairing             lifecycle.Repairs
	scrub                 ScrubStatus
}

// StorageStatus describes the faults of a projection's storage, and the repairs, since it was
// opened.
type StorageStatus struct {
	// Faults counts the failures of each kind.
	Faults map[storagefault.Kind]int64
	// Repaired and RepairsFailed count the repairs of damaged files that succeeded and failed.
	Repaired, RepairsFailed int64
	Scrub                   ScrubStatus
}

// Storage returns the faults and repairs since the projection was opened.
func (p *Projection) Storage() StorageStatus {
	s := &p.storage
	s.mu.Lock()
	defer s.mu.Unlock()
	return StorageStatus{Faults: maps.Clone(s.faults), Repaired: s.repaired, RepairsFailed: s.notRepaired, Scrub: s.scrub}
}

func (s *storageStats) count(fault storagefault.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults == nil {
		s.faults = map[storagefault.Kind]int64{}
	}
	s.faults[fault]++
}

// noteRepair counts a repair that has ended.
func (s *storageStats) noteRepair(done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repairing.Note(time.Now())
	if done {
		s.repaired++
	} else {
		s.notRepaired++
	}
}

func (s *storageStats) pauseBeforeRepair() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repairing.Pause(time.Now())
}

// observe takes the error of each read and write of the projection. If the storage of the
// generation caused it, observe turns it into a [storagefault.Error] and counts it. If the file
// is damaged, observe also takes the projection out of service and starts a repair. It returns
// any other error unchanged. It takes no lock that callers hold.
func (p *Projection) observe(g *generation.Generation, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	err = storagefault.Classify(g.DB.Path, err)
	var fault *storagefault.Error
	if !errors.As(err, &fault) {
		// An example is "no such table" in a file that replaced the one that was opened.
		if !storagefault.FromSQLite(err) {
			return err
		}
		if fault = g.Replaced(); fault == nil {
			return err
		}
		fault.Err = errors.Join(fault.Err, err)
		err = fault
	}
	p.handleFault(g, fault)
	return err
}

// observeRow is observe for a read of a row, where values that do not fit their columns also
// mean damage.
func (p *Projection) observeRow(g *generation.Generation, err error) error {
	return p.observe(g, storagefault.UnreadableRow(g.DB.Path, err))
}

// observeReader is observe for a read that passes rows to a function of the caller's, which may
// fail for its own reasons.
func (p *Projection) observeReader(g *generation.Generation, err error) error {
	var unreadable *storagefault.Error
	if !storagefault.FromSQLite(err) && !errors.As(err, &unreadable) {
		return err
	}
	return p.observe(g, err)
}

// observer returns observeReader for the reads of a read transaction.
func (p *Projection) observer(g *generation.Generation) func(error) error {
	return func(err error) error { return p.observeReader(g, err) }
}

// handleFault counts a fault and does what it requires.
func (p *Projection) handleFault(g *generation.Generation, fault *storagefault.Error) {
	if p.closed() {
		return // reads now fail on closed files
	}
	p.storage.count(fault.Fault)
	serves := func() bool { return p.serving.Load() == g }
	if !fault.Fault.Damages() || !p.life.Damage(fault, serves, p.waiters.Stop) {
		return
	}
	log := p.options.Logger.With("error", fault, "fault", fault.Fault, "position", p.Position())
	if p.options.NoSelfRepair {
		log.Error("the projection's storage failed; this node serves nothing until its projection is rebuilt. Run `clusterlite rebuild --node`, or restart the node with --self-repair")
		return
	}
	log.Error("the projection's storage failed; this node serves nothing until it has rebuilt its projection. Rebuilding now")
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed() {
		p.rebuilds.Go(p.repair)
	}
}

// ReportDamage takes the projection out of service and starts a repair, because a caller found
// content in it that can't have been written there. It returns the [storagefault.Error].
func (p *Projection) ReportDamage(found error) error {
	g := p.hold()
	defer g.Release()
	fault := &storagefault.Error{Fault: storagefault.Corrupt, Path: g.DB.Path, Err: found}
	p.handleFault(g, fault)
	return fault
}
