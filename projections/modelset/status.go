package modelset

import (
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// Status describes a model. The JSON names are part of the admin interface.
type Status struct {
	Model string `json:"model"`
	// Mistake says why the file of the definition can't be used. What served before goes on.
	Mistake string `json:"mistake,omitempty"`
	// Serving is what reads get; null until the first build is complete. Building is what replaces
	// it; null if there is no such build.
	Serving  *BuildStatus `json:"serving"`
	Building *BuildStatus `json:"building"`
	// Skips are all events that the model ever skipped on this node.
	Skips []Skip `json:"skips"`
}

// BuildStatus describes one build of a model.
type BuildStatus struct {
	State    State           `json:"state"`
	Hash     string          `json:"hash"`
	Position events.Position `json:"position"`
	// End is the position of the node.
	End events.Position `json:"end"`
	// Failure is the reason why the build has stopped, or why it is failing and retries.
	Failure string `json:"failure,omitempty"`
	// Stopped is the event for which it has stopped.
	Stopped *Stop `json:"stopped,omitempty"`
}

// A Stop is the event for which a model has stopped.
type Stop struct {
	Position   events.Position `json:"position"`
	Type       string          `json:"type"`
	Collection string          `json:"collection"`
	ID         string          `json:"id"`
	Version    int64           `json:"version"`
	File       string          `json:"file"`
	Line       int             `json:"line"`
	Statement  string          `json:"statement"`
	Error      string          `json:"error"`
}

// Status describes the model.
func (m *Model) Status() Status {
	m.mu.Lock()
	serving, building, mistake := m.serving, m.building, m.mistake
	m.mu.Unlock()
	s := Status{Model: m.name, Serving: serving.status(), Building: building.status(), Skips: m.set.skips.of(m.name)}
	if mistake != nil {
		s.Mistake = mistake.Error()
	}
	if s.Skips == nil {
		s.Skips = []Skip{}
	}
	return s
}

func (b *build) status() *BuildStatus {
	if b == nil {
		return nil
	}
	failed := b.stopped()
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &BuildStatus{State: b.state, Hash: b.file.Hash, Position: b.position, End: max(b.position, b.source.Position())}
	if b.failure != nil {
		s.Failure = b.failure.Error()
	}
	if failed != nil {
		s.Stopped = stopOf(failed)
	}
	return s
}

func stopOf(failed *sqlmodel.EventError) *Stop {
	e := failed.Event
	return &Stop{
		Position: e.Position, Type: string(e.Kind), Collection: e.Collection, ID: e.ID, Version: e.Version,
		File: failed.Statement.File, Line: failed.Statement.Line, Statement: failed.Statement.Text, Error: failed.Err.Error(),
	}
}
