package projections

import (
	"context"
	"fmt"
)

// The names in _meta.
const (
	metaTopic   = "topic"
	metaTopicID = "topic_id"
	// metaCaughtUp is there once the file has been as far as the log was.
	metaCaughtUp = "caught_up"
	// metaOther is there once the log was found to hold other records than were applied,
	// and says which.
	metaOther = "other_record"
)

// bind ties a new file to its topic, and refuses a file that is tied to another.
func (w *writer) bind(ctx context.Context, topic, topicID string) error {
	if err := w.sameTopic(topic, topicID); err != nil {
		return err
	}
	for name, value := range map[string]string{metaTopic: topic, metaTopicID: topicID} {
		if value == "" {
			continue
		}
		if err := w.remark(ctx, name, value); err != nil {
			return fmt.Errorf("bind the file to topic %s: %w", topic, err)
		}
	}
	return nil
}

// remark notes something about the file, unless it is noted already.
func (w *writer) remark(ctx context.Context, name, value string) error {
	if w.meta[name] == value {
		return nil
	}
	if err := w.exec(ctx, `INSERT OR REPLACE INTO _meta (name, value) VALUES (?, ?)`, name, value); err != nil {
		return err
	}
	w.meta[name] = value
	return nil
}

func (w *writer) sameTopic(topic, topicID string) error {
	return sameTopic(w.meta[metaTopic], w.meta[metaTopicID], topic, topicID)
}

// sameTopic returns a [RefusedError] if what was built from one topic belongs to another
// than it is to go on with. A broker that tells no topic id is believed.
func sameTopic(wasTopic, wasID, topic, topicID string) error {
	if wasTopic != "" && wasTopic != topic {
		return &RefusedError{Reason: RefusedTopic, Detail: fmt.Sprintf("this node's file was built from topic %s, but --kafka-topic is %s", wasTopic, topic)}
	}
	if wasID != "" && topicID != "" && wasID != topicID {
		return &RefusedError{Reason: RefusedTopic, Detail: fmt.Sprintf("this node's file was built from topic %s with id %s, but the topic of that name now has id %s", topic, wasID, topicID)}
	}
	return nil
}

func (w *writer) loadMeta(ctx context.Context) error {
	var rows []struct {
		Name  string `db:"name"`
		Value string `db:"value"`
	}
	if err := w.conn.SelectContext(ctx, &rows, `SELECT name, value FROM _meta`); err != nil {
		return err
	}
	w.meta = map[string]string{}
	for _, r := range rows {
		w.meta[r.Name] = r.Value
	}
	return nil
}
