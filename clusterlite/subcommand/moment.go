package subcommand

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/offline"
)

// A Moment is the value of a flag that names a point in the log: a position, a time, or how
// long ago. The zero value names none.
type Moment struct {
	position events.Position
	time     time.Time
	set      bool
}

// Allowed describes the values of the flag.
func (*Moment) Allowed() string {
	return "a position such as 1000, a time such as 2026-11-24T14:05:00Z, or how long ago, such as 15m"
}

// UnmarshalText parses a value of the flag.
func (m *Moment) UnmarshalText(text []byte) error {
	s := string(text)
	m.set = true
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		m.position = events.Position(n)
		return nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago > 0 {
		m.time = time.Now().Add(-ago)
		return nil
	}
	var err error
	if m.time, err = time.Parse(time.RFC3339, s); err != nil {
		return fmt.Errorf("%q is not a position or a time; allowed: %s", text, m.Allowed())
	}
	return nil
}

// Given reports whether the flag was given.
func (m Moment) Given() bool { return m.set }

// From returns the first position that covers everything since the moment.
func (m Moment) From(ctx context.Context, log *eventlog.Log) (events.Position, error) {
	if m.time.IsZero() {
		return m.position, nil
	}
	return log.PositionAt(ctx, m.time)
}

// To returns the position after everything up to the moment that the log holds now.
func (m Moment) To(ctx context.Context, log *eventlog.Log) (events.Position, error) {
	if m.time.IsZero() {
		return m.position, nil
	}
	return log.PositionAt(ctx, m.time.Truncate(time.Millisecond).Add(time.Millisecond))
}

// Check returns an error if the moment is a time before the first record of the log. If it
// is a time in the future, Check writes a note to w.
func (m Moment) Check(ctx context.Context, log *eventlog.Log, info eventlog.Info, w io.Writer) error {
	if m.time.IsZero() {
		return nil
	}
	asked := events.FormatTime(m.time.UTC())
	if info.End == info.Start {
		return fmt.Errorf("topic %s is empty, so it had no state at %s", log.Topic(), asked)
	}
	if m.time.After(time.Now()) {
		_, _ = fmt.Fprintf(w, "note: %s is in the future: using everything in the log so far, up to position %d\n", asked, info.End)
		return nil
	}
	at, err := m.To(ctx, log)
	if err != nil || at > info.Start {
		return err
	}
	first, err := log.Read(ctx, info.Start)
	if err != nil {
		return fmt.Errorf("read the first record of the log: %w", err)
	}
	return fmt.Errorf("the log begins at %s, so it had no state at %s: name a later time", events.FormatTime(first.Timestamp.UTC()), asked)
}

// Until converts the moment for [offline.Build]. If the flag was not given, the result is the
// end of the log at the start of the build.
func (m Moment) Until() offline.Until {
	switch {
	case !m.set:
		return offline.Until{}
	case m.time.IsZero():
		return offline.UntilPosition(m.position)
	default:
		return offline.UntilTime(m.time)
	}
}
