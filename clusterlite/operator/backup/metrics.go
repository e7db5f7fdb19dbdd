package backup

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the metrics of a job. Their names are documented in docs/reference/metrics.md.
type metrics struct {
	registry prometheus.Registerer
	newest   prometheus.Gauge
	attempts *prometheus.CounterVec
	seconds  prometheus.Gauge
	bytes    prometheus.Gauge
	known    bool
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		registry: r,
		newest:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "clusterlite_snapshot_newest_timestamp_seconds", Help: "When the newest snapshot in the store was stored, as Unix time; 0 if the store is empty."}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "clusterlite_snapshot_attempts_total", Help: "Attempts to take a snapshot, by result."}, []string{"result"}),
		seconds:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "clusterlite_snapshot_last_duration_seconds", Help: "How long the last attempt took."}),
		bytes:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "clusterlite_snapshot_last_bytes", Help: "Size of the last snapshot as it is stored."}),
	}
	for _, result := range []string{"stored", "failed"} {
		m.attempts.WithLabelValues(result) // so that the series exists from the start
	}
	r.MustRegister(m.attempts, m.seconds, m.bytes)
	return m
}

// found sets when the newest snapshot was stored. The series exists once that is known.
func (m *metrics) found(newest time.Time) {
	seconds := 0.0
	if !newest.IsZero() {
		seconds = float64(newest.UnixMilli()) / 1000
	}
	m.newest.Set(seconds)
	if !m.known {
		m.registry.MustRegister(m.newest)
		m.known = true
	}
}

func (m *metrics) attempted(taken Taken, took time.Duration, err error) {
	m.seconds.Set(took.Seconds())
	if taken.Name != "" {
		m.bytes.Set(float64(taken.Bytes))
	}
	if err != nil {
		m.attempts.WithLabelValues("failed").Inc()
		return
	}
	m.attempts.WithLabelValues("stored").Inc()
}
