package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/clusterlite/clusterlite/commands/spool"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// A line on which the server panics fails alone. The panic is logged once, with its stack.
func TestAPanicFailsItsLineAlone(t *testing.T) {
	var logged bytes.Buffer
	results := spool.New(t.TempDir())
	in := newImporter(t.Context(), &lineParser{a: &API{MaxBody: 100, Logger: slog.New(slog.NewTextHandler(&logged, nil))}}, results) // without a collection, validation panics
	defer in.close()
	in.start(newLineReader(strings.NewReader("[1]\n{}\n[2]\n"), 100))
	cut := false
	if err := in.finish(func() { cut = true }); cut || err != nil {
		t.Errorf("got cut short: %v, %v, want that the import goes on", cut, err)
	}
	decoder := json.NewDecoder(results)
	for line, status := range []int{422, 500, 422} {
		var got lineResult
		if err := decoder.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.Line != int64(line+1) || got.Status != status || strings.Contains(got.Detail, "goroutine") {
			t.Errorf("got %+v, want line %d with %d", got, line+1, status)
		}
	}
	if n := strings.Count(logged.String(), "level=ERROR"); n != 1 || !strings.Contains(logged.String(), "line=2") || !strings.Contains(logged.String(), "goroutine") {
		t.Errorf("got %d records, want one for line 2 with a stack: %s", n, &logged)
	}
}

// Thousands of lines that fail for the same reason don't fill the log.
func TestFaultsAreLoggedWithinBounds(t *testing.T) {
	var logged bytes.Buffer
	in := newImporter(t.Context(), &lineParser{a: &API{MaxBody: 100, Logger: slog.New(slog.NewTextHandler(&logged, nil))}}, spool.New(t.TempDir()))
	defer in.close()
	if err := in.readAll(t.Context(), newLineReader(strings.NewReader(strings.Repeat("{}\n", 300)), 100)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(logged.String(), "level=ERROR"); got != loggedFaults {
		t.Errorf("got %d records, want %d", got, loggedFaults)
	}
}

// A command whose decision panics fails alone. If the whole batch panics, the outcome of each
// command is unknown.
func TestAPanicOfTheExecutor(t *testing.T) {
	b := Batch{x: &Executor{}, commands: make([]Command, 2), outcomes: make([]Outcome, 2), events: make([]events.Event, 2)} // without a model
	rejected, appendable := b.decide(b.all())
	if len(rejected) != 0 || len(appendable) != 0 || b.outcomes[0].Err == nil || b.outcomes[1].Err == nil {
		t.Errorf("got %v, %v, %+v, want an error for each command and nothing to append", rejected, appendable, b.outcomes)
	}
	in := newImporter(t.Context(), &lineParser{a: &API{}}, spool.New(t.TempDir())) // without an executor
	defer in.close()
	outcomes := in.begin(make([]importLine, 2))()
	if len(outcomes) != 2 {
		t.Errorf("got %d outcomes, want 2", len(outcomes))
	}
	for _, o := range outcomes {
		var p *problem.Problem
		if !errors.As(toProblem(o.Err), &p) || !p.Of(problem.OutcomeUnknown) {
			t.Errorf("got %v, want outcome-unknown", o.Err)
		}
	}
}

// endsAfter is a context that is cancelled after a number of calls of Err.
type endsAfter struct {
	context.Context
	asked, most atomic.Int64
}

func (c *endsAfter) Err() error {
	if c.asked.Add(1) > c.most.Load() {
		return context.Canceled
	}
	return nil
}

// After the client has left, no further line is parsed, even if thousands have arrived.
func TestNoLineIsParsedAfterTheClientHasLeft(t *testing.T) {
	set, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	users, _ := set.Get("users")
	for _, most := range []int64{0, 1, 7} {
		ctx := &endsAfter{Context: context.Background()}
		ctx.most.Store(most)
		in := newImporter(t.Context(), &lineParser{a: &API{MaxBody: 100}, command: Command{Collection: users}}, spool.New(t.TempDir()))
		defer in.close()
		lines := newLineReader(strings.NewReader(strings.Repeat("{}\n", 1000)), 100)
		if err := in.readAll(ctx, lines); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if lines.number != most {
			t.Errorf("got %d lines read, want %d", lines.number, most)
		}
	}
}
