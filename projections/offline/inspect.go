package offline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/continuity"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// NotAProjectionError is returned for a file that is not a read model.
type NotAProjectionError struct {
	Path string
	Err  error
}

// Error names the file.
func (e *NotAProjectionError) Error() string {
	return fmt.Sprintf("%s is not a read model file: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *NotAProjectionError) Unwrap() error { return e.Err }

// Inspect describes an ordinary file that no process has open. It returns a
// [NotAProjectionError] if the file is not a read model, and a [refusal.Error] if it has
// another version.
func Inspect(ctx context.Context, path string) (built Built, err error) {
	return InspectInPlace(ctx, path, "ro")
}

// InspectInPlace is Inspect for a given open mode of SQLite.
func InspectInPlace(ctx context.Context, path, mode string) (built Built, err error) {
	if _, err := os.Stat(path); err != nil {
		return Built{}, err
	}
	db, err := sqlite.Connect(ctx, path, 1, url.Values{"_query_only": {"true"}, "mode": {mode}})
	if err != nil {
		return Built{}, &NotAProjectionError{path, err}
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Connx(ctx)
	if err != nil {
		return Built{}, &NotAProjectionError{path, err}
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := checkVersion(ctx, conn, path); err != nil {
		return Built{}, err
	}
	w := &applier.Writer{Conn: conn, Entities: applier.Entities{Recent: applier.NewRecentClaims(path)}}
	if err := w.Load(ctx); err != nil {
		return Built{}, &NotAProjectionError{path, err}
	}
	return BuiltBy(w), nil
}

func checkVersion(ctx context.Context, conn *sqlx.Conn, path string) error {
	var version int
	if err := conn.GetContext(ctx, &version, `PRAGMA user_version`); err != nil {
		return &NotAProjectionError{path, err}
	}
	var found string
	err := conn.GetContext(ctx, &found, `SELECT name FROM sqlite_schema WHERE name = '_checkpoint'`)
	if errors.Is(err, sql.ErrNoRows) {
		err = errors.New("it has no checkpoint")
	}
	if err != nil {
		return &NotAProjectionError{path, err}
	}
	if !schema.Readable(version) {
		return schema.OtherSchema(path, version)
	}
	return nil
}

// CheckTopic returns a [refusal.Error] if a read model can't continue from a topic's log, because it
// was built from another topic, or the log lacks the next record.
func (b Built) CheckTopic(topic string, info eventlog.Info) error {
	if err := continuity.SameTopic(b.Topic, b.TopicID, topic, info.ID); err != nil {
		return err
	}
	return continuity.Outside(b.Position, info)
}

// CheckLog returns a [refusal.Error] if the log, described after the read model was made, lacks
// the last applied record or the next one. Any other error means that the broker could not be
// asked.
func (b Built) CheckLog(ctx context.Context, log *eventlog.Log, info eventlog.Info) error {
	return b.mark.CheckLog(ctx, log, info)
}
