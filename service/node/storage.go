package node

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/storagefault"
	"github.com/clusterlite/clusterlite/service/node/diskspace"
)

// storage collects the metrics of the projection's storage, at each scrape.
type storage struct{ node *Node }

func storageDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("clusterlite_"+name, help, labels, nil)
}

var (
	damagedDesc       = storageDesc("projection_damaged", "1 while the projection file is damaged and not yet rebuilt.")
	storageErrorsDesc = storageDesc("storage_errors_total", "Storage failures of the projection, by kind of fault.", "fault")
	repairsDesc       = storageDesc("projection_repairs_total", "Repairs of a damaged projection file, by result.", "result")
	scrubsDesc        = storageDesc("scrubs_total", "Completed scrubs of the whole projection file, by result.", "result")
	scrubEndedDesc    = storageDesc("scrub_last_timestamp_seconds", "Unix time at which the last scrub ended; the start of the process before the first scrub, NaN if scrubs are disabled.")
	scrubTookDesc     = storageDesc("scrub_last_duration_seconds", "Duration of the last scrub.")
	diskDesc          = storageDesc("data_disk_bytes", "Bytes of the file system that holds the data folder: free, and in total (size).", "part")
)

// Describe implements [prometheus.Collector].
func (storage) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{damagedDesc, storageErrorsDesc, repairsDesc, scrubsDesc, scrubEndedDesc, scrubTookDesc, diskDesc} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (s storage) Collect(ch chan<- prometheus.Metric) {
	of := s.node.Model.Storage()
	if aside := s.node.setAside; aside != nil {
		// The file was set aside before there was a projection to count this.
		if of.Faults == nil {
			of.Faults = map[storagefault.Kind]int64{}
		}
		of.Faults[aside.Fault]++
		of.Repaired++
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	gauge(damagedDesc, bit(s.node.Model.State() == projections.StateDamaged))
	for _, fault := range storagefault.Kinds() {
		counter(storageErrorsDesc, of.Faults[fault], string(fault))
	}
	counter(repairsDesc, of.Repaired, "done")
	counter(repairsDesc, of.RepairsFailed, "failed")
	counter(scrubsDesc, of.Scrub.Completed, "sound")
	counter(scrubsDesc, of.Scrub.Failed, "damaged")
	ended := float64(s.node.began.Unix())
	switch {
	case s.node.Scrub == 0:
		ended = math.NaN() // no scrub can be overdue
	case !of.Scrub.Ended.IsZero():
		ended = float64(of.Scrub.Ended.Unix())
	}
	gauge(scrubEndedDesc, ended)
	gauge(scrubTookDesc, of.Scrub.Took.Seconds())
	if free, size, err := diskspace.Of(s.node.DataDir); err == nil {
		gauge(diskDesc, float64(free), "free")
		gauge(diskDesc, float64(size), "size")
	}
}
