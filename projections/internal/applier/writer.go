// Package applier applies batches of records to a file: it admits each record, has every read
// model write what the record changes, and moves the position, all in one transaction.
package applier

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// A Writer applies batches to a file over the one connection that writes. It feeds the read
// models of the file: the entities first, which also judge the records, then all others. One
// goroutine uses it.
type Writer struct {
	Entities
	Conn *sqlx.Conn
	WAL  *sqlite.Checkpointer
	// Meta identifies the log that the file belongs to.
	Meta map[string]string

	bulk     *bulk             // nil unless the file is private
	recorder *recorder         // nil without a journal
	further  []readmodel.Model // at the same position as the entities
	served   map[string]error  // nil, or the reason why it can't be read yet; never changed after NewWriter
	// stale means that the memory of the models differs from the file.
	stale bool
	// begin and commit are prepared, since the driver compiles statements without arguments
	// each time.
	begin, commit *sqlx.Stmt
}

// NewWriter returns the writer of an open file. It loads the read models: the entities, and the
// models that the factories create.
func NewWriter(ctx context.Context, db *sqlite.Database, models ...readmodel.Factory) (*Writer, error) {
	conn, err := db.Writer.Connx(ctx)
	if err != nil {
		return nil, fmt.Errorf("open %s for writing: %w", db.Path, err)
	}
	w := &Writer{Conn: conn, WAL: db.WAL, Entities: Entities{folded: db.Folded, folder: schema.NewValueFolder(), Claims: NewClaimFilter(), Recent: NewRecentClaims(db.Path)}}
	if err := w.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s for writing: %w", db.Path, err), w.Close())
	}
	if err := w.Load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read the checkpoint of %s: %w", db.Path, err), w.Close())
	}
	if err := w.add(ctx, models); err != nil {
		return nil, errors.Join(fmt.Errorf("open the read models of %s: %w", db.Path, err), w.Close())
	}
	return w, nil
}

func (w *Writer) prepare(ctx context.Context) (err error) {
	if w.begin, err = w.Conn.PreparexContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	w.commit, err = w.Conn.PreparexContext(ctx, `COMMIT`)
	return err
}

// add loads further read models. A model that lacks records gets no records, because it would never
// get the ones that it missed.
func (w *Writer) add(ctx context.Context, factories []readmodel.Factory) error {
	w.served = map[string]error{}
	for _, what := range w.Entities.Serves() {
		w.served[what] = nil
	}
	names := map[string]bool{w.Entities.Name(): true}
	for _, make := range factories {
		model := make()
		name := model.Name()
		if !readmodel.ValidName.MatchString(name) || names[name] {
			return fmt.Errorf("the name %q of a read model is invalid, or used by another", name)
		}
		names[name] = true
		at, err := model.Load(ctx, w.Conn)
		if err != nil {
			return fmt.Errorf("read model %s: %w", name, err)
		}
		var behind error
		if at == w.Position {
			w.further = append(w.further, model)
		} else {
			behind = &readmodel.BehindError{Model: name, Position: at, Want: w.Position}
		}
		for _, what := range model.Serves() {
			if _, taken := w.served[what]; taken {
				return fmt.Errorf("read model %s serves %q, which another one serves", name, what)
			}
			w.served[what] = behind
		}
	}
	return nil
}

// Serves returns nil if a read model in the file serves this. known is false if none does. The
// error is a [readmodel.BehindError]. Safe for concurrent use.
func (w *Writer) Serves(what string) (known bool, err error) {
	err, known = w.served[what]
	return known, err
}

// Load reads what the read models keep in memory between batches. It also makes them forget a batch
// that failed. Nothing is applied until it succeeds.
func (w *Writer) Load(ctx context.Context) (err error) {
	defer func() { w.stale = err != nil }()
	if _, err := w.Entities.Load(ctx, w.Conn); err != nil {
		return err
	}
	for _, model := range w.further {
		at, err := model.Load(ctx, w.Conn)
		if err == nil && at != w.Position {
			err = &readmodel.BehindError{Model: model.Name(), Position: at, Want: w.Position}
		}
		if err != nil {
			return fmt.Errorf("read model %s: %w", model.Name(), err)
		}
	}
	if err := w.loadMeta(ctx); err != nil {
		return err
	}
	return w.recorder.rolledBack(w.Position)
}

// Close closes the connection.
func (w *Writer) Close() error {
	errs := []error{w.direct.close()}
	for _, statement := range []*sqlx.Stmt{w.begin, w.commit} {
		if statement != nil {
			errs = append(errs, statement.Close())
		}
	}
	return errors.Join(append(errs, w.Conn.Close())...)
}

// Apply applies a batch in one transaction, rows and position together. If this version can't
// read a record, Apply applies what precedes it and returns an [events.NewerFormatError]. Any
// other error leaves the file unchanged.
func (w *Writer) Apply(ctx context.Context, records []events.Record) (done []readmodel.Judged, err error) {
	if w.stale {
		if err := w.Load(ctx); err != nil {
			return nil, fmt.Errorf("read the checkpoint after a batch that failed: %w", err)
		}
	}
	if err := w.WAL.MakeRoom(w.Conn); err != nil {
		return nil, err
	}
	w.Claims.Begin()
	defer w.Claims.End()
	if err := w.beginBatch(ctx); err != nil {
		return nil, err
	}
	before := w.LogTime
	done, stop, err := w.Judge(ctx, w.Conn, records)
	if err == nil && len(done) > 0 {
		if err = w.write(ctx, done); err == nil {
			err = w.recorder.write(before, done) // before the commit, so that it is never behind
		}
	}
	w.Cache.Close()
	if err == nil {
		err = w.commitBatch(ctx, len(done))
	}
	if err != nil && w.bulk != nil {
		w.bulk.failed = err
		return nil, err
	}
	if err != nil {
		// Both may fail as well, for example if the disk has failed. The first error explains why.
		_, _ = w.Conn.ExecContext(ctx, `ROLLBACK`)
		_ = w.Load(ctx) // if this fails, the next batch begins with it
		w.Cache.Drop()
		w.Claims.Forget() // a wrong answer of the filter may be the reason
		return nil, err
	}
	w.WAL.Wrote(walBytes(done, w.Recent.moved()))
	if w.bulk == nil {
		w.Recent.committed()
	}
	w.Cache.Open(w.Position)
	if len(done) > 0 {
		w.recorder.committed(w.Position)
	}
	return done, stop
}

// write makes all read models write what a batch changes.
func (w *Writer) write(ctx context.Context, batch []readmodel.Judged) error {
	if err := w.Entities.Apply(ctx, w.Conn, batch); err != nil {
		return err
	}
	for _, model := range w.further {
		if err := model.Apply(ctx, w.Conn, batch); err != nil {
			return fmt.Errorf("write the read model %s: %w", model.Name(), err)
		}
	}
	return nil
}

// walBytes estimates how much a batch has written to the WAL: for each record its document and some
// index pages, and half a page for each claim that has moved, since neighbours share pages.
func walBytes(done []readmodel.Judged, moved int) (bytes int64) {
	for _, j := range done {
		bytes += schema.PageSize + int64(len(j.Record.Event.Document))
	}
	return bytes + int64(moved)*schema.PageSize/2
}
