package projections

import (
	"errors"
	"maps"
	"sync"

	"github.com/clusterlite/clusterlite/events"
)

// keptCheckpoints is how many checkpoints are remembered. Whoever has appended one asks
// soon, or appends another.
const keptCheckpoints = 16

// ErrForgotten is returned for the digests at a position that is no checkpoint, or not
// one of the last.
var ErrForgotten = errors.New("the digests at this position are not available: it is not one of the latest checkpoints")

// checkpoints remember the digests at the last checkpoints in the log. They are not
// kept over a restart.
type checkpoints struct {
	mu    sync.Mutex
	order []events.Position
	at    map[events.Position]map[string]Summary
}

func (c *checkpoints) remember(position events.Position, summaries map[string]Summary) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[events.Position]map[string]Summary{}
	}
	if len(c.order) == keptCheckpoints {
		delete(c.at, c.order[0])
		c.order = c.order[1:]
	}
	c.order = append(c.order, position)
	c.at[position] = maps.Clone(summaries)
}

// SummariesAt gives what the collections were at a checkpoint of the log. It returns
// [ErrForgotten] if that is not known (any more, or yet: see [Projection.WaitFor]).
func (p *Projection) SummariesAt(position events.Position) (map[string]Summary, error) {
	p.checkpoints.mu.Lock()
	defer p.checkpoints.mu.Unlock()
	summaries, known := p.checkpoints.at[position]
	if !known {
		return nil, ErrForgotten
	}
	return maps.Clone(summaries), nil
}
