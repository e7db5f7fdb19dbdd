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

// SameTopic returns a [refusal.Error] if a read model was built from another topic than the one
// that it should continue from. A topic without an id, as some brokers have, matches any id.
func SameTopic(wasTopic, wasID, topic, topicID string) error {
	if wasTopic != "" && wasTopic != topic {
		return &refusal.Error{Reason: refusal.Topic, Detail: fmt.Sprintf("this node's file was built from topic %s, but --kafka-topic is %s", wasTopic, topic)}
	}
	if wasID != "" && topicID != "" && wasID != topicID {
		return &refusal.Error{Reason: refusal.Topic, Detail: fmt.Sprintf("this node's file was built from topic %s with id %s, but the topic of that name now has id %s", topic, wasID, topicID)}
	}
	return nil
}

// A Mark records how far a reader of the log has read.
type Mark struct {
	Position events.Position
	// Last is the identity of the record before the position, or of the marker or gap in its
	// place. It is empty if it was not stored.
	Last string
	// Other describes the record by which the log was found to differ from what was read, if
	// the reader continued after that. It is empty otherwise.
	Other string
}

// CheckLog returns a [refusal.Error] if the log is not the one that was read up to the mark: it
// lacks the next record, or holds another last record. Any other error means that the broker
// could not be asked. The mark must have been taken before the log was described. Otherwise a
// record applied in between would look like one that the log has lost.
func (m Mark) CheckLog(ctx context.Context, log *eventlog.Log, info eventlog.Info) error {
	if err := Outside(m.Position, info); err != nil {
		return err
	}
	return m.IsIn(ctx, log, info)
}

// IsIn returns a [refusal.Error] if the log holds another record in the place of the last one
// before the mark. It can't check records that were deleted from the front of the log.
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

// readTimeout bounds the read of one record.
const readTimeout = 10 * time.Second

// Outside returns a [refusal.Error] if a reader at a position can't continue. It returns a nil
// error, not a nil pointer, if it can.
func Outside(position events.Position, info eventlog.Info) error {
	switch {
	case position > info.End:
		return &refusal.Error{Reason: refusal.Ahead, Detail: fmt.Sprintf("this node has applied %d records, but the log ends at position %d", position, info.End)}
	case position < info.Start:
		return &refusal.Error{Reason: refusal.Gap, Detail: fmt.Sprintf("this node has applied %d records, but the log starts at position %d", position, info.Start)}
	}
	return nil
}
