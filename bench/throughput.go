package main

import (
	"context"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

const requestsPerSecond = "requests/s"

// readRows compare reads. Reads change nothing, so the subjects are started once and then
// measured in turn.
func readRows() []row {
	reads := func(name string, w load.Workload, targets map[string]target, peers ...string) row {
		return row{name: name, unit: requestsPerSecond, subjects: append([]string{subjects.ClusterLiteName}, peers...), targets: targets,
			run: func(b *bench, ctx context.Context, record recordFunc) error {
				return b.compareRunning(ctx, append([]string{subjects.ClusterLiteName}, peers...), b.entities, w, 64, warmUp, record)
			}}
	}
	return []row{
		reads("GET by id, eventual", load.GetEventual, map[string]target{subjects.BareName: {0.60, 0.85}, subjects.RqliteName: {2, 3}}, subjects.BareName, subjects.RqliteName, subjects.PocketBaseName),
		reads("GET by id, strong", load.GetStrong, map[string]target{subjects.BareName: {0.50, 0.70}, subjects.RqliteName: {1.5, 2.5}}, subjects.BareName, subjects.RqliteName),
		reads("GET by id, linearizable", load.GetLinearizable, map[string]target{subjects.RqliteName: {1.2, 2}}, subjects.RqliteName),
		reads("list of 20, eventual", load.ListEventual, map[string]target{subjects.RqliteName: {1.5, 3}, subjects.PocketBaseName: {5, 10}}, subjects.BareName, subjects.RqliteName, subjects.PocketBaseName),
	}
}

// ruleRows compare reads that obey an access rule with reads by the same caller that need none.
func ruleRows() []row {
	compared := []string{subjects.RuledName, subjects.SecuredName}
	reads := func(name string, w load.Workload, floor float64) row {
		return row{name: name, unit: requestsPerSecond, subjects: compared, targets: map[string]target{subjects.SecuredName: {floor, 1}},
			run: func(b *bench, ctx context.Context, record recordFunc) error {
				return b.compareRunning(ctx, compared, b.entities, w, 64, warmUp, record)
			}}
	}
	return []row{
		reads("GET by id under a rule", load.GetEventual, 0.95),
		reads("list of 20 under a rule", load.ListEventual, 0.90),
	}
}

// writeRows compare writes. Each measurement starts with an empty store, so that no earlier
// write slows it down.
func writeRows() []row {
	writes := func(connections int, targets map[string]target, peers ...string) row {
		return row{name: fmt.Sprintf("POST, %d connections", connections), unit: requestsPerSecond, subjects: append([]string{subjects.ClusterLiteName}, peers...), targets: targets,
			run: func(b *bench, ctx context.Context, record recordFunc) error {
				return b.compareWrites(ctx, append([]string{subjects.ClusterLiteName}, peers...), connections, record)
			}}
	}
	kept := []string{subjects.ClusterLiteName, subjects.WithoutJournalName}
	return []row{
		writes(2, map[string]target{subjects.RqliteName: {1.2, 2}, subjects.PocketBaseName: {0.6, 1}}, subjects.NaiveName, subjects.RqliteName, subjects.PocketBaseName, subjects.PocketBaseUnsyncedName),
		writes(64, map[string]target{subjects.RqliteName: {1.5, 3}}, subjects.NaiveName, subjects.RqliteName, subjects.PocketBaseName, subjects.RawName),
		writes(256, map[string]target{subjects.RqliteName: {2, 4}}, subjects.NaiveName, subjects.RqliteName, subjects.PocketBaseName),
		{
			name: "CPU of a write with the journal, 64 connections", unit: "us", lower: true, subjects: kept, targets: map[string]target{subjects.WithoutJournalName: {1.25, 1.05}},
			note: "both processes run, and are loaded in turn. The value is the CPU time of a request.",
			run: func(b *bench, ctx context.Context, record recordFunc) error {
				return b.compareRunning(ctx, kept, 0, load.Create, 64, warmUp, func(subject string, s sample) {
					s.Value = s.CPU
					record(subject, s)
				})
			},
		},
	}
}

// loads are the numbers of connections that writes are measured with for the model of
// docs/explanation/scaling.md.
var loads = []int{1, 2, 4, 8, 16, 32, 64, 128, 256}

func connectionsName(n int) string { return fmt.Sprintf("%d connections", n) }

// modelRows are measured for the model.
func modelRows() []row {
	var compared []string
	for _, n := range loads {
		compared = append(compared, connectionsName(n))
	}
	return []row{{
		name: modelRow, unit: requestsPerSecond, slow: true, subjects: compared,
		note: "the points that the model in docs/explanation/scaling.md must reproduce.",
		run: func(b *bench, ctx context.Context, record recordFunc) error {
			for range min(b.rounds, 2) {
				for _, n := range loads {
					one, err := b.writeOnce(ctx, subjects.ClusterLiteName, n)
					if err != nil {
						return err
					}
					record(connectionsName(n), one)
				}
			}
			return nil
		},
	}}
}

const modelRow = "POST by connections"

// clusterRows compare writes through a cluster.
func clusterRows() []row {
	compared := []string{subjects.ClusterName, subjects.RqliteClusterName}
	return []row{{
		name: "POST through Nginx and 3 Kafka brokers, 64 connections", unit: requestsPerSecond, slow: true,
		subjects: compared, targets: map[string]target{subjects.RqliteClusterName: {1, 2}}, missing: subjects.ClusterMissing,
		run: func(b *bench, ctx context.Context, record recordFunc) error {
			return b.compareRunning(ctx, compared, 0, load.Create, 64, nodesWarmUp, record)
		},
		note: "both clusters run at once on one machine. The brokers are loaded for four minutes before the nodes start, because their virtual machines compile themselves, and then both clusters for 20 seconds.",
	}}
}

// nodesWarmUp is how long the nodes of a cluster are loaded before it is measured. In their first seconds
// with an empty store they use half as much CPU time again for a write, and so do the brokers with a new topic.
const nodesWarmUp = 20 * time.Second
