package embedded

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
)

// A source gives an appender the batches that a test adds.
type source struct {
	appender *inprocess.Appender
	results  chan result
	ended    chan struct{}

	mu      sync.Mutex
	batches [][]*kgo.Record
	changes int
}

type result struct {
	base int64
	at   time.Time
	err  error
}

func newSource() *source {
	return &source{results: make(chan result, 100), ended: make(chan struct{})}
}

func attach(t testing.TB, b *Broker) *source {
	t.Helper()
	s := newSource()
	var err error
	if s.appender, err = b.Attach(soon(t), testTopic, s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.appender.Close)
	return s
}

func (s *source) Take() []*kgo.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.batches) == 0 {
		return nil
	}
	next := s.batches[0]
	if s.batches = s.batches[1:]; len(s.batches) > 0 {
		s.appender.Wake()
	}
	return next
}

func (s *source) Appended(base int64, at time.Time, err error) { s.results <- result{base, at, err} }

func (s *source) Ended() { close(s.ended) }

func (s *source) Changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
}

func (s *source) add(values ...string) {
	var batch []*kgo.Record
	for _, v := range values {
		batch = append(batch, &kgo.Record{Key: []byte("users/x"), Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "empty", Value: []byte{}}, {Key: "none"}}})
	}
	s.mu.Lock()
	s.batches = append(s.batches, batch)
	s.mu.Unlock()
	s.appender.Wake()
}

func (s *source) result(t testing.TB) result {
	t.Helper()
	select {
	case r := <-s.results:
		return r
	case <-soon(t).Done():
		t.Fatal("got no outcome, want one")
		return result{}
	}
}

// TestAnAppendersRecordsAreLikeOthers appends in turn through an appender and a Kafka client. A
// client must read all of them alike, before and after the broker was started again.
func TestAnAppendersRecordsAreLikeOthers(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	c := client(t, b)
	makeTopic(t, c)
	s := attach(t, b)
	var want []string
	for i := range 20 {
		began := time.Now().Add(-time.Second)
		values := []string{fmt.Sprintf("first %d", i), fmt.Sprintf("second %d", i)}
		s.add(values...)
		got := s.result(t)
		if got.err != nil || got.base != int64(len(want)) || got.at.Before(began) || got.at.After(time.Now().Add(time.Second)) {
			t.Fatalf("got %+v, want offset %d and the time of the append", got, len(want))
		}
		want = append(append(want, values...), write(t, c, i, 1)...)
	}
	for range 2 {
		records := read(t, b)
		if got := values(records); !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		var last time.Time
		for _, r := range records {
			if r.Timestamp.Before(last) || string(r.Key) != "users/x" {
				t.Errorf("got a record of key %q and time %s after %s, want the key users/x and times in order", r.Key, r.Timestamp, last)
			}
			last = r.Timestamp
		}
		headers := []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "empty", Value: []byte{}}, {Key: "none"}}
		if !reflect.DeepEqual(records[0].Headers, headers) {
			t.Errorf("got the headers %+v, want %+v", records[0].Headers, headers)
		}
		b.Close()
		b = start(t, dir)
	}
}

// TestAnAppenderTakesWhatWaits adds many batches at once, from many goroutines.
func TestAnAppenderTakesWhatWaits(t *testing.T) {
	b := start(t, t.TempDir())
	makeTopic(t, client(t, b))
	s := attach(t, b)
	const n = 50
	for i := range n {
		go s.add(fmt.Sprint(i))
	}
	for i := range n {
		if got := s.result(t); got.err != nil || got.base != int64(i) {
			t.Fatalf("got %+v, want offset %d", got, i)
		}
	}
}

// TestAnAppenderIsInformedOfOthers produces with a Kafka client.
func TestAnAppenderIsInformedOfOthers(t *testing.T) {
	b := start(t, t.TempDir())
	c := client(t, b)
	makeTopic(t, c)
	s := attach(t, b)
	write(t, c, 0, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes == 0 {
		t.Error("got no call of Changed before the acknowledgement of another client's record, want one")
	}
}

// TestAnAppenderAcknowledgesNothingBeforeItIsOnDisk delays a sync and makes it fail.
func TestAnAppenderAcknowledgesNothingBeforeItIsOnDisk(t *testing.T) {
	b := start(t, t.TempDir())
	makeTopic(t, client(t, b))
	s := attach(t, b)
	s.add("first")
	if got := s.result(t); got.err != nil {
		t.Fatalf("got %v, want no error", got.err)
	}
	syncing, release := make(chan struct{}, 1), make(chan struct{})
	setSync(b, func(*os.File) error {
		select {
		case syncing <- struct{}{}:
		default:
		}
		<-release
		return errors.New("input/output error")
	})
	s.add("second")
	<-syncing
	select {
	case got := <-s.results:
		t.Errorf("got %+v before the record was on disk, want no outcome", got)
	default:
	}
	close(release)
	if got := s.result(t); got.err == nil || errors.As(got.err, new(*kerr.Error)) {
		t.Errorf("got %v for a record that could not be synced, want an error that leaves the outcome open", got.err)
	}
	<-s.ended
	// A sync that succeeds after one that failed proves nothing.
	setSync(b, func(*os.File) error { return nil })
	again := attach(t, b)
	again.add("third")
	select {
	case got := <-again.results:
		if got.err == nil {
			t.Error("got an acknowledgement after a sync had failed, want none")
		}
	case <-again.ended:
	}
}

// TestAnAppenderSyncsBeforeItsBatch checks that a power loss tears no more than one batch: what
// another client wrote is on disk before the appender's batch is written.
func TestAnAppenderSyncsBeforeItsBatch(t *testing.T) {
	b := start(t, t.TempDir())
	c := client(t, b)
	makeTopic(t, c)
	s := attach(t, b)
	s.add("first")
	s.result(t)
	if !b.appenders.Synced() {
		t.Error("got no trust in the sync of the appender's own batch, want it")
	}
	write(t, c, 0, 1)
	if b.appenders.Synced() {
		t.Error("got trust in the sync of another client's batch, want a sync before the next batch")
	}
	s.add("second")
	s.result(t)
	if !b.appenders.Synced() {
		t.Error("got no trust after that sync, want it")
	}
	if attach(t, b); b.appenders.Synced() {
		t.Error("got trust while there are two appenders, want a sync before each batch")
	}
}

// TestAnAppenderEndsWithItsBroker closes the broker while batches wait.
func TestAnAppenderEndsWithItsBroker(t *testing.T) {
	b := start(t, t.TempDir())
	makeTopic(t, client(t, b))
	s := attach(t, b)
	for i := range 20 {
		s.add(fmt.Sprint(i))
	}
	s.result(t)
	b.Close()
	select {
	case <-s.ended:
	case <-soon(t).Done():
		t.Fatal("got no end of the appender, want one")
	}
	s.appender.Wake() // does nothing
	if _, err := b.Attach(soon(t), testTopic, s); !errors.Is(err, errStopped) {
		t.Errorf("got %v from Attach, want errStopped", err)
	}
}

// TestAnAppenderOfAMissingTopic appends to a topic that does not exist yet.
func TestAnAppenderOfAMissingTopic(t *testing.T) {
	b := start(t, t.TempDir())
	s := attach(t, b)
	s.add("first")
	if got := s.result(t); !errors.Is(got.err, kerr.UnknownTopicOrPartition) {
		t.Errorf("got %v, want UnknownTopicOrPartition", got.err)
	}
	makeTopic(t, client(t, b))
	s.add("second")
	if got := s.result(t); got.err != nil || got.base != 0 {
		t.Errorf("got %+v, want offset 0", got)
	}
}

// An endingSource ends its appender while the broker takes a batch.
type endingSource struct{ *source }

func (s endingSource) Take() []*kgo.Record {
	s.appender.Close()
	return s.source.Take()
}

// TestAnAppenderThatEndsDuringTakeReportsTheBatch checks that an appender reports the outcome of a batch even
// if its connection ends while the broker takes the batch. The batch was not stored, so another attempt is safe.
func TestAnAppenderThatEndsDuringTakeReportsTheBatch(t *testing.T) {
	b := start(t, t.TempDir())
	makeTopic(t, client(t, b))
	s := newSource()
	var err error
	if s.appender, err = b.Attach(soon(t), testTopic, endingSource{s}); err != nil {
		t.Fatal(err)
	}
	s.add("first")
	if got := s.result(t); !kerr.IsRetriable(got.err) {
		t.Errorf("got %+v, want an error that allows another attempt", got)
	}
	<-s.ended
	if got := read(t, b); len(got) > 0 {
		t.Errorf("got %d records in the log, want none", len(got))
	}
}
