package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/clusterlite/clusterlite/bench/subjects"
)

// fileRows returns the rows about the data that is written to the disk.
func fileRows() []row {
	return []row{{
		name: "WAL per entity, import", unit: "bytes", lower: true, slow: true,
		subjects: []string{subjects.ClusterLiteName}, targets: map[string]target{"": {3 << 10, 1.5 * (1 << 10)}},
		note: "what `serve` writes to the read model's write-ahead log, as strace counts it, while entities of 170 bytes are imported: ten times as many as a small store has. Measured once; it hardly varies.",
		missing: func() string {
			if _, err := exec.LookPath("strace"); err != nil {
				return "not measured: this machine lacks strace"
			}
			return ""
		},
		run: (*bench).walBytes,
	}}
}

func (b *bench) walBytes(ctx context.Context, record recordFunc) error {
	s, err := subjects.New(ctx, b.programs, subjects.ClusterLiteName)
	if err != nil {
		return err
	}
	own, dir := s.(*subjects.ClusterLite), b.newDir()
	defer os.RemoveAll(dir)
	trace := filepath.Join(b.dir, "trace")
	defer os.Remove(trace)
	own.Under = []string{"strace", "-f", "--seccomp-bpf", "-qq", "-y", "-e", "trace=pwrite64", "-e", "signal=none", "-s", "0", "-o", trace}
	p, err := own.Start(ctx, dir)
	if err != nil {
		return err
	}
	entities := 10 * b.entities
	err = own.Fill(ctx, entities)
	p.Stop() // strace passes the signal on, and writes the rest
	if err != nil {
		return err
	}
	file, err := os.Open(trace)
	if err != nil {
		return err
	}
	defer file.Close()
	written, err := sumWAL(file)
	if err == nil && written == 0 {
		err = fmt.Errorf("strace saw no write to a write-ahead log")
	}
	if err == nil {
		record(subjects.ClusterLiteName, sample{Value: float64(written) / float64(entities)})
	}
	return err
}

// These patterns match a write to a write-ahead log in the output of strace, or the end of one.
// Lines of another thread may come in between.
var (
	walWrite  = regexp.MustCompile(`^(\d+) +pwrite64\(\d+<[^>]*-wal>.*= (\d+)$`)
	walBegin  = regexp.MustCompile(`^(\d+) +pwrite64\(\d+<[^>]*-wal>.*<unfinished \.\.\.>$`)
	walResume = regexp.MustCompile(`^(\d+) +<\.\.\. pwrite64 resumed>.*= (\d+)$`)
)

// sumWAL returns the sum of the bytes that were written to write-ahead logs.
func sumWAL(trace io.Reader) (sum int64, err error) {
	lines := bufio.NewScanner(trace)
	unfinished := map[string]bool{} // threads with a write whose result follows on another line
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		found := walWrite.FindStringSubmatch(line)
		if found == nil {
			if begin := walBegin.FindStringSubmatch(line); begin != nil {
				unfinished[begin[1]] = true
				continue
			}
			found = walResume.FindStringSubmatch(line)
			if found == nil {
				continue
			}
			if !unfinished[found[1]] {
				continue
			}
			delete(unfinished, found[1])
		}
		n, err := strconv.ParseInt(found[2], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, lines.Err()
}
