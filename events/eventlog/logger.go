package eventlog

import (
	"log/slog"

	"github.com/ThreeDotsLabs/watermill"
)

// newWatermillLogger hands Watermill's lines on, one level down: what is news to a
// library, such as a reconnect, is detail to an operator. Errors of a consumer that
// retries are warnings.
func newWatermillLogger(l *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(l.With("component", "watermill"), map[slog.Level]slog.Level{
		slog.LevelInfo:  slog.LevelDebug,
		slog.LevelError: slog.LevelWarn,
	})
}
