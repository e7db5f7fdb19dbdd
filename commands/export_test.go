package commands

import "context"

// ExecuteBatch begins a batch and waits for its outcomes.
func (x *Executor) ExecuteBatch(ctx context.Context, batch []Command) []Outcome {
	return x.BeginBatch(ctx, batch).Wait()
}
