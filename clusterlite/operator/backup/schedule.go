package backup

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// A Schedule says when snapshots are due. It is a value of a flag. The zero value is no
// schedule.
type Schedule struct {
	cron.Schedule
	text string
}

// minInterval is the shortest interval of a schedule.
const minInterval = time.Second

// Allowed describes the values of the flag.
func (*Schedule) Allowed() string {
	return `a cron expression such as "0 3 * * *" or @daily, or an interval such as 6h`
}

// UnmarshalText parses a cron expression with five fields, a descriptor such as @daily, or an
// interval of at least a second. A cron expression is in the time zone of the process, or in the
// one that the prefix CRON_TZ= names.
func (s *Schedule) UnmarshalText(text []byte) error {
	s.text = strings.TrimSpace(string(text))
	if interval, err := time.ParseDuration(s.text); err == nil {
		if interval < minInterval {
			return fmt.Errorf("the interval %s is below %s", s.text, minInterval)
		}
		s.Schedule = cron.Every(interval)
		return nil
	}
	parsed, err := cron.ParseStandard(s.text)
	if err != nil {
		return fmt.Errorf("%q is not a cron expression: %w", s.text, err)
	}
	if parsed.Next(time.Now()).IsZero() {
		return fmt.Errorf("%q never happens", s.text)
	}
	s.Schedule = parsed
	return nil
}

// String returns the text that was parsed.
func (s Schedule) String() string { return s.text }

// An Age is a duration that may be given in days, such as 30d. It is a value of a flag.
type Age time.Duration

// Allowed describes the values of the flag.
func (*Age) Allowed() string { return "a number of days such as 30d, or a duration such as 36h" }

// UnmarshalText parses days, or a duration with the units of Go.
func (a *Age) UnmarshalText(text []byte) error {
	const maxDays = 100_000 // more does not fit into a duration
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > maxDays {
			return fmt.Errorf("%q is not a number of days from 1d to %dd", text, maxDays)
		}
		*a = Age(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not a duration above zero", text)
	}
	*a = Age(d)
	return nil
}
