package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// importRows returns the rows about bulk writes.
func importRows() []row {
	against := func(floor, goal float64) map[string]target { return map[string]target{bulkName: {floor, goal}} }
	subjects := []string{ownName, bulkName}
	return []row{
		{name: "NDJSON import", unit: "lines/s", subjects: subjects, targets: against(0.25, 0.6), slow: true,
			note: "one request with all lines, answered line by line once the log has decided.", run: (*bench).imports},
		{name: "replay of mixed events", unit: "events/s", subjects: subjects, targets: against(0.45, 0.7), slow: true,
			note: "`clusterlite replay`, its start included. Of ten events seven create, two replace and one deletes.", run: func(b *bench, ctx context.Context, record recordFunc) error {
				return b.again(ctx, record, func(s *clusterLite, dir string) (effort, error) {
					return s.tool(ctx, "replay", "--kafka-brokers", s.broker, "--out", filepath.Join(dir, "replay.db"), "--force")
				})
			}},
		{name: "rebuild of an idle node, mixed events", unit: "events/s", subjects: subjects, targets: against(0.45, 0.7), slow: true,
			note: "`clusterlite rebuild`, from the command to the swap.", run: func(b *bench, ctx context.Context, record recordFunc) error {
				return b.again(ctx, record, func(s *clusterLite, _ string) (effort, error) {
					return s.tool(ctx, "rebuild", "--admin", strings.TrimPrefix(s.admin, "http://"))
				})
			}},
	}
}

// imports measures the import of the number of users that a large store has.
func (b *bench) imports(ctx context.Context, record recordFunc) error {
	for range b.rounds {
		if err := b.importOnce(ctx, record); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) importOnce(ctx context.Context, record recordFunc) error {
	s, err := b.start(ctx, ownName, 0)
	if err != nil {
		return err
	}
	defer s.remove()
	own := s.subject.(*clusterLite)
	used := cpuTime(s.pids())
	took, err := own.importLines(ctx, b.users)
	if err != nil {
		return err
	}
	used = cpuTime(s.pids()) - used
	record(ownName, sample{Value: float64(b.users) / took.Seconds(), CPU: float64(used.Microseconds()) / float64(b.users)})
	limit, err := readBulk(ctx, own.file(s.dir))
	if err != nil {
		return err
	}
	return b.bulkOnce(ctx, limit, record)
}

// bulkOnce measures the limit once.
func (b *bench) bulkOnce(ctx context.Context, limit *bulk, record recordFunc) error {
	dir := b.newDir()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	took, err := limit.run(ctx, dir)
	record(bulkName, sample{Value: float64(limit.rows()) / took.Seconds()})
	return err
}

// file returns the path of the read model of a store that was started in dir.
func (s *clusterLite) file(dir string) string { return filepath.Join(dir, "data", "projection.db") }

// importLines creates entities with one import. It returns the time until the last result
// arrived.
func (s *clusterLite) importLines(ctx context.Context, entities int) (time.Duration, error) {
	var lines bytes.Buffer
	for n := range entities {
		name, email := person(n)
		fmt.Fprintf(&lines, "{\"name\":%q,\"email\":%q}\n", name, email)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/users", &lines)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	began := time.Now()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	s.ids = nil
	results := bufio.NewScanner(response.Body)
	for results.Scan() {
		var result struct {
			Status int
			ID     string
		}
		if err := json.Unmarshal(results.Bytes(), &result); err != nil || result.Status != http.StatusCreated {
			return 0, fmt.Errorf("got %s", results.Bytes())
		}
		s.ids = append(s.ids, result.ID)
	}
	if len(s.ids) != entities {
		return 0, fmt.Errorf("got %d results of %d lines: %w", len(s.ids), entities, results.Err())
	}
	return time.Since(began), nil
}
