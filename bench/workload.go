package main

import (
	"context"
	"fmt"
	"time"
)

// A workload is a kind of requests that clients send.
type workload int

const (
	getEventual workload = iota
	getStrong
	getLinearizable
	listEventual
	create
)

// String names the workload in file names.
func (w workload) String() string {
	return [...]string{"get-eventual", "get-strong", "get-linearizable", "list", "post"}[w]
}

// A load is the requests of a workload for one subject.
type load struct {
	method, contentType string
	header              map[string]string
	// targets are paths with queries that are requested in turn.
	targets []string
	// body, if not empty, is sent with each request. In it, {n} is replaced with a number that
	// no other request has.
	body string
}

const requestsPerSecond = "requests/s"

// readRows compare reads. Reads change nothing, so the subjects are started once and then
// measured in turn.
func readRows() []row {
	reads := func(name string, w workload, targets map[string]target, peers ...string) row {
		return row{name: name, unit: requestsPerSecond, subjects: append([]string{ownName}, peers...), targets: targets,
			run: func(b *bench, ctx context.Context, record recordFunc) error {
				return b.compareRunning(ctx, append([]string{ownName}, peers...), b.entities, w, 64, time.Second, record)
			}}
	}
	return []row{
		reads("GET by id, eventual", getEventual, map[string]target{bareName: {0.60, 0.85}, rqliteName: {2, 3}}, bareName, rqliteName, pocketBaseName),
		reads("GET by id, strong", getStrong, map[string]target{bareName: {0.50, 0.70}, rqliteName: {1.5, 2.5}}, bareName, rqliteName),
		reads("GET by id, linearizable", getLinearizable, map[string]target{rqliteName: {1.2, 2}}, rqliteName),
		reads("list of 20, eventual", listEventual, map[string]target{rqliteName: {1.5, 3}, pocketBaseName: {5, 10}}, bareName, rqliteName, pocketBaseName),
	}
}

// writeRows compare writes. Each measurement starts with an empty store, so that no earlier
// write slows it down.
func writeRows() []row {
	writes := func(connections int, targets map[string]target, peers ...string) row {
		return row{name: fmt.Sprintf("POST, %d connections", connections), unit: requestsPerSecond, subjects: append([]string{ownName}, peers...), targets: targets,
			run: func(b *bench, ctx context.Context, record recordFunc) error {
				return b.compareWrites(ctx, append([]string{ownName}, peers...), connections, record)
			}}
	}
	return []row{
		writes(2, map[string]target{rqliteName: {1.2, 2}, pocketBaseName: {0.6, 1}}, naiveName, rqliteName, pocketBaseName, pocketBaseUnsyncedName),
		writes(64, map[string]target{rqliteName: {1.5, 3}}, naiveName, rqliteName, pocketBaseName, rawName),
		writes(256, map[string]target{rqliteName: {2, 4}}, naiveName, rqliteName, pocketBaseName),
	}
}

// loads are the numbers of connections that writes are measured with for the model of
// docs/explanation/scaling.md.
var loads = []int{1, 2, 4, 8, 16, 32, 64, 128, 256}

func connectionsName(n int) string { return fmt.Sprintf("%d connections", n) }

// modelRows are measured for the model.
func modelRows() []row {
	var subjects []string
	for _, n := range loads {
		subjects = append(subjects, connectionsName(n))
	}
	return []row{{
		name: modelRow, unit: requestsPerSecond, slow: true, subjects: subjects,
		note: "the points that the model in docs/explanation/scaling.md must reproduce.",
		run: func(b *bench, ctx context.Context, record recordFunc) error {
			for range min(b.rounds, 2) {
				for _, n := range loads {
					one, err := b.writeOnce(ctx, ownName, n)
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
	subjects := []string{ownClusterName, rqliteClusterName}
	return []row{{
		name: "POST through Nginx and 3 Kafka brokers, 64 connections", unit: requestsPerSecond, slow: true,
		subjects: subjects, targets: map[string]target{rqliteClusterName: {1, 2}}, missing: clusterMissing,
		run: func(b *bench, ctx context.Context, record recordFunc) error {
			return b.compareRunning(ctx, subjects, 0, create, 64, clusterWarmUp, record)
		},
		note: "both clusters run at once on one machine, and each is loaded for a minute before the first round.",
	}}
}

// clusterWarmUp is how long a cluster is loaded before it is measured. During this time the
// virtual machine of Apache Kafka compiles, which takes more processor time than the actual
// work: after 25 seconds of load the brokers used 1,060 us a write, and after a minute 400 us.
const clusterWarmUp = time.Minute
