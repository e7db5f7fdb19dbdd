package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

const (
	failingName    = "beside a read model that has failed"
	noOtherName    = "without a further read model"
	slowModelName  = "beside a read model that can't keep up"
	besideRate     = 200 // reads and writes per second
	modelsInterval = 100 * time.Millisecond
)

// otherModels are the models beside which reads are measured. The one that fails stops at the first event,
// and the slow one takes a tenth of a second or more for each.
var otherModels = map[string]struct{ text, state string }{
	noOtherName: {},
	failingName: {"CREATE TABLE t (n INTEGER CHECK (n < 0));\n-- on: users.created\nINSERT INTO t VALUES (1);\n", "stopped"},
	slowModelName: {"CREATE TABLE t (n INTEGER);\nINSERT INTO t VALUES (0);\n-- on: users.created\n" +
		"UPDATE t SET n = (WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 1000000) SELECT max(i) FROM c);\n", "building"},
}

// readModel is the model that is read.
const readModel = `CREATE TABLE names (id TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
-- on: users.created
INSERT INTO names VALUES (:id, :document ->> 'name');
`

// modelReadRows measure whether one read model affects reads of entities and of another one.
func modelReadRows() []row {
	return []row{{
		name: "GET beside other read models, CPU of the node", unit: "us", lower: true, slow: true,
		subjects: []string{failingName, noOtherName, slowModelName}, targets: map[string]target{noOtherName: {1.05, 1}},
		note: "200 strong reads/s, of entities and of the rows of a read model, and 200 writes/s on a query node without a further read model, and then with one that has failed or that is slow, in turn. The value is the CPU time of the node for each read and write. The slow one uses a core all the time.",
		run:  (*bench).readsBesideModels,
	}}
}

func (b *bench) readsBesideModels(ctx context.Context, record recordFunc) error {
	s, err := b.start(ctx, subjects.ClusterLiteName, 200)
	if err != nil {
		return err
	}
	defer s.remove()
	folder := filepath.Join(s.dir, "models")
	if err := errors.Join(os.MkdirAll(folder, 0o750), os.WriteFile(filepath.Join(folder, "names.sql"), []byte(readModel), 0o600)); err != nil {
		return err
	}
	own := s.Subject.(*subjects.ClusterLite)
	q, err := subjects.StartQuery(ctx, b.programs, s.dir+"/query", own.Broker, "CLUSTERLITE_MODELS_DIR="+folder)
	if err != nil {
		return err
	}
	defer q.Stop()
	if err := awaitModel(ctx, q, "names", "following"); err != nil {
		return err
	}
	for round := range b.rounds {
		for i := range len(otherModels) { // each round begins with another one
			subject := []string{failingName, noOtherName, slowModelName}[(i+round)%len(otherModels)]
			one, err := b.readBeside(ctx, own, q, filepath.Join(folder, "other.sql"), subject)
			if err != nil {
				return fmt.Errorf("%s: %w", subject, err)
			}
			record(subject, one)
		}
	}
	return nil
}

// readBeside measures reads while a further model exists.
func (b *bench) readBeside(ctx context.Context, s *subjects.ClusterLite, q subjects.QueryNode, path, subject string) (one sample, err error) {
	other := otherModels[subject]
	if other.text != "" {
		if err := errors.Join(os.WriteFile(path+".new", []byte(other.text), 0o600), os.Rename(path+".new", path)); err != nil {
			return one, err
		}
	}
	if err := awaitModel(ctx, q, "other", other.state); err != nil {
		return one, err
	}
	client := load.NewClient()
	reads := load.OpenLoop{PerSecond: besideRate, Workers: 256, Do: func(ctx context.Context, n int) error {
		path := "/users/" + s.IDs[n*7919%len(s.IDs)]
		if n%2 == 0 {
			path = "/models/names/names?id=" + s.IDs[n*7919%len(s.IDs)]
		}
		status, err := load.Do(ctx, client, http.MethodGet, q.URL+path, "")
		if err == nil && status.Code != http.StatusOK {
			err = fmt.Errorf("GET %s: status %d", path, status.Code)
		}
		return err
	}}
	writes := b.writes(s.URL(), load.NewClient(), nil)
	writes.PerSecond = besideRate
	d := max(2*b.duration, 2*time.Second)
	writing := make(chan error, 1)
	go func() {
		_, err := writes.Run(ctx, d)
		writing <- err
	}()
	before := process.CPUTime(q.PIDs())
	latencies, err := reads.Run(ctx, d)
	if err = errors.Join(err, <-writing); err != nil {
		return one, err
	}
	after := process.CPUTime(q.PIDs())
	p99 := milliseconds(load.Percentile(latencies, 0.99))
	cpu := float64((after - before).Microseconds()) / float64(len(latencies))
	one = sample{Value: cpu, P50: milliseconds(load.Percentile(latencies, 0.5)), P99: p99, CPU: cpu}
	if other.text == "" {
		return one, nil
	}
	return one, errors.Join(os.Remove(path), awaitModel(ctx, q, "other", ""))
}

// awaitModel waits until a model has a state. The empty state stands for no model.
func awaitModel(ctx context.Context, q subjects.QueryNode, name, state string) error {
	client := load.NewClient()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(modelsInterval) {
		got, err := modelState(ctx, client, q.Admin, name)
		if err != nil {
			return err
		}
		if got == state {
			return nil
		}
	}
	return fmt.Errorf("the model %s is not %q after 30 seconds", name, state)
}

// modelState returns the state of the build of a model that serves, or of its first build.
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
