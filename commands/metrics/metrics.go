// Package metrics counts and measures what an executor appends.
package metrics

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/process/telemetry"
)

// unknown is the label of verdicts that did not arrive in time, and of appends that were not
// confirmed.
const unknown = "unknown"

// Metrics are the Prometheus metrics of an executor. A nil *Metrics records nothing.
type Metrics struct {
	verdicts, failures *prometheus.CounterVec
	admitted           prometheus.Counter // counts the verdict that nearly all events get
	append, verdict    prometheus.Histogram
}

// New registers the metrics. The names are documented in docs/reference/metrics.md.
func New(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterlite_command_verdicts_total", Help: "Verdicts on events that this node appended, by verdict.",
		}, []string{"verdict"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterlite_append_failures_total", Help: "Appends that the broker did not confirm, by reason.",
		}, []string{"reason"}),
		append: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "clusterlite_append_duration_seconds", Help: "Time from the start of an append until all in-sync replicas have it.", Buckets: telemetry.Seconds,
		}),
		verdict: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "clusterlite_verdict_duration_seconds", Help: "Time from the start of an append until this node knows its verdict.", Buckets: telemetry.Seconds,
		}),
	}
	// All labels exist from the start, with the value zero.
	for _, verdict := range append(telemetry.Verdicts(), unknown) {
		m.verdicts.WithLabelValues(verdict)
	}
	m.admitted = m.verdicts.WithLabelValues(telemetry.Verdict(events.Verdict{Outcome: events.Admitted}))
	for _, reason := range []string{"unreachable", "too_large", unknown} {
		m.failures.WithLabelValues(reason)
	}
	r.MustRegister(m.verdicts, m.failures, m.append, m.verdict)
	return m
}

// Appended counts an append, and measures it if it was confirmed.
func (m *Metrics) Appended(took time.Duration, err error) {
	switch {
	case m == nil:
	case err == nil:
		m.append.Observe(took.Seconds())
	case errors.Is(err, eventlog.ErrOutcomeUnknown):
		m.failures.WithLabelValues(unknown).Inc()
	case errors.Is(err, eventlog.ErrTooLarge):
		m.failures.WithLabelValues("too_large").Inc()
	default:
		m.failures.WithLabelValues("unreachable").Inc()
	}
}

// Judged counts a verdict, and measures the time since the start of the append.
func (m *Metrics) Judged(began time.Time, v events.Verdict) {
	if m == nil {
		return
	}
	m.verdict.Observe(time.Since(began).Seconds())
	if v.Outcome == events.Admitted {
		m.admitted.Inc()
	} else {
		m.verdicts.WithLabelValues(telemetry.Verdict(v)).Inc()
	}
}

// Unjudged counts an event whose verdict did not arrive in time.
func (m *Metrics) Unjudged() {
	if m != nil {
		m.verdicts.WithLabelValues(unknown).Inc()
	}
}
