package commands_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/projections/verdicts"
)

// A fake is a log in memory, together with a write model that follows it. It fails on request.
// The fields with faults may be changed between commands.
type fake struct {
	// appendErr is the error of appends. Nothing is appended, unless the error is an unknown
	// outcome and arrives is set.
	appendErr error
	arrives   bool
	// endErr is the error of End and Barrier.
	endErr error
	// If deaf is set, the model does not learn of events that are appended.
	deaf bool
	// hangs is a method of the model that does not answer until its context ends.
	hangs string
	// onAppend, if not nil, is called before the events of an append are in the log.
	onAppend func()

	mu       sync.Mutex
	records  []events.Record
	model    *events.Memory
	uses     map[string]reads.KeyUse
	applied  int
	expected verdicts.Expectations
	stuck    error

	appends, ends, barriers int
}

// newFake returns an executor on an empty fake.
func newFake() (*fake, *commands.Executor) {
	f := &fake{model: events.NewMemory(), uses: map[string]reads.KeyUse{}}
	return f, &commands.Executor{Log: f, Model: f, Source: "/test", Wait: 5 * time.Second}
}

// hang waits for the end of ctx if this method hangs.
func (f *fake) hang(ctx context.Context, method string) error {
	if f.hangs != method {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *fake) Topic() string { return "fake" }

func (f *fake) Append(_ context.Context, batch ...events.Event) (events.Position, error) {
	if f.onAppend != nil {
		f.onAppend()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.appends++
	if f.appendErr == nil || f.arrives {
		f.add(batch...)
	}
	if !f.deaf {
		f.catchUp()
	}
	return events.Position(len(f.records)), f.appendErr
}

func (f *fake) AppendUntil(ctx context.Context, known <-chan struct{}, e events.Event) (time.Time, error) {
	if _, err := f.Append(ctx, e); err != nil {
		return time.Time{}, err
	}
	select {
	case <-known:
	case <-ctx.Done():
	}
	return time.Now(), nil
}

// another appends an event of another command service, which the model has not read yet.
func (f *fake) another(e events.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(e)
}

func (f *fake) add(batch ...events.Event) {
	for _, e := range batch {
		f.records = append(f.records, events.Record{Offset: int64(len(f.records)), Timestamp: time.Now(), Content: events.HasEvent, Event: e})
	}
}

func (f *fake) catchUp() {
	for ; f.applied < len(f.records); f.applied++ {
		r := f.records[f.applied]
		verdict, err := f.model.Take(r)
		if err != nil {
			panic(err)
		}
		e := r.Event
		if verdict.Outcome == events.Admitted && e.IdempotencyKey != "" {
			f.uses[e.IdempotencyKey] = reads.KeyUse{
				Position: r.Position(), At: f.model.Time, RequestHash: e.RequestHash, Collection: e.Collection, ID: e.EntityID, Version: e.Version, Kind: e.Kind,
				Rendered: f.model.Entities[events.EntityKey{Collection: e.Collection, ID: e.EntityID}].Rendered,
			}
		}
		f.expected.Judge(maps.All(map[string]verdicts.Judgement{e.ID: {Position: r.Position(), Verdict: verdict}}))
	}
}

func (f *fake) End(ctx context.Context) (events.Position, error) {
	if err := f.hang(ctx, "End"); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ends++
	return events.Position(len(f.records)), f.endErr
}

func (f *fake) Barrier(context.Context) (events.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.barriers++
	return events.Position(len(f.records)), f.endErr
}

func (f *fake) Position() events.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return events.Position(f.applied)
}

func (f *fake) WaitFor(ctx context.Context, position events.Position) error {
	if f.deaf && f.Position() < position {
		<-ctx.Done()
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.catchUp()
	return nil
}

func (f *fake) Entity(ctx context.Context, collection, id string) (reads.Entity, bool, events.Position, error) {
	if err := f.hang(ctx, "Entity"); err != nil {
		return reads.Entity{}, false, 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e, found := f.model.Entities[events.EntityKey{Collection: collection, ID: id}]
	return reads.Entity{ID: e.ID, Version: e.Version, Deleted: e.Deleted, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, Rendered: e.Rendered}, found, events.Position(f.applied), nil
}

func (f *fake) ReadAsMissing(context.Context, string, string) error { return nil }

func (f *fake) Holder(ctx context.Context, collection, claim string) (string, error) {
	if err := f.hang(ctx, "Holder"); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.model.Holder(collection, claim), nil
}

func (f *fake) Holders(ctx context.Context, collection string, claims []string) (map[string]string, error) {
	holders := map[string]string{}
	for _, claim := range claims {
		id, err := f.Holder(ctx, collection, claim)
		if err != nil {
			return nil, err
		}
		if id != "" {
			holders[claim] = id
		}
	}
	return holders, nil
}

func (f *fake) KeyUse(ctx context.Context, key string) (reads.KeyUse, bool, error) {
	if err := f.hang(ctx, "KeyUse"); err != nil {
		return reads.KeyUse{}, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	use, used := f.uses[key]
	return use, used, nil
}

func (f *fake) UsedKeys(ctx context.Context, keys []string) (map[string]bool, error) {
	used := map[string]bool{}
	for _, key := range keys {
		var err error
		if _, used[key], err = f.KeyUse(ctx, key); err != nil {
			return nil, err
		}
	}
	return used, nil
}

func (f *fake) Expect(id string) *verdicts.Expectation { return f.expected.Expect(id) }

func (f *fake) Stuck() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stuck
}

func (f *fake) setStuck(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stuck = err
}

func (f *fake) ReportDamage(found error) error { return found }

// written returns the event of a command of another command service, decided on the state after
// all records of the log.
func (f *fake) written(t testing.TB, c commands.Command) events.Event {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	all := events.NewMemory()
	for _, r := range f.records {
		if _, err := all.Take(r); err != nil {
			t.Fatal(err)
		}
	}
	var s commands.State
	if e := all.Entities[events.EntityKey{Collection: c.Collection.Name(), ID: c.ID}]; e.Version > 0 && !e.Deleted {
		s.Version, s.CreatedAt = e.Version, e.CreatedAt
		var err error
		if s.Document, err = document.ParseStored(e.Rendered); err != nil {
			t.Fatal(err)
		}
	}
	event, rejection := commands.Decide(c, s, commands.Stamp{EventID: newUUID(), Now: time.Now(), Source: "/another"})
	if rejection != nil {
		t.Fatal(rejection)
	}
	return event
}
