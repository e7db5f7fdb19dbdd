package projections_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
)

// Batches are reported in log order. Each record is reported once, with its verdict, and only
// after reads can see it.
func TestBatchesAreReported(t *testing.T) {
	r := newRig(t)
	a, b := user(uuid.NewString(), "A", ""), user(uuid.NewString(), "B", "")
	end := r.append(a, a, b)
	set, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	reported := make(chan projections.Batch, 3)
	var p *projections.Projection
	p, err = projections.Open(deadline(t), projections.Options{Dir: t.TempDir(), Log: r.log, Collections: set, MaxBatch: 2, Applied: func(batch projections.Batch) {
		for record := range batch.All() {
			if p.Position() < record.Position() {
				t.Errorf("got offset %d reported at position %d, want at least position %d", record.Offset, p.Position(), record.Position())
			}
		}
		reported <- batch
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(deadline(t))
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	var position events.Position
	var outcomes []events.Outcome
	for position < end {
		batch := receive(t, reported)
		if batch.Len() == 0 || batch.Len() > 2 || batch.Ended.Before(batch.Began) {
			t.Errorf("got a batch of %d records from %s to %s, want 1 or 2 records and an end after the start", batch.Len(), batch.Began, batch.Ended)
		}
		for record, v := range batch.All() {
			if record.Position() != position+1 {
				t.Errorf("got offset %d after position %d, want offset %d", record.Offset, position, position)
			}
			position = record.Position()
			outcomes = append(outcomes, v.Outcome)
		}
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if len(outcomes) != 3 || outcomes[0] != events.Admitted || outcomes[1] != events.Void || outcomes[2] != events.Admitted {
		t.Errorf("got outcomes %v, want admitted, void, admitted", outcomes)
	}
}

func TestSizes(t *testing.T) {
	r := newRig(t)
	n := r.node(t.TempDir(), 0)
	n.at(r.append(user(uuid.NewString(), "A", "")))
	s, err := n.Sizes(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	onDisk, err := os.Stat(filepath.Join(n.dir, datafolder.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if s.File != onDisk.Size() || s.File == 0 || s.WAL == 0 || s.Free < 0 || s.Free >= s.File+s.WAL {
		t.Errorf("got %+v, want a file of %d bytes, a WAL that is not empty, and less free space than both", s, onDisk.Size())
	}
}
