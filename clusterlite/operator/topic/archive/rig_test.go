package archive_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/clusterlite/operator/topic/archive"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/events/wire"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

const topic = "clusterlite.events"

// A store is a log on its own broker.
type store struct {
	*eventlog.Log
	t    testing.TB
	addr string
}

func newStore(t testing.TB) *store {
	t.Helper()
	b := servicetest.StartBroker(t)
	return &store{Log: b.OpenLog(), t: t, addr: b.Addr()}
}

// holds appends events, and creates the topic if it does not exist.
func (s *store) holds(all ...events.Event) *store {
	s.t.Helper()
	_, err := s.Prepare(servicetest.Context(s.t))
	if err == nil && len(all) > 0 {
		_, err = s.Append(servicetest.Context(s.t), all...)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return s
}

// at appends an event as if the broker had received it at the given time.
func (s *store) at(when time.Time, e events.Event) *store {
	s.t.Helper()
	record := wire.Record(topic, wire.NewMessage(e))
	record.Timestamp = when
	return s.raw(record)
}

func (s *store) raw(records ...*kgo.Record) *store {
	s.t.Helper()
	client := s.client()
	defer client.Close()
	if err := client.ProduceSync(servicetest.Context(s.t), records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	return s
}

func (s *store) client() *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.DefaultProduceTopic(topic))
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// onWritersClocks creates the topic with timestamps set by the writers, so that a test can
// choose them.
func (s *store) onWritersClocks() *store {
	s.t.Helper()
	client := s.client()
	defer client.Close()
	wanted := kmsg.NewCreateTopicsRequestTopic()
	wanted.Topic, wanted.NumPartitions, wanted.ReplicationFactor = topic, 1, 1
	for name, value := range map[string]string{"message.timestamp.type": "CreateTime", "retention.ms": "-1", "max.message.bytes": "8388608"} {
		wanted.Configs = append(wanted.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: &value})
	}
	request := kmsg.NewCreateTopicsRequest()
	request.Topics = []kmsg.CreateTopicsRequestTopic{wanted}
	if response, err := request.RequestWith(servicetest.Context(s.t), client); err != nil || response.Topics[0].ErrorCode != 0 {
		s.t.Fatalf("create a topic: got %v, %+v, want success", err, response)
	}
	return s
}

func (s *store) end() events.Position {
	s.t.Helper()
	info, err := s.Describe(servicetest.Context(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	return info.End
}

// records returns all records of the log.
func (s *store) records() (all []events.Record) {
	s.t.Helper()
	subscription, err := s.Subscribe(0, "")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = subscription.Close() }()
	for end := s.end(); events.Position(len(all)) < end; {
		batch, err := subscription.Take(servicetest.Context(s.t), 1000)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, batch...)
	}
	return all
}

func quietly(string, int64, int64, string) {}

// export exports to a file of this name in a temporary folder.
func (s *store) export(name string) (path string, done archive.Exported) {
	s.t.Helper()
	path = filepath.Join(s.t.TempDir(), name)
	f, err := archive.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	done, err = archive.Export(servicetest.Context(s.t), archive.ExportOptions{Log: s.Log, Until: offline.Until{}, Progress: quietly}, f)
	if err := errors.Join(err, f.Commit()); err != nil {
		s.t.Fatal(err)
	}
	return path, done
}

func (s *store) importFile(path string) (archive.Imported, error) {
	s.t.Helper()
	return archive.Import(servicetest.Context(s.t), archive.ImportOptions{Path: path, Log: s.Log, Progress: quietly})
}

// imported imports a file, and fails the test if that fails.
func (s *store) imported(path string) archive.Imported {
	s.t.Helper()
	done, err := s.importFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if !done.Equal() {
		s.t.Fatalf("got different digests, want equal ones: %+v", done)
	}
	return done
}

// file returns the path of a temporary file with this content.
func file(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.jsonl")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
