package sqlmodel

import (
	"errors"
	"regexp"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

// number matches a JSON number (RFC 8259, 6).
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// parseTime reads a date or a time of RFC 3339, and returns it in the form of the times of events.
func parseTime(text string) (string, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return events.FormatTime(t), nil
		}
	}
	return "", errors.New("a time such as 2026-11-24T12:00:00Z, or a date")
}
