// Package readmodel defines what a read model is to the worker that feeds it.
package readmodel

import (
	"github.com/clusterlite/clusterlite/events"
)

// A Judged record is a record with its verdict.
type Judged struct {
	Record  events.Record
	Verdict events.Verdict
	// rendered is the entity right after an admitted event that carries an idempotency
	// key, for the answer to a retry. Later events of the batch may change the entity.
	Rendered []byte
}
