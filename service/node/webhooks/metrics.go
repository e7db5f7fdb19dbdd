package webhooks

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of the webhooks of a node. They implement [prometheus.Collector].
type metrics struct {
	set      *Set
	requests *prometheus.CounterVec
}

func newMetrics(set *Set) metrics {
	return metrics{set, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clusterlite_webhook_deliveries_total", Help: "Requests of webhooks that this node made, by result: delivered or failed. An event that was given up also counts as parked.",
	}, []string{"webhook", "result"})}
}

// Metrics returns the collector of the metrics.
func (s *Set) Metrics() prometheus.Collector { return s.metrics }

func webhookDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("clusterlite_webhook_"+name, help, []string{"webhook"}, nil)
}

var (
	deliveringDesc = webhookDesc("delivering", "1 on the node that delivers a webhook.")
	lagEventsDesc  = webhookDesc("lag_events", "Records of the log after the position up to which a webhook has delivered; only on the node that delivers.")
	lagSecondsDesc = webhookDesc("lag_seconds", "Age of the oldest event that a webhook has neither delivered nor parked, or 0; only on the node that delivers.")
	retryingDesc   = webhookDesc("retrying", "Events that a webhook retries beside later events of other entities.")
	parkedDesc     = webhookDesc("parked", "Events that a webhook gave up; clusterlite webhooks replay delivers them again.")
	pausedDesc     = webhookDesc("paused", "1 while an operator has paused a webhook.")
	disabledDesc   = webhookDesc("disabled", "1 while a webhook is disabled because its endpoint answered 410.")
)

// Describe implements [prometheus.Collector].
func (m metrics) Describe(ch chan<- *prometheus.Desc) {
	m.requests.Describe(ch)
	for _, d := range []*prometheus.Desc{deliveringDesc, lagEventsDesc, lagSecondsDesc, retryingDesc, parkedDesc, pausedDesc, disabledDesc} {
		ch <- d
	}
}

// scrapePatience is how long a scrape waits for the records.
const scrapePatience = time.Second

// Collect implements [prometheus.Collector].
func (m metrics) Collect(ch chan<- prometheus.Metric) {
	m.requests.Collect(ch)
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience) // a scrape has none to pass on
	defer cancel()
	list, err := m.set.List(ctx)
	if err != nil {
		return
	}
	for _, w := range list.Webhooks {
		gauge := func(d *prometheus.Desc, value float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, w.Name)
		}
		gauge(deliveringDesc, bit(w.Delivery != nil))
		if w.Delivery != nil {
			gauge(lagEventsDesc, float64(w.Delivery.LagEvents))
			gauge(lagSecondsDesc, w.Delivery.LagSeconds)
		}
		gauge(retryingDesc, float64(w.Retrying))
		gauge(parkedDesc, float64(w.Parked))
		gauge(pausedDesc, bit(w.State == Paused))
		gauge(disabledDesc, bit(w.State == Disabled))
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
