package eventlog

import (
	"log/slog"

	"github.com/ThreeDotsLabs/watermill"
)

// newWatermillLogger passes on the messages of Watermill at a lower level. What matters to a
// library, such as a reconnect, is a detail for an operator. Errors that are retried become
// warnings.
func newWatermillLogger(l *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(l.With("component", "watermill"), map[slog.Level]slog.Level{
		slog.LevelInfo:  slog.LevelDebug,
		slog.LevelError: slog.LevelWarn,
	})
}
