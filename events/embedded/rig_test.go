package embedded

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const testTopic = "clusterlite.events"

// logged collects a logger's output.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func start(t testing.TB, dir string) *Broker {
	t.Helper()
	b, err := Start(dir, "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// client returns a Kafka client that is independent of the project's own one.
func client(t testing.TB, b *Broker, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic(testTopic), kgo.ProducerLinger(0),
		kgo.MetadataMinAge(10 * time.Millisecond),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// makeTopic creates the topic with ClusterLite's settings, and with those in more.
func makeTopic(t testing.TB, c *kgo.Client, more ...string) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = testTopic, 1, 1
	settings := append([]string{
		"retention.ms", "-1", "retention.bytes", "-1", "cleanup.policy", "delete",
		"message.timestamp.type", "LogAppendTime", "max.message.bytes", "8388608",
	}, more...)
	for i := 0; i < len(settings); i += 2 {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = settings[i], &settings[i+1]
		topic.Configs = append(topic.Configs, config)
	}
	request := kmsg.NewCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(soon(t), c)
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("create the topic: got %v, want no error", err)
	}
}

// write appends n records one by one and returns their values. Each is acknowledged before the
// next is sent.
func write(t testing.TB, c *kgo.Client, from, n int) []string {
	t.Helper()
	var values []string
	for i := from; i < from+n; i++ {
		value := fmt.Sprintf(`{"n":%d,"text":"%0*d"}`, i, 20+i%50, i)
		if err := c.ProduceSync(soon(t), &kgo.Record{Key: []byte("users/x"), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatalf("write %d: got %v, want no error", i, err)
		}
		values = append(values, value)
	}
	return values
}

// read returns the records from the beginning of the log to its end.
func read(t testing.TB, b *Broker) []*kgo.Record {
	t.Helper()
	info := b.cluster.PartitionInfo(testTopic, 0)
	if info == nil {
		return nil
	}
	c := client(t, b, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{testTopic: {0: kgo.NewOffset().AtStart()}}), kgo.FetchMaxWait(50*time.Millisecond))
	defer c.Close()
	var records []*kgo.Record
	for int64(len(records)) < info.HighWatermark-info.LogStartOffset {
		fetches := c.PollFetches(soon(t))
		if err := fetches.Err(); err != nil {
			t.Fatalf("got %v after reading %d records, want no error", err, len(records))
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

func values(records []*kgo.Record) []string {
	var v []string
	for _, r := range records {
		v = append(v, string(r.Value))
	}
	return v
}

// kill copies a running broker's folder. The copy is what a SIGKILL would leave behind, because
// the files hold everything that was written, synced or not.
func kill(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "broker")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// contents returns the contents of the files in a folder, by name.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// lay writes files into a new folder and returns its path.
func lay(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "broker")
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// segmentFile returns the path of a file of the log, relative to the broker's folder.
func segmentFile(name string) string {
	return filepath.Join("partitions", testTopic+"-0", name)
}

// checkStopped checks the folder of a broker that is not running.
func checkStopped(dir string) error {
	_, err := checkFolder(dir, "")
	return err
}
