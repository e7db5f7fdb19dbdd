// Package continuity decides whether a log is the one that a reader has read so far.
package continuity

import (
	"context"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

// SameTopic returns a [refusal.Error] if what was built from one topic belongs to another
// than it is to go on with. A broker that tells no topic id is believed.
func SameTopic(wasTopic, wasID, topic, topicID string) error {
	if wasTopic != "" && wasTopic != topic {
		return &refusal.Error{Reason: refusal.Topic, Detail: fmt.Sprintf("this node's file was built from topic %s, but --kafka-topic is %s", wasTopic, topic)}
	}
	if wasID != "" && topicID != "" && wasID != topicID {
		return &refusal.Error{Reason: refusal.Topic, Detail: fmt.Sprintf("this node's file was built from topic %s with id %s, but the topic of that name now has id %s", topic, wasID, topicID)}
	}
	return nil
}

// A Mark is how far a reader of the log has come.
type Mark struct {
	Position events.Position
	// last is the identity of the record before the position, or of the marker or gap that
	// is there instead; empty if it was not noted.
	Last string
	// other says that the log was found to hold another than was read, and has been read
	// on since; else it is empty.
	Other string
}

// GoesOn returns a [refusal.Error] if the log is not the one that was read up to the mark:
// it doesn't hold the next record, or holds another as the last. Any other error says that
// the broker could not be asked. The mark must have been taken before the log was
// described: the other way round, a record applied in between looks like one that the log
// lost.
func (m Mark) GoesOn(ctx context.Context, log *eventlog.Log, info eventlog.Info) error {
	if err := Outside(m.Position, info); err != nil {
		return err
	}
	return m.IsIn(ctx, log, info)
}

// IsIn returns a [refusal.Error] if the log holds another record than the last before the
// mark. What was deleted from the front can't be told.
func (m Mark) IsIn(ctx context.Context, log *eventlog.Log, info eventlog.Info) error {
	if m.Other != "" {
		return &refusal.Error{Reason: refusal.Other, Detail: m.Other}
	}
	if m.Last == "" || m.Position <= info.Start {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	record, err := log.Read(ctx, m.Position-1)
	if err != nil {
		return fmt.Errorf("read the last record that was applied: %w", err)
	}
	if found := record.Identity(); found != m.Last {
		return &refusal.Error{Reason: refusal.Other, Detail: fmt.Sprintf("this node applied record %d as %q (offset, time, id), but the log now has %q there", m.Position, m.Last, found)}
	}
	return nil
}

// readTimeout bounds how long one record may take to come.
const readTimeout = 10 * time.Second

// Outside tells what keeps a reader at a position from reading on. It returns a nil
// error, not a nil *RefusedError.
func Outside(position events.Position, info eventlog.Info) error {
	switch {
	case position > info.End:
		return &refusal.Error{Reason: refusal.Ahead, Detail: fmt.Sprintf("this node has applied %d records, but the log ends at position %d", position, info.End)}
	case position < info.Start:
		return &refusal.Error{Reason: refusal.Gap, Detail: fmt.Sprintf("this node has applied %d records, but the log starts at position %d", position, info.Start)}
	}
	return nil
}
