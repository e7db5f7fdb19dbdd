package node

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/telemetry"
)

// registerMetrics registers the metrics of the projection. Their names are documented in
// docs/reference/metrics.md; a test compares both.
func (n *Node) registerMetrics() {
	gauge := func(name, help string, value func() float64) {
		n.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	counter := func(name, help string, value func() float64) {
		n.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
	}
	gauge("clusterlite_position", "Records of the log that the projection has applied.", func() float64 { return float64(n.Model.Position()) })
	gauge("clusterlite_log_end", "Records in the log, as last reported by the broker.", func() float64 { end, _ := n.Model.Lag(); return float64(end) })
	gauge("clusterlite_lag_events", "Records in the log that the projection has not applied yet.", func() float64 { _, lag := n.Model.Lag(); return float64(lag.Events) })
	gauge("clusterlite_lag_seconds", "How long the projection has been behind the log.", func() float64 { _, lag := n.Model.Lag(); return lag.Seconds })
	gauge("clusterlite_ready", "1 while the node is ready.", func() float64 { return bit(n.ready() == nil) })
	gauge("clusterlite_broker_reachable", "1 while the broker answers.", func() float64 { return bit(n.Log.Reachable()) })
	counter("clusterlite_barriers_total", "Barriers appended for linearizable requests. One barrier serves all requests that wait at the time.", func() float64 { appended, _ := n.Log.Barriers(); return float64(appended) })
	counter("clusterlite_barriers_failed_total", "Barriers that were not confirmed in time.", func() float64 { _, failed := n.Log.Barriers(); return float64(failed) })
	gauge("clusterlite_projection_stopped", "1 while the projection has stopped; /status has the reason.", func() float64 { return bit(n.Model.Err() != nil) })
	if n.keepsJournal() {
		gauge("clusterlite_journal_bytes", "Size of the journal of events on disk.", func() float64 { return float64(n.journal().Bytes) })
		gauge("clusterlite_journal_start", "Position at which the journal of events begins; 0 if it is complete.", func() float64 { return float64(n.journal().Start) })
	}
	n.registerCache(gauge)
	n.registerRebuild(gauge)
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "clusterlite_info", Help: "Always 1; the labels identify the node, its role and its version."}, []string{"node", "role", "version"})
	info.WithLabelValues(n.NodeID, n.Role, process.Version()).Set(1)
	n.Registry.MustRegister(info, sizes{n.Model}, storage{n})
}

// registerCache registers the metrics of the cache.
func (n *Node) registerCache(gauge func(name, help string, value func() float64)) {
	for of, read := range map[string]func(projections.CacheStats) (hits, misses int64){
		"entity": func(s projections.CacheStats) (hits, misses int64) { return s.Hits, s.Misses },
		"page":   func(s projections.CacheStats) (hits, misses int64) { return s.PageHits, s.PageMisses },
	} {
		labels := prometheus.Labels{"read": of}
		n.Registry.MustRegister(
			prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "clusterlite_cache_hits_total", Help: "Reads of single entities and of pages of lists served from the cache.", ConstLabels: labels},
				func() float64 { hits, _ := read(n.Model.Cache()); return float64(hits) }),
			prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "clusterlite_cache_misses_total", Help: "Reads not served from the cache.", ConstLabels: labels},
				func() float64 { _, misses := read(n.Model.Cache()); return float64(misses) }),
		)
	}
	gauge("clusterlite_cache_bytes", "Approximate memory used by the cache, in bytes.", func() float64 { return float64(n.Model.Cache().Bytes) })
}

// registerRebuild registers the metrics of the current rebuild, or of the last one.
func (n *Node) registerRebuild(gauge func(name, help string, value func() float64)) {
	for _, state := range []projections.RebuildState{projections.RebuildRunning, projections.RebuildDone, projections.RebuildFailed, projections.RebuildCancelled} {
		n.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "clusterlite_rebuild", Help: "1 for the state of the current rebuild, or of the last one.",
			ConstLabels: prometheus.Labels{"state": string(state)},
		}, func() float64 {
			r, any := n.Model.Rebuild()
			return bit(any && r.State == state)
		}))
	}
	gauge("clusterlite_rebuild_position", "Records applied by the current rebuild, or by the last one.", func() float64 {
		r, _ := n.Model.Rebuild()
		return float64(r.Position)
	})
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// barrierWaits registers the histogram of waits for a barrier, and returns a function that
// records one.
func barrierWaits(r prometheus.Registerer) func(time.Duration) {
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "clusterlite_barrier_wait_seconds", Help: "Time that a request waited for a barrier, including the wait for a barrier already in progress.", Buckets: telemetry.Seconds,
	})
	r.MustRegister(seconds)
	return func(waited time.Duration) { seconds.Observe(waited.Seconds()) }
}

// batchMetrics are the metrics of applied batches.
type batchMetrics struct {
	verdicts *prometheus.CounterVec
	records  prometheus.Histogram
	seconds  prometheus.Histogram
}

func newBatchMetrics(r prometheus.Registerer) *batchMetrics {
	m := &batchMetrics{
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterlite_applied_records_total", Help: "Records applied since the process started, by verdict.",
		}, []string{"verdict"}),
		records: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "clusterlite_batch_records", Help: "Records applied in one transaction.",
			Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000},
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "clusterlite_batch_duration_seconds", Help: "Duration of one transaction.", Buckets: telemetry.Seconds,
		}),
	}
	for _, verdict := range append(telemetry.Verdicts(), telemetry.Passed) {
		m.verdicts.WithLabelValues(verdict) // so that the series exists from the start
	}
	r.MustRegister(m.verdicts, m.records, m.seconds)
	return m
}

func (m *batchMetrics) applied(b projections.Batch) {
	m.records.Observe(float64(b.Len()))
	m.seconds.Observe(b.Ended.Sub(b.Began).Seconds())
	counts := map[string]float64{}
	for _, v := range b.All() {
		counts[telemetry.Verdict(v)]++
	}
	for verdict, n := range counts {
		m.verdicts.WithLabelValues(verdict).Add(n)
	}
}

// sizes collects the sizes of the projection on disk, at each scrape.
type sizes struct{ model *projections.Projection }

// sizesPatience is how long a scrape waits for the sizes.
const sizesPatience = time.Second

var sizesDesc = prometheus.NewDesc("clusterlite_sqlite_bytes", "Bytes on disk: the database file, its write-ahead log, and the free pages in the file.", []string{"part"}, nil)

// Describe implements [prometheus.Collector].
func (sizes) Describe(ch chan<- *prometheus.Desc) { ch <- sizesDesc }

// Collect implements [prometheus.Collector]. A size that can't be determined is left out,
// because the other metrics matter even more then.
func (s sizes) Collect(ch chan<- prometheus.Metric) {
	// A scrape has no context to pass on, and must not wait for reads that hang.
	ctx, cancel := context.WithTimeout(context.Background(), sizesPatience)
	defer cancel()
	of, err := s.model.Sizes(ctx)
	if err != nil {
		return
	}
	for part, bytes := range map[string]int64{"file": of.File, "wal": of.WAL, "free": of.Free} {
		ch <- prometheus.MustNewConstMetric(sizesDesc, prometheus.GaugeValue, float64(bytes), part)
	}
}
