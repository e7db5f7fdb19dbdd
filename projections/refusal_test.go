package projections_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

func (r *rig) kafka() *kgo.Client {
	r.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(r.broker.Addr()), kgo.DefaultProduceTopic("clusterlite.events"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

func (r *rig) deleteTopic() {
	r.t.Helper()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = kmsg.StringPtr("clusterlite.events")
	request := kmsg.NewDeleteTopicsRequest()
	request.TopicNames, request.Topics = []string{"clusterlite.events"}, []kmsg.DeleteTopicsRequestTopic{topic}
	if _, err := request.RequestWith(deadline(r.t), r.kafka()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) deleteRecords(before int64) {
	r.t.Helper()
	partition := kmsg.NewDeleteRecordsRequestTopicPartition()
	partition.Offset = before
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic, topic.Partitions = "clusterlite.events", []kmsg.DeleteRecordsRequestTopicPartition{partition}
	request := kmsg.NewDeleteRecordsRequest()
	request.Topics = []kmsg.DeleteRecordsRequestTopic{topic}
	if _, err := request.RequestWith(deadline(r.t), r.kafka()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) produceFormat(format string) {
	r.t.Helper()
	err := r.kafka().ProduceSync(deadline(r.t), &kgo.Record{Headers: []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_type", Value: []byte("clusterlite.users.archived")}, {Key: "ce_format", Value: []byte(format)},
	}}).FirstErr()
	if err != nil {
		r.t.Fatal(err)
	}
}

// wantRefusal waits until the node stops for good. Run returns a refusal only at start. Later the
// projection reports it.
func wantRefusal(t testing.TB, n *node, want refusal.Reason) {
	t.Helper()
	err := n.WaitFor(deadline(t), 1<<40)
	var refused *refusal.Error
	if !errors.As(err, &refused) || refused.Reason != want {
		t.Fatalf("got %v, want a refusal (%s)", err, want)
	}
	if !strings.HasPrefix(err.Error(), string(want)) || !strings.HasSuffix(err.Error(), ".") {
		t.Errorf("got message %q, want it to begin with %s and to end with a full stop", err, want)
	}
	if !errors.Is(n.Err(), err) || n.Ready(time.Hour) == nil {
		t.Errorf("got Err %v and Ready %v, want %v and an error", n.Err(), n.Ready(time.Hour), err)
	}
}

func refusedAtStart(t testing.TB, n *node, want refusal.Reason) {
	t.Helper()
	wantRefusal(t, n, want)
	var refused *refusal.Error
	if err := receive(t, n.ran); !errors.As(err, &refused) || refused.Reason != want {
		t.Errorf("got %v from Run, want a refusal (%s)", err, want)
	}
	n.ran <- nil // close reads it
}

func TestARecreatedTopicIsRefused(t *testing.T) {
	t.Run("at start", func(t *testing.T) {
		r := newRig(t)
		dir := t.TempDir()
		if err := r.node(dir, 0).at(r.append(user(uuid.NewString(), "Ada", ""))).close(); err != nil {
			t.Fatal(err)
		}
		r.deleteTopic()
		refusedAtStart(t, r.node(dir, 0), refusal.Topic)
	})
	t.Run("while it runs", func(t *testing.T) {
		r := newRig(t)
		n := r.node(t.TempDir(), 0).at(r.append(user(uuid.NewString(), "Ada", "")))
		r.deleteTopic()
		if _, err := r.open("clusterlite.events").Prepare(deadline(t)); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, n, refusal.Topic)
		if err := n.close(); err != nil {
			t.Errorf("got %v from Run, want nil", err)
		}
	})
}

func TestAnotherTopicIsRefused(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	if err := r.node(dir, 0).at(r.append(user(uuid.NewString(), "Ada", ""))).close(); err != nil {
		t.Fatal(err)
	}
	other := r.open("other.events")
	refusedAtStart(t, r.nodeOn(other, dir, 0), refusal.Topic)
	// The start must not create the topic, because an empty one would hide that the topic was lost or
	// never existed.
	if _, err := other.Describe(deadline(t)); !errors.Is(err, eventlog.ErrNoTopic) {
		t.Errorf("got %v, want %v", err, eventlog.ErrNoTopic)
	}
}

func TestDeletedRecordsAreRefused(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	if err := r.node(dir, 0).at(r.append(user(uuid.NewString(), "Ada", ""))).close(); err != nil {
		t.Fatal(err)
	}
	r.append(user(uuid.NewString(), "Bob", ""), user(uuid.NewString(), "Eve", ""))
	r.deleteRecords(2)
	refusedAtStart(t, r.node(dir, 0), refusal.Gap)
	refusedAtStart(t, r.node(t.TempDir(), 0), refusal.Gap)
}

func TestAShorterLogIsRefused(t *testing.T) {
	r := newRig(t)
	p := r.append(user(uuid.NewString(), "Ada", ""), user(uuid.NewString(), "Bob", ""))
	dir := t.TempDir()
	if err := r.node(dir, 0).at(p).close(); err != nil {
		t.Fatal(err)
	}
	setPosition(t, dir, 9)
	refusedAtStart(t, r.node(dir, 0), refusal.Ahead)
}

// A log that lost records and has grown since looks complete if only positions are compared.
func TestALogWithOtherRecordsIsRefused(t *testing.T) {
	t.Parallel() // it mostly waits
	r := newRig(t)
	dir := t.TempDir()
	r.append(user(uuid.NewString(), "Ada", ""))
	back := r.backup()
	if err := r.node(dir, 0).at(r.append(user(uuid.NewString(), "Bob", ""))).close(); err != nil {
		t.Fatal(err)
	}
	running := r.node(dir, 0)
	for running.Ready(0) != nil {
		time.Sleep(time.Millisecond) // polling
	}
	back()
	r.log = r.open("clusterlite.events") // the producer of the old log would continue its sequence numbers
	end := r.append(user(uuid.NewString(), "Eve", ""), user(uuid.NewString(), "Zoe", ""))
	wantRefusal(t, running, refusal.Other)
	// A node that is killed as soon as it is known to have stopped must not serve again.
	if !notedOther(t, dir) {
		t.Error("the node reports that the log has other records before its file does")
	}
	if err := running.close(); err != nil {
		t.Errorf("got %v from Run, want nil", err)
	}
	refusedAtStart(t, r.node(dir, 0), refusal.Other)

	built, err := offline.Inspect(deadline(t), filepath.Join(dir, datafolder.FileName))
	if err != nil {
		t.Fatal(err)
	}
	info, err := r.log.Describe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	var refused *refusal.Error
	if err := built.CheckLog(deadline(t), r.log, info); !errors.As(err, &refused) || refused.Reason != refusal.Other {
		t.Errorf("a copy: got %v, want a refusal (%s)", err, refusal.Other)
	}
	options := projections.Options{Dir: dir, Log: r.log, Collections: usersOnly(t)}
	var lost *datafolder.LossError
	if _, err := projections.RebuildDir(deadline(t), options, projections.RebuildOptions{}, nil); !errors.As(err, &lost) || lost.Missing["users"] != 1 {
		t.Errorf("rebuild: got %v, want a LossError of one user", err)
	}
	done, err := projections.RebuildDir(deadline(t), options, projections.RebuildOptions{Force: true}, nil)
	if err != nil || !errors.As(done.Incomparable, &refused) || refused.Reason != refusal.Other || done.Kept == "" {
		t.Errorf("forced rebuild: got %+v, %v, want the old file kept, and a refusal to compare it (%s)", done, err, refusal.Other)
	}
	if n := living(t, r.node(dir, 0).at(end)); n != 3 {
		t.Errorf("got %d entities after the rebuild, want 3", n)
	}
}

// notedOther reports whether the file of a running node records that the log has other records.
func notedOther(t testing.TB, dir string) (noted bool) {
	t.Helper()
	db, err := sqlx.Open("sqlite3", filepath.Join(dir, datafolder.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Get(&noted, `SELECT count(*) FROM _meta WHERE name = 'other_record'`), db.Close()); err != nil {
		t.Fatal(err)
	}
	return noted
}

// backup copies the broker's folder. The function that it returns restores the copy.
func (r *rig) backup() (restore func()) {
	r.t.Helper()
	addr, kept := r.broker.Addr(), r.t.TempDir()
	swap := func(from, to string) {
		r.broker.Close()
		if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
			r.t.Fatal(err)
		}
		r.startBroker(addr)
	}
	swap(r.dir, kept)
	return func() { r.t.Helper(); swap(kept, r.dir) }
}

func TestANewerFormatStopsTheNode(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	p := r.append(user(uuid.NewString(), "Ada", ""))
	r.produceFormat("3")
	r.append(user(uuid.NewString(), "Bob", ""))
	for range 2 { // a restart changes nothing
		n := r.node(dir, 0)
		wantRefusal(t, n, refusal.Format)
		if n.Position() != p || living(t, n) != 1 {
			t.Errorf("got position %d, want %d with 1 user", n.Position(), p)
		}
		if !strings.Contains(n.Err().Error(), "format 3") {
			t.Errorf("got message %q, want it to name format 3", n.Err())
		}
		if err := n.close(); err != nil {
			t.Errorf("got %v from Run, want nil", err)
		}
	}
}

func TestAFileOfAnotherVersionIsRefused(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	if err := r.node(dir, 0).at(events.Position(0)).close(); err != nil {
		t.Fatal(err)
	}
	setVersion(t, dir, 99)
	_, err := projections.Open(deadline(t), projections.Options{Dir: dir, Log: r.log, Collections: usersOnly(t)})
	var refused *refusal.Error
	if !errors.As(err, &refused) || refused.Reason != refusal.Schema {
		t.Errorf("got %v, want a refusal (%s)", err, refusal.Schema)
	}
}

func TestALockedFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	lock, err := datafolder.LockDir(dir, "one")
	if err != nil {
		t.Fatal(err)
	}
	_, err = datafolder.LockDir(dir, "two")
	var locked *datafolder.LockedError
	if !errors.As(err, &locked) || !strings.Contains(err.Error(), "node one, process") {
		t.Errorf("got %v, want a LockedError that names node one and its process", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := datafolder.LockDir(dir, "two")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestABrokerOutageIsNoRefusal(t *testing.T) {
	r := newRig(t)
	n := r.node(t.TempDir(), 0).at(r.append(user(uuid.NewString(), "Ada", "")))
	addr := r.broker.Addr()
	r.broker.Close()
	for r.log.Reachable() {
		_, _ = r.log.End(deadline(t))
	}
	if n.Err() != nil || living(t, n) != 1 {
		t.Errorf("got %v, want no error and 1 user", n.Err())
	}
	r.startBroker(addr)
	for !r.log.Reachable() {
		time.Sleep(10 * time.Millisecond) // polling
	}
	n.at(r.append(user(uuid.NewString(), "Bob", "")))
}
