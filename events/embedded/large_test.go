package embedded

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// largeLog writes a log of n events of about 300 bytes. Each event is in its own batch, as after
// a POST. Segments and settings are those of ClusterLite's topic.
func largeLog(t testing.TB, dir string, n int) (bytes int64) {
	t.Helper()
	id := []byte("0123456789abcdef")
	folder := filepath.Join(dir, "partitions", testTopic+"-0")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]any{
		"meta.json":   map[string]any{"version": 1, "cluster_id": clusterID},
		"topics.json": topics{Version: 1, Topics: []topic{{Name: testTopic, ID: id, Partitions: 1, Replicas: 1, Configs: map[string]string{"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}}}},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), encode(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := kmsg.Record{Key: []byte("users/0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d"), Value: []byte(strings.Repeat("x", 180))}
	r.Length = int32(len(r.AppendTo(nil)) - 2) // the length itself takes two bytes
	records := r.AppendTo(nil)
	batch := kmsg.RecordBatch{Magic: 2, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: records, FirstTimestamp: 1, MaxTimestamp: 1}
	raw := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-batchPrefix))
	binary.BigEndian.PutUint32(raw[atCRC:], crc32.Checksum(raw[atAttributes:], castagnoli))
	entry := indexed(parseHeader(raw))
	var segment, index *bufio.Writer
	var files []*os.File
	flush := func() {
		if segment != nil {
			_ = segment.Flush()
			_ = index.Flush()
		}
		for _, f := range files {
			_ = f.Close()
		}
		files = nil
	}
	create := func(name string) *bufio.Writer {
		f, err := os.Create(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
		return bufio.NewWriterSize(f, 1<<20)
	}
	const segmentBytes = 100 << 20
	size := segmentBytes
	for i := range n {
		if size >= segmentBytes {
			flush()
			segment, index, size = create(fmt.Sprintf("%d.dat", i)), create(fmt.Sprintf("%d.idx", i)), 0
		}
		binary.BigEndian.PutUint64(raw, uint64(i)) // the checksum does not cover the offset
		_, _ = segment.Write(raw)
		_, _ = index.Write(entry)
		size += len(raw)
	}
	flush()
	return int64(n) * int64(len(raw))
}

// TestLargeLog measures how long it takes to check and to open a log, and how much memory the
// broker then uses. CLUSTERLITE_LARGE_LOG sets the number of events. With
// CLUSTERLITE_LARGE_LOG_BARE=1 it measures kfake without this package.
func TestLargeLog(t *testing.T) {
	n := 20_000
	if text := os.Getenv("CLUSTERLITE_LARGE_LOG"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	bytes := largeLog(t, dir, n)
	report := func(what string, began time.Time) {
		took := time.Since(began)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t.Logf("%s: %v, %.0f MB/s; heap %d MB, %s", what, took.Round(time.Millisecond), float64(bytes)/1e6/took.Seconds(), m.HeapAlloc/1_000_000, peak(t))
	}
	report(fmt.Sprintf("%d events, %d MB", n, bytes/1_000_000), time.Now())
	if os.Getenv("CLUSTERLITE_LARGE_LOG_BARE") != "" {
		began := time.Now()
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir), kfake.SyncWrites())
		if err != nil {
			t.Fatal(err)
		}
		report("kfake alone", began)
		c.Close()
		return
	}
	began := time.Now()
	if err := checkStopped(dir); err != nil {
		t.Fatal(err)
	}
	report("check", began)
	for _, what := range []string{"start after a kill", "start after a clean stop"} {
		began = time.Now()
		b, err := Start(dir, "127.0.0.1:0", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		report(what, began)
		if got := b.cluster.PartitionInfo(testTopic, 0).HighWatermark; got != int64(n) {
			t.Errorf("got the end of the log %d, want %d", got, n)
		}
		b.Close()
	}
}

// peak returns the maximum memory that the process has used so far.
func peak(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	return "peak " + strings.TrimSpace(line)
}
