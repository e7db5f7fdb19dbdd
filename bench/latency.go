package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

const (
	writesPerSecond = 1000
	otherNodeName   = "query node of its own"
	underWritesName = "while 1,000 writes/s are applied"
	withoutName     = "without writes"
	elsewhereName   = "while a node that it does not follow gets 1,000 writes/s"
)

// latencyRows measure how soon a write is visible on another node, and how writes affect reads
// there. The writes go to `serve` at a constant rate. The other node is a query service that
// follows its log.
func latencyRows() []row {
	return []row{{
		name: "acknowledged write until visible on another node, p99", unit: "ms", lower: true,
		subjects: []string{otherNodeName}, targets: map[string]target{"": {20, 5}},
		note: "1,000 writes/s; one write in twenty is read from the other node, at level eventual, again and again from its acknowledgement until it is there.",
		run:  (*bench).visibility,
	}, {
		name: "GET by id, eventual, p99 under writes", unit: "ms", lower: true,
		subjects: []string{underWritesName, withoutName, elsewhereName}, targets: map[string]target{withoutName: {2, 1.3}},
		note: "1,000 reads/s at a constant rate from a query node; latencies count from the instant when the read was due. All processes and the clients share the CPUs, so the writes also delay reads where they are not applied: the ratio to the last subject shows what is due to applying them.",
		run:  (*bench).readsUnderWrites,
	}}
}

// pair starts `serve` and a query node that follows it.
func (b *bench) pair(ctx context.Context, entities int) (started, subjects.QueryNode, error) {
	s, err := b.start(ctx, subjects.ClusterLiteName, entities)
	if err != nil {
		return started{}, subjects.QueryNode{}, err
	}
	q, err := subjects.StartQuery(ctx, b.programs, s.dir+"/query", s.Subject.(*subjects.ClusterLite).Broker)
	if err != nil {
		s.remove()
		return started{}, subjects.QueryNode{}, err
	}
	return s, q, nil
}

func (b *bench) visibility(ctx context.Context, record recordFunc) error {
	s, q, err := b.pair(ctx, 0)
	if err != nil {
		return err
	}
	defer s.remove()
	defer q.Stop()
	for range b.rounds {
		var mu sync.Mutex
		var seen []time.Duration
		client := load.NewClient()
		writes := b.writes(s.URL(), client, func(ctx context.Context, n int, location string) error {
			if n%20 != 0 {
				return nil
			}
			acknowledged := time.Now()
			err := awaitVisible(ctx, client, q.URL+location)
			mu.Lock()
			seen = append(seen, time.Since(acknowledged))
			mu.Unlock()
			return err
		})
		if _, err := writes.Run(ctx, max(2*b.duration, 2*time.Second)); err != nil {
			return err
		}
		slices.Sort(seen)
		record(otherNodeName, sample{Value: milliseconds(load.Percentile(seen, 0.99)), P50: milliseconds(load.Percentile(seen, 0.5)), P99: milliseconds(load.Percentile(seen, 0.99))})
	}
	return nil
}

// awaitVisible reads until the entity exists.
func awaitVisible(ctx context.Context, client *http.Client, url string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		status, err := load.Do(ctx, client, http.MethodGet, url, "")
		if err != nil {
			return err
		}
		if status.Code == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("%s is not visible after ten seconds", url)
}

func (b *bench) readsUnderWrites(ctx context.Context, record recordFunc) error {
	s, q, err := b.pair(ctx, b.entities)
	if err != nil {
		return err
	}
	defer s.remove()
	defer q.Stop()
	elsewhere, err := b.start(ctx, subjects.ClusterLiteName, 0)
	if err != nil {
		return err
	}
	defer elsewhere.remove()
	ids, d, client := s.Subject.(*subjects.ClusterLite).IDs, max(2*b.duration, 2*time.Second), load.NewClient()
	reads := load.OpenLoop{PerSecond: 1000, Workers: 256, Do: func(ctx context.Context, n int) error {
		status, err := load.Do(ctx, client, http.MethodGet, q.URL+"/users/"+ids[n*7919%len(ids)], "")
		if err == nil && status.Code != http.StatusOK {
			err = fmt.Errorf("GET: status %d", status.Code)
		}
		return err
	}}
	measure := func(subject string) error {
		latencies, err := reads.Run(ctx, d)
		if err != nil {
			return err
		}
		p99 := milliseconds(load.Percentile(latencies, 0.99))
		record(subject, sample{Value: p99, P50: milliseconds(load.Percentile(latencies, 0.5)), P99: p99})
		return nil
	}
	if _, err := reads.Run(ctx, time.Second); err != nil { // opens connections and fills caches
		return err
	}
	beside := func(url, subject string) error {
		writing := make(chan error, 1)
		writes := b.writes(url, load.NewClient(), nil)
		go func() {
			_, err := writes.Run(ctx, d)
			writing <- err
		}()
		err := measure(subject)
		return errors.Join(err, <-writing)
	}
	for range b.rounds {
		if err := measure(withoutName); err != nil {
			return err
		}
		if err := beside(s.URL(), underWritesName); err != nil {
			return err
		}
		if err := beside(elsewhere.URL(), elsewhereName); err != nil {
			return err
		}
	}
	return nil
}

// batchOf makes the unique values of two write loads differ.
var batchOf atomic.Int64

// writes creates entities at a constant rate. If then is not nil, it is called after each
// acknowledgement with the path of the entity.
func (b *bench) writes(url string, client *http.Client, then func(ctx context.Context, n int, location string) error) load.OpenLoop {
	batch := batchOf.Add(1)
	name, _ := subjects.Person(0)
	return load.OpenLoop{PerSecond: writesPerSecond, Workers: 512, Do: func(ctx context.Context, n int) error {
		body := fmt.Sprintf(`{"name":%q,"email":"paced-%d-%d@example.com"}`, name, batch, n)
		got, err := load.Do(ctx, client, http.MethodPost, url+"/users", body)
		if err != nil {
			return err
		}
		if got.Code != http.StatusCreated {
			return fmt.Errorf("POST: status %d", got.Code)
		}
		if then == nil {
			return nil
		}
		return then(ctx, n, got.Location)
	}}
}
