package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
)

// A place is a point in the log as a user names it: a position, a time, or how long ago.
// The zero value names none.
type place struct {
	position events.Position
	time     time.Time
	set      bool
}

// Allowed says what a place looks like.
func (*place) Allowed() string {
	return "a position such as 1000, a time such as 2026-11-24T14:05:00Z, or how long ago, such as 15m"
}

// UnmarshalText reads a place.
func (p *place) UnmarshalText(text []byte) error {
	s := string(text)
	p.set = true
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		p.position = events.Position(n)
		return nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago > 0 {
		p.time = time.Now().Add(-ago)
		return nil
	}
	var err error
	if p.time, err = time.Parse(time.RFC3339, s); err != nil {
		return fmt.Errorf("%q is not a position or a time; allowed: %s", text, p.Allowed())
	}
	return nil
}

// from is the first position that covers everything since the place.
func (p place) from(ctx context.Context, log *eventlog.Log) (events.Position, error) {
	if p.time.IsZero() {
		return p.position, nil
	}
	return log.PositionAt(ctx, p.time)
}

// to is the position after everything up to the place that the log holds now.
func (p place) to(ctx context.Context, log *eventlog.Log) (events.Position, error) {
	if p.time.IsZero() {
		return p.position, nil
	}
	return log.PositionAt(ctx, p.time.Truncate(time.Millisecond).Add(time.Millisecond))
}

// check returns an error if the place is a time before the first record of the log. If it
// is a time in the future, check writes a note to w.
func (p place) check(ctx context.Context, log *eventlog.Log, info eventlog.Info, w io.Writer) error {
	if p.time.IsZero() {
		return nil
	}
	asked := events.FormatTime(p.time.UTC())
	if info.End == info.Start {
		return fmt.Errorf("topic %s is empty, so it had no state at %s", log.Topic(), asked)
	}
	if p.time.After(time.Now()) {
		_, _ = fmt.Fprintf(w, "note: %s is in the future: using everything in the log so far, up to position %d\n", asked, info.End)
		return nil
	}
	at, err := p.to(ctx, log)
	if err != nil || at > info.Start {
		return err
	}
	first, err := log.Read(ctx, info.Start)
	if err != nil {
		return fmt.Errorf("read the first record of the log: %w", err)
	}
	return fmt.Errorf("the log begins at %s, so it had no state at %s: name a later time", events.FormatTime(first.Timestamp.UTC()), asked)
}

// until converts the place for projections.Build; an unset place means the end of the log
// at that time.
func (p place) until() projections.Until {
	switch {
	case !p.set:
		return projections.Until{}
	case p.time.IsZero():
		return projections.UntilPosition(p.position)
	default:
		return projections.UntilTime(p.time)
	}
}
