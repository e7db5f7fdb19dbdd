package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/events"
)

// Taken is a snapshot that is stored and verified.
type Taken struct {
	Name     string          `json:"name"`
	Position events.Position `json:"position"`
	Bytes    int64           `json:"bytes"`
	StoredAt time.Time       `json:"stored_at"`
	// Removed is the number of older snapshots that were removed afterwards.
	Removed int `json:"removed"`
}

// Options say which snapshots a [Job] takes, and when.
type Options struct {
	// Schedule says when a snapshot is due.
	Schedule Schedule
	// Deadline bounds each attempt.
	Deadline time.Duration
	// Newest returns when the newest snapshot in the store was stored, or the zero time if the store
	// is empty.
	Newest func(context.Context) (time.Time, error)
	// Take takes one snapshot. It may return a snapshot and an error: the snapshot is stored and
	// verified, but what follows has failed.
	Take func(context.Context) (Taken, error)
	// Logger logs each attempt.
	Logger *slog.Logger
}

// A Job takes snapshots on a schedule. Create it with [New].
type Job struct {
	Options

	metrics *metrics
	mu      sync.Mutex
	status  Status
}

// Status says what a job has done and what it does next. Its JSON names are part of the admin
// interface.
type Status struct {
	Schedule string `json:"schedule"`
	// Newest is when the newest snapshot in the store was stored; null if the store is empty or has
	// not been read yet.
	Newest *time.Time `json:"newest"`
	// Due is when the next attempt begins.
	Due time.Time `json:"due"`
	// Running reports whether an attempt is in progress.
	Running bool `json:"running"`
	// Error is the error of the last attempt; empty if it succeeded.
	Error string `json:"error,omitempty"`
}

// New returns a job, and registers its metrics.
func New(o Options, r prometheus.Registerer) *Job {
	return &Job{Options: o, metrics: newMetrics(r), status: Status{Schedule: o.Schedule.String()}}
}

// The retries of an attempt that failed wait from minRetry to maxRetry, and never beyond the next
// time of the schedule.
const (
	minRetry = 5 * time.Second
	maxRetry = 30 * time.Minute
)

// Run takes snapshots until ctx ends, one at a time, and returns nil. The first one is due at once
// if the store has none, or if one was due since the newest one: so a process that restarts often,
// or was down at the time of the schedule, misses none. Times that pass during an attempt are
// skipped. A failed attempt is repeated.
func (j *Job) Run(ctx context.Context) error {
	due := j.first(ctx)
	for failures := 0; ; {
		j.set(func(s *Status) { s.Due = due })
		if !sleepUntil(ctx, due) {
			return nil
		}
		began := time.Now()
		err := j.attempt(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is the normal end
		}
		now := time.Now()
		due = j.Schedule.Next(now)
		if next := j.Schedule.Next(began); next.Before(now) {
			j.Logger.Warn("the snapshot took longer than the schedule allows; skipped the times that passed meanwhile", "took", now.Sub(began).String(), "schedule", j.Schedule.String())
		}
		if err == nil {
			failures = 0
			continue
		}
		failures++
		if again := now.Add(min(minRetry<<min(failures-1, 10), maxRetry)); again.Before(due) {
			due = again
		}
		j.Logger.Error("could not take a snapshot", "error", err, "took", now.Sub(began).String(), "next attempt", events.FormatTime(due.UTC()))
	}
}

// first returns when the first snapshot is due.
func (j *Job) first(ctx context.Context) time.Time {
	now := time.Now()
	ctx, cancel := context.WithTimeout(ctx, j.Deadline)
	defer cancel()
	newest, err := j.Newest(ctx)
	if err != nil {
		j.Logger.Warn("could not determine the age of the newest snapshot", "error", err)
		return now
	}
	j.found(newest)
	if newest.IsZero() {
		return now
	}
	if due := j.Schedule.Next(newest.In(now.Location())); due.After(now) {
		j.Logger.Info("the newest snapshot is recent enough", "stored", events.FormatTime(newest.UTC()), "next", events.FormatTime(due.UTC()))
		return due
	}
	return now
}

func (j *Job) attempt(ctx context.Context) error {
	stopping := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, j.Deadline, fmt.Errorf("the deadline of %s has passed (--deadline)", j.Deadline))
	defer cancel()
	j.set(func(s *Status) { s.Running = true })
	began := time.Now()
	taken, err := j.Take(ctx)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	if err != nil && stopping.Err() != nil {
		return err // the attempt did not fail: the job was stopped
	}
	took := time.Since(began)
	j.metrics.attempted(taken, took, err)
	if taken.Name != "" {
		j.found(taken.StoredAt)
		j.Logger.Info("stored and verified a snapshot", "name", taken.Name, "position", taken.Position, "bytes", taken.Bytes, "removed", taken.Removed, "took", took.String())
	}
	j.set(func(s *Status) {
		s.Running, s.Error = false, ""
		if err != nil {
			s.Error = err.Error()
		}
	})
	return err
}

func (j *Job) found(newest time.Time) {
	j.metrics.found(newest)
	if !newest.IsZero() {
		j.set(func(s *Status) { s.Newest = &newest })
	}
}

func (j *Job) set(change func(*Status)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.status)
}

// Status returns the current state. Safe for concurrent use.
func (j *Job) Status() Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.status
}

// sleepUntil returns false if ctx ends before.
func sleepUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
