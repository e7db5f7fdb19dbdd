package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

const (
	failingName = "beside a read model that has failed"
	slowName    = "beside a read model that can't keep up"
	neitherName = "without another read model"
	// besideRate is the number of writes per second, and of reads of each node.
	besideRate = 200
)

// otherModels are the read models beside which reads are measured, and the state that they reach. The one
// that fails stops at the first event. The slow one takes a tenth of a second or more for each event.
var otherModels = map[string]struct{ text, state string }{
	failingName: {"CREATE TABLE t (n INTEGER CHECK (n < 0));\n-- on: users.created\nINSERT INTO t VALUES (1);\n", "stopped"},
	slowName: {"CREATE TABLE t (n INTEGER);\nINSERT INTO t VALUES (0);\n-- on: users.created\n" +
		"UPDATE t SET n = (WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 1000000) SELECT max(i) FROM c);\n", "building"},
}

// namesModel is the read model that is read.
const namesModel = `CREATE TABLE names (id TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
-- on: users.created
INSERT INTO names VALUES (:id, :document ->> 'name');
`

// besideRows measure whether one read model affects reads of entities and of another read model.
func besideRows() []row {
	const note = "200 writes/s, and 200 strong reads/s on each of two query nodes, in turn: of entities, and of rows of a read model."
	return []row{{
		name: "GET beside a read model that has failed, p99 under writes", unit: "ms", lower: true, slow: true,
		subjects: []string{failingName, neitherName}, targets: map[string]target{neitherName: {1.05, 1}}, note: note,
		run: func(b *bench, ctx context.Context, record recordFunc) error {
			return b.readsBeside(ctx, failingName, record)
		},
	}, {
		name: "GET beside a read model that can't keep up, p99 under writes", unit: "ms", lower: true, slow: true,
		subjects: []string{slowName, neitherName}, note: note + " The slow read model uses a core all the time.",
		run: func(b *bench, ctx context.Context, record recordFunc) error {
			return b.readsBeside(ctx, slowName, record)
		},
	}}
}

// readsBeside reads from two nodes at the same time, so that what else the machine does affects both.
func (b *bench) readsBeside(ctx context.Context, other string, record recordFunc) error {
	s, err := b.start(ctx, subjects.ClusterLiteName, 200)
	if err != nil {
		return err
	}
	defer s.remove()
	own := s.Subject.(*subjects.ClusterLite)
	names := []string{other, neitherName}
	var nodes []subjects.QueryNode
	for i, name := range names {
		files := map[string]string{"names": namesModel}
		if name == other {
			files["other"] = otherModels[other].text
		}
		q, err := b.startWithModels(ctx, filepath.Join(s.dir, fmt.Sprint("query-", i)), own.Broker, files)
		if err != nil {
			return err
		}
		defer q.Stop()
		if err := awaitModel(ctx, q, "names", "following"); err != nil {
			return err
		}
		nodes = append(nodes, q)
	}
	if err := awaitModel(ctx, nodes[0], "other", otherModels[other].state); err != nil {
		return err
	}
	d := max(2*b.duration, 2*time.Second)
	if _, err := b.readBoth(ctx, own, nodes, time.Second); err != nil { // opens connections and fills caches
		return err
	}
	for range b.rounds {
		var before [2]time.Duration
		for i, q := range nodes {
			before[i] = process.CPUTime(q.PIDs())
		}
		took, err := b.readBoth(ctx, own, nodes, d)
		if err != nil {
			return err
		}
		for i, q := range nodes {
			p99, reads := milliseconds(load.Percentile(took[i], 0.99)), len(took[i])
			record(names[i], sample{Value: p99, P50: milliseconds(load.Percentile(took[i], 0.5)), P99: p99, CPU: float64((process.CPUTime(q.PIDs()) - before[i]).Microseconds()) / float64(reads)})
		}
	}
	return nil
}

// startWithModels starts a query service with read models.
func (b *bench) startWithModels(ctx context.Context, dir, broker string, files map[string]string) (subjects.QueryNode, error) {
	folder := filepath.Join(dir, "models")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return subjects.QueryNode{}, err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name+".sql"), []byte(text), 0o600); err != nil {
			return subjects.QueryNode{}, err
		}
	}
	return subjects.StartQuery(ctx, b.programs, filepath.Join(dir, "node"), broker, "CLUSTERLITE_MODELS_DIR="+folder)
}

// readBoth writes, and reads from the nodes in turn. It returns how long the reads of each took, sorted.
func (b *bench) readBoth(ctx context.Context, s *subjects.ClusterLite, nodes []subjects.QueryNode, d time.Duration) (took [2][]time.Duration, err error) {
	var mu sync.Mutex
	client := load.NewClient()
	reads := load.OpenLoop{PerSecond: 2 * besideRate, Workers: 256, Do: func(ctx context.Context, n int) error {
		node := (n + n/2) % 2 // 0 1 1 0: each node is the first of two as often as the other
		path := "/users/" + s.IDs[n*7919%len(s.IDs)]
		if n/4%2 == 0 {
			path = "/models/names/names?id=" + s.IDs[n*7919%len(s.IDs)]
		}
		began := time.Now()
		status, err := load.Do(ctx, client, http.MethodGet, nodes[node].URL+path, "")
		if err == nil && status.Code != http.StatusOK {
			err = fmt.Errorf("GET %s: status %d", path, status.Code)
		}
		mu.Lock()
		defer mu.Unlock()
		took[node] = append(took[node], time.Since(began))
		return err
	}}
	writes := b.writes(s.URL(), load.NewClient(), nil)
	writes.PerSecond = besideRate
	writing := make(chan error, 1)
	go func() {
		_, err := writes.Run(ctx, d)
		writing <- err
	}()
	_, err = reads.Run(ctx, d)
	if err = errors.Join(err, <-writing); err != nil {
		return took, err
	}
	for i := range took {
		slices.Sort(took[i])
	}
	return took, nil
}

// awaitModel waits until a read model has a state.
func awaitModel(ctx context.Context, q subjects.QueryNode, name, state string) error {
	client := load.NewClient()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		got, err := modelState(ctx, client, q.Admin, name)
		if err != nil {
			return err
		}
		if got == state {
			return nil
		}
	}
	return fmt.Errorf("the read model %s is not %s after 30 seconds", name, state)
}

// modelState returns the state of a read model that serves, or of its first build.
func modelState(ctx context.Context, client *http.Client, admin, name string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/models", http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	var list struct {
		Models []struct {
			Model             string
			Serving, Building *struct{ State string }
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		return "", fmt.Errorf("GET /models: status %d: %w", response.StatusCode, err)
	}
	for _, m := range list.Models {
		switch {
		case m.Model != name:
		case m.Serving != nil:
			return m.Serving.State, nil
		case m.Building != nil:
			return m.Building.State, nil
		}
	}
	return "", nil
}
