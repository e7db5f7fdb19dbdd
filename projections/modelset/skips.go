package modelset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// A Skip is an event that an operator had a model skip. The JSON names are part of the admin
// interface.
type Skip struct {
	Model string `json:"model"`
	// Hash is that of the definition. A changed definition gets the event again.
	Hash       string          `json:"hash"`
	Position   events.Position `json:"position"`
	Type       string          `json:"type"`
	Collection string          `json:"collection"`
	ID         string          `json:"id"`
	Version    int64           `json:"version"`
	// Error is why the event failed.
	Error string    `json:"error"`
	At    time.Time `json:"at"`
}

// Skips are all events that were ever skipped on a node. They are kept in a file with one JSON
// object on each line, to which lines are only appended. Safe for concurrent use.
type Skips struct {
	path string
	mu   sync.Mutex
	all  []Skip
}

// openSkips reads the skips of a folder.
func openSkips(dir string) (*Skips, error) {
	s := &Skips{path: filepath.Join(dir, "skips.ndjson")}
	text, err := os.ReadFile(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the skipped events of the models: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var skip Skip
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), &skip); err != nil {
			return nil, fmt.Errorf("read the skipped events of the models in %s: %w", s.path, err)
		}
		s.all = append(s.all, skip)
	}
	return s, lines.Err()
}

// add records a skip. It is on the disk when add returns.
func (s *Skips) add(skip Skip) error {
	line, err := json.Marshal(skip)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("record the skipped event: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("record the skipped event: %w", err)
	}
	s.all = append(s.all, skip)
	return nil
}

// of returns the skips of a model, the oldest first.
func (s *Skips) of(model string) (found []Skip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, skip := range s.all {
		if skip.Model == model {
			found = append(found, skip)
		}
	}
	return found
}

// without removes the events that a definition skips.
func (s *Skips) without(hash string, batch []sqlmodel.Event) []sqlmodel.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return batch
	}
	return slices.DeleteFunc(batch, func(e sqlmodel.Event) bool {
		return slices.ContainsFunc(s.all, func(skip Skip) bool { return skip.Hash == hash && skip.Position == e.Position })
	})
}
