package backup_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/clusterlite/operator/backup"
)

func schedule(t *testing.T, text string) (s backup.Schedule) {
	t.Helper()
	if err := s.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return s
}

// A job's attempts, in simulated time, as durations since its start.
type attempts struct {
	began  time.Time
	times  []time.Duration
	fail   int           // how many of the first attempts fail
	take   time.Duration // how long each takes
	newest time.Duration // how long ago the newest snapshot was stored; zero: the store is empty
}

// run runs a job for a while and returns its log and its final status.
func (a *attempts) run(t *testing.T, when string, deadline, during time.Duration) (log string, status backup.Status, values map[string]float64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		a.began = time.Now()
		registry := prometheus.NewRegistry()
		j := backup.New(backup.Options{
			Schedule: schedule(t, when), Deadline: deadline, Logger: slog.New(slog.NewTextHandler(&out, nil)),
			Newest: func(context.Context) (time.Time, error) {
				if a.newest == 0 {
					return time.Time{}, nil
				}
				return a.began.Add(-a.newest), nil
			},
			Take: func(ctx context.Context) (backup.Taken, error) {
				a.times = append(a.times, time.Since(a.began))
				select {
				case <-time.After(a.take):
				case <-ctx.Done():
					return backup.Taken{}, ctx.Err()
				}
				if len(a.times) <= a.fail {
					return backup.Taken{}, errors.New("no node answers")
				}
				return backup.Taken{Name: "one", StoredAt: time.Now(), Bytes: 7}, nil
			},
		}, registry)
		ctx, cancel := context.WithTimeout(t.Context(), during)
		defer cancel()
		if err := j.Run(ctx); err != nil {
			t.Errorf("got %v, want nil at the end of the context", err)
		}
		log, status, values = out.String(), j.Status(), map[string]float64{}
		families, err := registry.Gather()
		if err != nil {
			t.Error(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, l := range m.GetLabel() {
					name += "/" + l.GetValue()
				}
				values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	})
	return log, status, values
}

func (a *attempts) want(t *testing.T, times ...time.Duration) {
	t.Helper()
	if len(a.times) != len(times) {
		t.Fatalf("got attempts at %v, want %v", a.times, times)
	}
	for i := range times {
		if a.times[i] != times[i] {
			t.Errorf("got attempts at %v, want %v", a.times, times)
			return
		}
	}
}

func TestAnEmptyStoreGetsASnapshotAtOnce(t *testing.T) {
	a := &attempts{take: time.Minute}
	_, status, values := a.run(t, "6h", time.Hour, 13*time.Hour)
	a.want(t, 0, 6*time.Hour+time.Minute, 12*time.Hour+2*time.Minute)
	if status.Newest == nil || status.Error != "" || values["clusterlite_snapshot_attempts_total/stored"] != 3 ||
		values["clusterlite_snapshot_newest_timestamp_seconds"] != float64(status.Newest.Unix()) || values["clusterlite_snapshot_last_bytes"] != 7 {
		t.Errorf("got %+v and %v, want three stored snapshots", status, values)
	}
}

// A process that restarts continues the schedule of the one before it.
func TestAJobContinuesTheScheduleOfTheStore(t *testing.T) {
	for newest, first := range map[time.Duration]time.Duration{2 * time.Hour: 4 * time.Hour, 7 * time.Hour: 0} {
		a := &attempts{newest: newest}
		a.run(t, "6h", time.Hour, 5*time.Hour)
		a.want(t, first)
	}
	// Simulated time begins at midnight UTC. The run of yesterday at 03:00 was missed.
	a := &attempts{newest: 25 * time.Hour}
	a.run(t, "CRON_TZ=UTC 0 3 * * *", time.Hour, 4*time.Hour)
	a.want(t, 0, 3*time.Hour)
}

func TestAFailedAttemptIsRepeated(t *testing.T) {
	a := &attempts{fail: 3}
	log, status, values := a.run(t, "6h", time.Hour, 30*time.Minute)
	a.want(t, 0, 5*time.Second, 15*time.Second, 35*time.Second)
	if !strings.Contains(log, "no node answers") || status.Error != "" || values["clusterlite_snapshot_attempts_total/failed"] != 3 {
		t.Errorf("got %+v, %v and the log\n%s\nwant three failures in the log", status, values, log)
	}
	// A retry never comes after the next time of the schedule.
	a = &attempts{fail: 9}
	a.run(t, "90s", time.Hour, 4*time.Minute)
	a.want(t, 0, 5*time.Second, 15*time.Second, 35*time.Second, 75*time.Second, 155*time.Second)
	a = &attempts{fail: 20}
	a.run(t, "1m", time.Hour, 4*time.Minute)
	a.want(t, 0, 5*time.Second, 15*time.Second, 35*time.Second, 75*time.Second, 135*time.Second, 195*time.Second)
}

// Attempts never overlap, and one that takes too long ends at its deadline.
func TestAnAttemptThatTakesLong(t *testing.T) {
	a := &attempts{take: 25 * time.Minute}
	log, _, _ := a.run(t, "10m", time.Hour, 69*time.Minute)
	a.want(t, 0, 35*time.Minute)
	if !strings.Contains(log, "skipped the times") {
		t.Errorf("got the log\n%s\nwant it to say that times were skipped", log)
	}
	a = &attempts{take: 5 * time.Hour}
	log, status, _ := a.run(t, "24h", time.Hour, 61*time.Minute)
	a.want(t, 0, time.Hour+5*time.Second)
	if !strings.Contains(log, "deadline of 1h0m0s has passed (--deadline)") || !strings.Contains(status.Error, "--deadline") {
		t.Errorf("got %+v and the log\n%s\nwant it to name the deadline", status, log)
	}
}

func TestSchedules(t *testing.T) {
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"6h": at.Add(6 * time.Hour), "0 3 * * *": at.Add(15 * time.Hour), "@hourly": at.Add(time.Hour), "@every 90m": at.Add(90 * time.Minute), "*/5 * * * *": at.Add(5 * time.Minute),
	} {
		if got := schedule(t, text).Next(at); !got.Equal(want) {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "often", "-1h", "0s", "1 2 3", "0 0 30 2 *", "61 * * * *"} {
		var s backup.Schedule
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got a schedule, want an error", text)
		}
	}
}

func TestAges(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 720 * time.Hour, "1d": 24 * time.Hour, "36h": 36 * time.Hour} {
		var a backup.Age
		if err := a.UnmarshalText([]byte(text)); err != nil || time.Duration(a) != want {
			t.Errorf("%s: got %s, %v, want %s", text, time.Duration(a), err, want)
		}
	}
	for _, text := range []string{"", "d", "0d", "-1d", "1.5d", "0", "-2h", "999999999d"} {
		var a backup.Age
		if err := a.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %s, want an error", text, time.Duration(a))
		}
	}
}
