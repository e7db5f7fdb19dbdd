package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/clusterlite/clusterlite/bench/bulk"
	"github.com/clusterlite/clusterlite/bench/process"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

// importRows returns the rows about bulk writes.
func importRows() []row {
	against := func(floor, goal float64) map[string]target { return map[string]target{bulk.Name: {floor, goal}} }
	compared := []string{subjects.ClusterLiteName, bulk.Name}
	return []row{
		{name: "NDJSON import", unit: "lines/s", subjects: compared, targets: against(0.25, 0.6), slow: true,
			note: "one request with all lines, answered line by line once the log has decided.", run: (*bench).imports},
		{name: "replay of mixed events", unit: "events/s", subjects: compared, targets: against(0.45, 0.7), slow: true,
			note: "`clusterlite replay`, its start included. Of ten events seven create, two replace and one deletes.", run: func(b *bench, ctx context.Context, record recordFunc) error {
				return b.again(ctx, record, func(s *subjects.ClusterLite, dir string) (subjects.Effort, error) {
					return s.Tool(ctx, "replay", "--kafka-brokers", s.Broker, "--out", filepath.Join(dir, "replay.db"), "--force")
				})
			}},
		{name: "rebuild of an idle node, mixed events", unit: "events/s", subjects: compared, targets: against(0.45, 0.7), slow: true,
			note: "`clusterlite rebuild`, from the command to the swap.", run: func(b *bench, ctx context.Context, record recordFunc) error {
				return b.again(ctx, record, func(s *subjects.ClusterLite, _ string) (subjects.Effort, error) {
					return s.Tool(ctx, "rebuild", "--admin", strings.TrimPrefix(s.Admin, "http://"))
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
	s, err := b.start(ctx, subjects.ClusterLiteName, 0)
	if err != nil {
		return err
	}
	defer s.remove()
	own := s.Subject.(*subjects.ClusterLite)
	used := process.CPUTime(s.PIDs())
	took, err := own.Import(ctx, b.users)
	if err != nil {
		return err
	}
	used = process.CPUTime(s.PIDs()) - used
	record(subjects.ClusterLiteName, sample{Value: float64(b.users) / took.Seconds(), CPU: float64(used.Microseconds()) / float64(b.users)})
	limit, err := bulk.Read(ctx, own.File(s.dir))
	if err != nil {
		return err
	}
	return b.bulkOnce(ctx, limit, record)
}

// bulkOnce measures the limit once.
func (b *bench) bulkOnce(ctx context.Context, limit *bulk.Bulk, record recordFunc) error {
	dir := b.newDir()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	took, err := limit.Run(ctx, dir)
	record(bulk.Name, sample{Value: float64(limit.Rows()) / took.Seconds()})
	return err
}
