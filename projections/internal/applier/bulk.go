package applier

import (
	"context"
	"fmt"
)

// bulkCommit is the number of records after which the writer of a private file commits. Pages that
// several batches change are written once.
const bulkCommit = 100_000

// bulk is the state of the writer of a private file. Nothing else reads the file, and it is
// discarded after a failure, so batches share transactions and none is rolled back.
type bulk struct {
	open        bool // a transaction is open
	uncommitted int  // the records in it
	failed      error
}

// BeginBulk makes the writer of a new private file keep the changes of up to maxClaims claims in
// memory, and commit less often. After a failed batch, the writer applies nothing more. The caller must call
// EndBulk before anything else uses the file.
func (w *Writer) BeginBulk(maxClaims int) {
	w.bulk = &bulk{}
	w.buffer = newClaimBuffer(maxClaims)
	w.Claims.Serving.Store(NewBloom(bufferedFilter)) // the file holds no claims
}

// EndBulk writes and commits what the writer holds. The writer commits each batch from now on.
func (w *Writer) EndBulk(ctx context.Context) error {
	if w.bulk == nil {
		return nil
	}
	if err := w.beginBatch(ctx); err != nil {
		return err
	}
	if err := w.writeBuffered(w.Conn); err != nil {
		return err
	}
	if _, err := w.commit.ExecContext(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	w.bulk, w.buffer = nil, nil
	w.Claims.Forget() // it is larger than most files need
	return nil
}

// beginBatch begins a transaction, unless one is open.
func (w *Writer) beginBatch(ctx context.Context) error {
	if w.bulk != nil && w.bulk.failed != nil {
		return fmt.Errorf("an earlier batch failed: %w", w.bulk.failed)
	}
	if w.bulk != nil && w.bulk.open {
		return nil
	}
	if _, err := w.begin.ExecContext(ctx); err != nil {
		return fmt.Errorf("begin a batch: %w", err)
	}
	if w.bulk != nil {
		w.bulk.open = true
	}
	return nil
}

// commitBatch commits a batch. In a private file, several batches share a transaction.
func (w *Writer) commitBatch(ctx context.Context, records int) error {
	if b := w.bulk; b != nil {
		if b.uncommitted += records; b.uncommitted < bulkCommit {
			return nil
		}
		b.open, b.uncommitted = false, 0
	}
	if _, err := w.commit.ExecContext(ctx); err != nil {
		return fmt.Errorf("commit a batch: %w", err)
	}
	return nil
}
