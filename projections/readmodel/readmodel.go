// Package readmodel defines what a read model is to the worker that feeds it. A projection has
// one built-in read model, that of entities, and may have others beside it, such as tables for SQL
// or a journal of events.
package readmodel

import (
	"context"
	"fmt"
	"regexp"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
)

// A Judged is a record of the log with the verdict of admission.
type Judged struct {
	Record  events.Record
	Verdict events.Verdict
	// Rendered is the entity right after an admitted event that carries an idempotency key. It
	// is nil for any other record, and for a deletion.
	Rendered []byte
}

// Admitted reports whether the record is an event that admission accepted.
func (j Judged) Admitted() bool { return j.Verdict.Outcome == events.Admitted }

// A Tx runs statements on the connection that writes the file. The driver keeps the statements
// that ran last prepared, so a statement whose text stays the same is compiled once.
type Tx interface {
	sqlx.QueryerContext
	sqlx.ExecerContext
}

// A Model is a read model in one file: it owns its tables and its position, and takes the records
// of the log in order. All models of a file are written in one transaction for each batch, so they
// are at the same position whenever they are read, and a crash loses or keeps a batch in all of
// them.
//
// One goroutine at a time calls Load and Apply. Name and Serves may be called by any goroutine,
// and always return the same.
type Model interface {
	// Name names the model. It is permanent, and made of lower-case letters and digits. The
	// names of the model's tables begin with an underscore and this name.
	Name() string

	// Load creates tables that are missing, and returns the model's position: how many records
	// of the log its tables hold. It is called when the file is opened, and again after a batch
	// was rolled back. The model must then reload everything that it keeps in memory. Load runs
	// outside of a batch, so each statement commits by itself.
	Load(ctx context.Context, tx Tx) (events.Position, error)

	// Apply writes what a batch changes, and moves the model's position to that of the last
	// record. The batch is never empty, and continues where the batch before ended. It holds all
	// records of the log, also those that change nothing: see [Judged.Admitted]. If Apply returns
	// an error, the whole batch is rolled back in all models, and the worker retries. It must not
	// begin or end a transaction.
	Apply(ctx context.Context, tx Tx, batch []Judged) error

	// Serves names what can be read from the model, for [projections.Projection.Serves].
	Serves() []string
}

// A Factory creates a model for one file. During a rebuild there are two files, each with its own
// model.
type Factory func() Model

// ValidName matches the names that models can have.
var ValidName = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// A BehindError says that a read model lacks records that its file holds otherwise, because the
// file was written without it. The model takes no records until a rebuild from the log has filled
// it.
type BehindError struct {
	Model string
	// Position is how many records the model holds, and Want is how many the file holds.
	Position, Want events.Position
}

// Error says what is missing, and what to do.
func (e *BehindError) Error() string {
	return fmt.Sprintf("the read model %s holds %d of %d records. Run `clusterlite rebuild` without a snapshot to fill it from the log", e.Model, e.Position, e.Want)
}
