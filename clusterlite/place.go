package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
)

// A place is a place in the log as people name it: a position, a time, or how long ago.
// The zero place is none.
type place struct {
	position events.Position
	time     time.Time
	set      bool
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
		return fmt.Errorf("%q is no place in the log; allowed: a position such as 1000, a time such as 2026-11-24T14:05:00Z, or how long ago, such as 15m", text)
	}
	return nil
}

// from is the position from which on nothing since the place is missed.
func (p place) from(ctx context.Context, log *eventlog.Log) (events.Position, error) {
	if p.time.IsZero() {
		return p.position, nil
	}
	return log.PositionAt(ctx, p.time)
}

// to is the position after all that the log has up to the place, as it is now.
func (p place) to(ctx context.Context, log *eventlog.Log) (events.Position, error) {
	if p.time.IsZero() {
		return p.position, nil
	}
	return log.PositionAt(ctx, p.time.Truncate(time.Millisecond).Add(time.Millisecond))
}

// until is the place for projections.Build; none is the end of the log as it is then.
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
