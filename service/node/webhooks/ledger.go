package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/appending"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// A Model is what webhooks need of a projection. [projections.Projection] implements it. It must be
// safe for concurrent use.
type Model interface {
	appending.Model
	// Position returns the position up to which the model has applied the log.
	Position() events.Position
	// WaitFor waits until the model has reached a position.
	WaitFor(ctx context.Context, position events.Position) error
	// Ready returns why the model must not be used, or nil.
	Ready(maxLag time.Duration) error
	// BeginRead begins a read transaction. The caller must close it.
	BeginRead(ctx context.Context) (*reads.Tx, error)
	// Journal returns the journal, and a function that the caller calls when it has read.
	Journal() (j *journal.Journal, release func(), err error)
	// Status returns the id of the log.
	Status(ctx context.Context) (projections.Status, error)
}

// errOvertaken is returned if another program has changed a record since it was read.
var errOvertaken = errors.New("another node, or an operator, has changed the record of the webhook meanwhile")

// appendTimeout bounds the time for an append and its verdict.
const appendTimeout = 10 * time.Second

// ledger reads and writes the records. Safe for concurrent use.
type ledger struct {
	model  Model
	log    appending.Log
	source string

	mu   sync.Mutex
	at   events.Position // of all
	all  map[string]*records
	read time.Time // when; zero if never, or if they have changed since
}

// of returns the records of a webhook, and the position at which they are valid. They must not be
// changed.
func (l *ledger) of(ctx context.Context, webhook string) (*records, events.Position, error) {
	return l.recent(ctx, webhook, 0)
}

// recent is like of, but others may have changed the records for some time.
func (l *ledger) recent(ctx context.Context, webhook string, age time.Duration) (*records, events.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read.IsZero() || l.model.Position() != l.at && time.Since(l.read) >= age {
		if err := l.load(ctx); err != nil {
			return nil, 0, err
		}
	}
	if of := l.all[webhook]; of != nil {
		return of, l.at, nil
	}
	return none(webhook), l.at, nil
}

func (l *ledger) load(ctx context.Context) error {
	tx, err := l.model.BeginRead(ctx)
	if err != nil {
		return fmt.Errorf("read the records of webhooks: %w", err)
	}
	defer func() { _ = tx.Close() }() // it only reads
	all := map[string]*records{}
	if err := tx.Entities(ctx, Collection, "", func(e events.Entity) error { return add(all, e) }); err != nil {
		return fmt.Errorf("read the records of webhooks: %w", err)
	}
	l.at, l.all, l.read = tx.At, all, time.Now()
	return nil
}

// put appends the next version of a record. It returns [errOvertaken] if another program was faster.
// After any other error, the record may or may not be written.
func (l *ledger) put(ctx context.Context, id string, version int64, record any) error {
	document, err := json.Marshal(record)
	if err != nil {
		return err
	}
	kind := events.Updated
	if version == 0 {
		kind = events.Created
	}
	return l.append(ctx, events.Event{EntityID: id, Kind: kind, Version: version + 1, Document: document})
}

// remove deletes a record.
func (l *ledger) remove(ctx context.Context, id string, version int64) error {
	return l.append(ctx, events.Event{EntityID: id, Kind: events.Deleted, Version: version + 1})
}

func (l *ledger) append(ctx context.Context, e events.Event) error {
	eventID, err := newID()
	if err != nil {
		return err
	}
	e.ID, e.Source, e.Collection, e.Time = eventID, l.source, Collection, time.Now().UTC().Truncate(time.Millisecond)
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.read = time.Time{}
	}()
	o := appending.Appender{Log: l.log, Model: l.model}.Append(ctx, e)
	if o.Err != nil {
		return fmt.Errorf("write a record of webhooks to the log: %w", o.Err)
	}
	if o.Verdict.Outcome != events.Admitted {
		return errOvertaken
	}
	return nil
}

// newID returns the id of a new delivery record, or of an event.
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	return id.String(), nil
}
