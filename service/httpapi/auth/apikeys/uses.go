package apikeys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/atomicfile"
)

// grain is how exactly the last use of a key is known. A use within a grain that was noted
// already costs no write to memory, and a file is written at most once in this time.
const grain = time.Minute

// Uses are the times at which keys were last used on this node. They are kept in a file of the
// node, because a write to the log for each use would cost more than the use. Safe for
// concurrent use.
type Uses struct {
	path   string
	logger *slog.Logger

	mu   sync.Mutex
	last map[string]*use
}

// A use is the time of the last use of a key, in grains since the epoch, or zero.
type use struct{ atomic.Int64 }

func (u *use) note(now time.Time) {
	if at := now.Unix() / int64(grain/time.Second); u.Load() < at {
		u.Store(at)
	}
}

// OpenUses reads the uses from a file, which may be missing. If it can't be used, the uses start
// empty: they are a help to operators, and no reason not to start.
func OpenUses(path string, logger *slog.Logger) *Uses {
	u := &Uses{path: path, logger: logger, last: map[string]*use{}}
	stored := map[string]time.Time{}
	text, err := os.ReadFile(path) //nolint:gosec // a file in the folder of the node
	if err == nil {
		err = json.Unmarshal(text, &stored)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		logger.Warn("the times of the last uses of API keys can't be read, and start empty", "error", err)
	}
	for id, at := range stored {
		if events.ValidID(id) {
			u.of(id).note(at)
		}
	}
	return u
}

// of returns the use of a key that exists.
func (u *Uses) of(id string) *use {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last[id] == nil {
		u.last[id] = &use{}
	}
	return u.last[id]
}

// All returns the times of the last uses by the ids of keys, rounded down to a minute.
func (u *Uses) All() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := make(map[string]time.Time, len(u.last))
	for id, last := range u.last {
		if at := last.Load(); at > 0 {
			all[id] = time.Unix(at*int64(grain/time.Second), 0).UTC()
		}
	}
	return all
}

// Keep writes the uses to the file once a minute while they change, and a last time when ctx
// ends.
func (u *Uses) Keep(ctx context.Context) error {
	tick := time.NewTicker(grain)
	defer tick.Stop()
	var written string
	for {
		select {
		case <-tick.C:
			u.write(&written)
		case <-ctx.Done():
			u.write(&written)
			return nil
		}
	}
}

func (u *Uses) write(written *string) {
	all := u.All()
	text, err := json.Marshal(all)
	if err != nil || len(all) == 0 || string(text) == *written {
		return
	}
	if err := atomicfile.Write(u.path, text, 0o600); err != nil {
		u.logger.Warn("the times of the last uses of API keys could not be stored", "error", fmt.Errorf("write %s: %w", u.path, err))
		return
	}
	*written = string(text)
}
