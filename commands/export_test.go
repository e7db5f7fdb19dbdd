package commands

import (
	"context"
	"errors"
	"net/http"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// ExecuteBatch begins a batch and waits for its outcomes.
func (x *Executor) ExecuteBatch(ctx context.Context, batch []Command) []Outcome {
	return x.BeginBatch(ctx, batch).Wait()
}

// StatusOf returns the status of the response for an error of an executor.
func StatusOf(err error) int {
	var p *problem.Problem
	if errors.As(toProblem(err), &p) {
		return p.Status
	}
	return http.StatusInternalServerError
}
