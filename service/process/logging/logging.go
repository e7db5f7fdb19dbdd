// Package logging makes a process's logger, and carries the ids of the request and of its
// trace to its lines.
package logging

import (
	"context"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// New makes a logger that writes lines of a format (text or json) and from a level
// (debug, info, warn, error) on; others mean text and info.
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

// RequestIDKey is the key of the request's id in a context. A context that has the id in a
// field of its own answers this key with it, a string.
type RequestIDKey struct{}

// WithRequestID gives a context whose log lines carry the request's id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, RequestIDKey{}, id)
}

// RequestID is the id of the request that ctx belongs to, or empty.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(RequestIDKey{}).(string)
	return id
}

// handler adds the ids of the request and of its trace, if it is part of one.
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
