package digest

import (
	"errors"
	"maps"
	"sync"

	"github.com/clusterlite/clusterlite/events"
)

// keptCheckpoints is the number of checkpoints to remember. Whoever appends a checkpoint asks
// for it soon, or appends another one.
const keptCheckpoints = 16

// ErrForgotten is returned for the digests at a position that is not one of the latest
// checkpoints.
var ErrForgotten = errors.New("the digests at this position are not available: it is not one of the latest checkpoints")

// Checkpoints remembers the digests at the latest checkpoints in the log. A restart forgets
// them. Safe for concurrent use.
type Checkpoints struct {
	mu    sync.Mutex
	order []events.Position
	at    map[events.Position]map[string]Summary
}

// Remember stores the digests at a checkpoint.
func (c *Checkpoints) Remember(position events.Position, summaries map[string]Summary) {
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

// At returns the digests at a checkpoint, or [ErrForgotten].
func (c *Checkpoints) At(position events.Position) (map[string]Summary, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	summaries, known := c.at[position]
	if !known {
		return nil, ErrForgotten
	}
	return maps.Clone(summaries), nil
}
