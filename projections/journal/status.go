package journal

import "github.com/clusterlite/clusterlite/events"

// Status describes a journal. The JSON names are part of the admin interface.
type Status struct {
	// Start is the position at which the journal begins. It is 0 if the journal is complete.
	Start events.Position `json:"start"`
	// Bytes is the size of its files.
	Bytes int64 `json:"bytes"`
	// Damage says what was found to be damaged.
	Damage string `json:"damage,omitempty"`
}

// Status returns the status of the journal.
func (j *Journal) Status() Status {
	s := Status{Start: j.Start(), Bytes: j.Bytes()}
	if damage := j.Damage(); damage != nil {
		s.Damage = damage.Error()
	}
	return s
}

// Incomplete returns why the journal has to be filled from the log: a [DamagedError] or [ErrNotHeld].
// It is nil if the journal is complete.
func (j *Journal) Incomplete() error {
	if err := j.Damage(); err != nil {
		return err
	}
	if j.Start() > 0 {
		return ErrNotHeld
	}
	return nil
}
