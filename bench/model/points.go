package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A point is a measured throughput and the cost of one request.
type point struct {
	// Connections is the number of connections. Each always has a request in progress.
	Connections int `json:"connections"`
	// PerSecond is zero if only the processor time was measured.
	PerSecond float64 `json:"per_second"`
	// CPU is the server's processor time for one request, in microseconds.
	CPU float64 `json:"cpu"`
}

// points are the measurements on one machine.
type points struct {
	Machine string `json:"machine"`
	Commit  string `json:"commit"`
	Cores   int    `json:"cores"`
	// Posts are writes to one process, one point for each number of connections.
	Posts []point `json:"posts"`
	// Bare is a handler that does nothing. The rest of the processor time is the client's own
	// cost.
	Bare point `json:"bare"`
	// Reads are reads that need only the processor.
	Reads map[string]point `json:"reads"`
	// Cluster is a write through Nginx to services on three brokers. Its CPU is the sum over
	// all processes.
	Cluster point `json:"cluster"`
	// Apply is the processor time that a node needs for one event of the log, in microseconds.
	Apply float64 `json:"apply"`
	// WALBytes is what a node writes to its disk for one event. FileBytes is the part that
	// stays. LogBytes is the size of the event's record in the log.
	WALBytes, FileBytes, LogBytes float64
}

func readPoints(path string) (p points, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("read %s: %w", path, err)
	}
	if len(p.Posts) < 4 || p.Cores == 0 || p.Bare.PerSecond == 0 || p.Apply == 0 || p.LogBytes == 0 {
		return p, fmt.Errorf("read %s: it lacks points; run make bench, then -update", path)
	}
	return p, nil
}

// benchResult is a row of the benchmarks' results.json.
type benchResult struct {
	Machine, Commit string
	Samples         map[string][]struct{ Value, CPU float64 }
}

// These are the rows and subjects of the benchmarks that the model takes points from.
const (
	rowPosts   = "POST by connections"
	rowCluster = "POST through Nginx and 3 Kafka brokers, 64 connections"
	rowReplay  = "replay of mixed events"
	rowWAL     = "WAL per entity, import"
	rowFile    = "file per entity, large store"
	rowLog     = "log per event, large store"
	rowRead    = "GET by id, "
	rowList    = "list of 20, eventual"
	own        = "ClusterLite"
	ownCluster = "ClusterLite, 2 command and 2 query services"
	bare       = "bare handler"
	connected  = " connections"
)

// take replaces the existing points with those in the results of the benchmarks.
func (p *points) take(results map[string]benchResult) error {
	of := func(row, subject string) (point, bool) {
		samples := results[row].Samples[subject]
		if len(samples) == 0 {
			return point{}, false
		}
		var rates, cpus []float64
		for _, s := range samples {
			rates, cpus = append(rates, s.Value), append(cpus, s.CPU)
		}
		return point{Connections: 64, PerSecond: median(rates), CPU: median(cpus)}, true
	}
	if r := results[rowPosts]; len(r.Samples) > 0 {
		p.Machine, p.Commit, p.Posts = r.Machine, r.Commit, nil
		for subject := range r.Samples {
			n, err := strconv.Atoi(strings.TrimSuffix(subject, connected))
			if err != nil {
				return fmt.Errorf("%s: %w", subject, err)
			}
			one, _ := of(rowPosts, subject)
			one.Connections = n
			p.Posts = append(p.Posts, one)
		}
		slices.SortFunc(p.Posts, func(a, b point) int { return a.Connections - b.Connections })
	}
	if p.Reads == nil {
		p.Reads = map[string]point{}
	}
	for name, row := range map[string]string{"eventual": rowRead + "eventual", "strong": rowRead + "strong", "list": rowList} {
		if one, ok := of(row, own); ok {
			p.Reads[name] = one
		}
	}
	for into, from := range map[*point][2]string{&p.Bare: {rowRead + "eventual", bare}, &p.Cluster: {rowCluster, ownCluster}} {
		if one, ok := of(from[0], from[1]); ok {
			*into = one
		}
	}
	if one, ok := of(rowReplay, own); ok {
		p.Apply = one.CPU
	}
	for into, row := range map[*float64]string{&p.WALBytes: rowWAL, &p.FileBytes: rowFile, &p.LogBytes: rowLog} {
		if one, ok := of(row, own); ok {
			*into = one.PerSecond
		}
	}
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
