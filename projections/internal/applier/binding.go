package applier

import (
	"context"
	"fmt"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/continuity"
)

// Names in _meta.
const (
	MetaTopic   = "topic"
	MetaTopicID = "topic_id"
	// MetaCaughtUp exists once the file has caught up with the log.
	MetaCaughtUp = "caught_up"
	// MetaOther exists once the log was found to hold other records than the applied ones. Its
	// value describes them.
	MetaOther = "other_record"
)

// Bind binds a new file to its topic, and refuses a file that is bound to another.
func (w *Writer) Bind(ctx context.Context, topic, topicID string) error {
	if err := w.SameTopic(topic, topicID); err != nil {
		return err
	}
	for name, value := range map[string]string{MetaTopic: topic, MetaTopicID: topicID} {
		if value == "" {
			continue
		}
		if err := w.SetMeta(ctx, name, value); err != nil {
			return fmt.Errorf("bind the file to topic %s: %w", topic, err)
		}
	}
	return nil
}

// SetMeta stores a fact about the file, unless it is stored already.
func (w *Writer) SetMeta(ctx context.Context, name, value string) error {
	if w.Meta[name] == value {
		return nil
	}
	if err := w.exec(ctx, w.Conn, `INSERT OR REPLACE INTO _meta (name, value) VALUES (?, ?)`, name, value); err != nil {
		return err
	}
	w.Meta[name] = value
	return nil
}

// SameTopic returns a [refusal.Error] if the file was built from another topic.
func (w *Writer) SameTopic(topic, topicID string) error {
	return continuity.SameTopic(w.Meta[MetaTopic], w.Meta[MetaTopicID], topic, topicID)
}

func (w *Writer) loadMeta(ctx context.Context) error {
	var rows []struct {
		Name  string `db:"name"`
		Value string `db:"value"`
	}
	if err := w.Conn.SelectContext(ctx, &rows, `SELECT name, value FROM _meta`); err != nil {
		return err
	}
	w.Meta = map[string]string{}
	for _, r := range rows {
		w.Meta[r.Name] = r.Value
	}
	return nil
}

// Mark returns how far the file has read the log.
func (w *Writer) Mark() continuity.Mark {
	last := w.Last
	if !events.IdentifiesLastBefore(last, w.Position) {
		last = "" // a version that does not store it has written to the file since
	}
	return continuity.Mark{Position: w.Position, Last: last, Other: w.Meta[MetaOther]}
}
