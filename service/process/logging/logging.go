// Package logging creates the logger of a process, which adds the ids of the request and of its
// trace to each line. Every package that runs a process or serves requests uses it.
package logging

import (
	"context"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// New returns a logger that writes lines in a format (text or json) at or above a level (debug,
// info, warn or error). Any other value means text or info.
func New(w io.Writer, format, level string) *slog.Logger {
	var from slog.Level
	if from.UnmarshalText([]byte(level)) != nil {
		from = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: from}
	var h slog.Handler = slog.NewTextHandler(w, options)
	if format == "json" {
		h = slog.NewJSONHandler(w, options)
	}
	return slog.New(handler{h})
}

// RequestIDKey is the key of the request's id, a string, in a context. A context type may return
// the id for this key from one of its fields.
type RequestIDKey struct{}

// RequestID returns the id of the request that ctx belongs to, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(RequestIDKey{}).(string)
	return id
}

// A handler adds the ids of the request and of its trace, if any.
type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if id := RequestID(ctx); id != "" {
		r.AddAttrs(slog.String("request_id", id))
	}
	if t := trace.SpanContextFromContext(ctx); t.HasTraceID() {
		r.AddAttrs(slog.String("trace_id", t.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
