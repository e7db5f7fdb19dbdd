package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// inProcess makes logs attach to the brokers that run in this process. running are these brokers
// by address. TestInProcess sets both while no other test runs.
var (
	inProcess bool
	running   map[string]*embedded.Broker
)

// config returns the configuration of a log.
func config(addr string) eventlog.Config {
	c := eventlog.Config{Brokers: []string{addr}, Topic: "clusterlite.events", ClientID: "test", Source: "/test"}
	if b := running[addr]; b != nil {
		c.Attach = b.Attach
	}
	return c
}

// TestInProcess runs the tests of a log that need a broker with logs that are attached to it.
func TestInProcess(t *testing.T) {
	inProcess, running = true, map[string]*embedded.Broker{}
	defer func() { inProcess, running = false, nil }()
	for name, test := range map[string]func(*testing.T){
		"AppendAndRead":                         TestAppendAndRead,
		"ReadingContinuesAfterABrokerRestart":   TestReadingContinuesAfterABrokerRestart,
		"EndServesManyCallersWithFewRequests":   TestEndServesManyCallersWithFewRequests,
		"ConcurrentAppendsGetDistinctPositions": TestConcurrentAppendsGetDistinctPositions,
		"ForeignRecordsAreMalformed":            TestForeignRecordsAreMalformed,
		"GoneRecords":                           TestGoneRecords,
		"UnfitTopicsAreRefused":                 TestUnfitTopicsAreRefused,
		"LargeEvents":                           TestLargeEvents,
		"AfterClose":                            TestAfterClose,
		"PositionAt":                            TestPositionAt,
		"ReadOneRecord":                         TestReadOneRecord,
		"Scan":                                  TestScan,
		"Announcements":                         TestAnnouncements,
		"AnnouncementsOutliveTheBroker":         TestAnnouncementsOutliveTheBroker,
		"Health":                                TestHealth,
		"TheReplicasAreReportedOnce":            TestTheReplicasAreReportedOnce,
		"ASubscriptionReachesTheEndOfALogWithTransactions": TestASubscriptionReachesTheEndOfALogWithTransactions,
		"AWaitingSubscriptionReceivesAMarker":              TestAWaitingSubscriptionReceivesAMarker,
		"AnEventInATransactionIsVoidHoweverItEnds":         TestAnEventInATransactionIsVoidHoweverItEnds,
		"ARecordCannotClaimToBeNone":                       TestARecordCannotClaimToBeNone,
		"DeletedRecordsBeforeAMarker":                      TestDeletedRecordsBeforeAMarker,
		"AppendsThatWaitGoTogether":                        TestAppendsThatWaitGoTogether,
		"AnAppendOfAnEventThatIsTooLargeDoesNothing":       TestAnAppendOfAnEventThatIsTooLargeDoesNothing,
		"AppendsContinueAfterABrokerRestart":               TestAppendsContinueAfterABrokerRestart,
		"AppendUntilWaitsUntilTheEventIsKnown":             TestAppendUntilWaitsUntilTheEventIsKnown,
		"AppendUntilOfAnEventThatIsKnownFirst":             TestAppendUntilOfAnEventThatIsKnownFirst,
		"AppendUntilReturnsErrorsAtOnce":                   TestAppendUntilReturnsErrorsAtOnce,
		"AppendsUntilKnownOverABrokerRestart":              TestAppendsUntilKnownOverABrokerRestart,
		"ASubscriptionReceivesTheAppendsOfTwoLogs":         TestASubscriptionReceivesTheAppendsOfTwoLogs,
		"TheEndIncludesTheAppendsOfOthers":                 TestTheEndIncludesTheAppendsOfOthers,
		"TheEndIncludesWhatOthersHaveRead":                 TestTheEndIncludesWhatOthersHaveRead,
		"RecordsThatWereReadTwiceAreEqual":                 TestRecordsThatWereReadTwiceAreEqual,
		"ASlowReaderMissesNothing":                         TestASlowReaderMissesNothing,
		"AppendsBeforeTheTopicExistsWait":                  TestAppendsBeforeTheTopicExistsWait,
	} {
		t.Run(name, test)
	}
}

// TestASubscriptionReceivesTheAppendsOfTwoLogs appends through two logs. Each reader must receive
// every record once, in order, whichever log it belongs to and whoever appended the record.
func TestASubscriptionReceivesTheAppendsOfTwoLogs(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	first, second := open(t, b.Addr()), openByTCP(t, b.Addr())
	if _, err := first.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	const each = 300
	readers := []*eventlog.Subscription{subscribe(t, first, 0), subscribe(t, second, 0), subscribe(t, first, 0)}
	var wg sync.WaitGroup
	for writer, l := range []*eventlog.Log{first, first, second} {
		wg.Go(func() {
			for i := range each {
				if writer == 2 && i%10 > 0 {
					continue // so that there are long runs without a record of the second log
				}
				if _, err := l.Append(deadline(t), event(i), event(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	const total = 2 * (2*each + each/10)
	for i, s := range readers {
		for offset, r := range take(t, s, total) {
			if r.Offset != int64(offset) || r.Content != events.HasEvent {
				t.Fatalf("reader %d: got %+v, want an event at offset %d", i, r, offset)
			}
		}
	}
	wg.Wait()
}

// openByTCP opens a log that is attached to nothing, like one in another process.
func openByTCP(t testing.TB, addr string) *eventlog.Log {
	t.Helper()
	l, err := eventlog.Open(eventlog.Config{Brokers: []string{addr}, Topic: "clusterlite.events", ClientID: "other"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestTheEndIncludesTheAppendsOfOthers asks for the end after each of many appends of two logs.
func TestTheEndIncludesTheAppendsOfOthers(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	logs := []*eventlog.Log{open(t, b.Addr()), openByTCP(t, b.Addr()), open(t, b.Addr())}
	if _, err := logs[0].Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		p, err := logs[i/3%3].Append(deadline(t), event(i))
		if err != nil || p != events.Position(i+1) {
			t.Fatalf("got %d, %v, want %d", p, err, i+1)
		}
		for j, l := range logs {
			if end, err := l.End(deadline(t)); err != nil || end != p {
				t.Errorf("log %d: got the end %d, %v, want %d", j, end, err, p)
			}
		}
	}
}

// TestTheEndIncludesWhatOthersHaveRead reads each of many appends over TCP, as another node does. Once an event
// has been read, it must lie before the end of the log, even if its append has not been confirmed yet.
func TestTheEndIncludesWhatOthersHaveRead(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	l := open(t, b.Addr())
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	reader := subscribe(t, openByTCP(t, b.Addr()), 0)
	for i := range 300 {
		appended := make(chan error, 1)
		go func() {
			_, err := l.Append(deadline(t), event(i))
			appended <- err
		}()
		read := take(t, reader, 1)[0].Position()
		if end, err := l.End(deadline(t)); err != nil || end < read {
			t.Errorf("got the end %d, %v after position %d was read, want at least that", end, err, read)
		}
		if err := <-appended; err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecordsThatWereReadTwiceAreEqual compares what a subscription that waits receives with what
// the log holds.
func TestRecordsThatWereReadTwiceAreEqual(t *testing.T) {
	l, _ := prepared(t)
	waiting := subscribe(t, l, 0)
	const n = 50
	for i := range n {
		e := event(i)
		if i%2 == 1 {
			e.Claims = []string{"email:" + "abcdefghijklmnopqrstuv"}
			e.IdempotencyKey, e.RequestHash, e.TraceParent = fmt.Sprint(i), "hash", "00-1-2-00"
		}
		if i%5 == 4 {
			e.Kind, e.Version, e.Document, e.Claims = events.Deleted, 2, nil, nil
		}
		if _, err := l.Append(deadline(t), e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.AppendCheckpoint(deadline(t)); err != nil {
		t.Fatal(err)
	}
	got, want := take(t, waiting, n+1), take(t, subscribe(t, l, 0), n+1)
	for i := range want {
		if got, want := fmt.Sprintf("%+v", got[i]), fmt.Sprintf("%+v", want[i]); got != want {
			t.Errorf("got %s while waiting, want %s, as the log holds it", got, want)
		}
	}
}

// TestASlowReaderMissesNothing appends more than a subscription reads ahead before the first Take.
func TestASlowReaderMissesNothing(t *testing.T) {
	l, _ := prepared(t)
	s := subscribe(t, l, 0)
	const n = 200
	for i := range n {
		if _, err := l.Append(deadline(t), event(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range take(t, s, n) {
		if r.Offset != int64(i) {
			t.Fatalf("got the record at offset %d, want %d", r.Offset, i)
		}
	}
	if _, err := l.Append(deadline(t), event(n)); err != nil {
		t.Fatal(err)
	}
	if r := take(t, s, 1)[0]; r.Offset != n {
		t.Errorf("got the record at offset %d, want %d", r.Offset, n)
	}
}

// TestAppendsBeforeTheTopicExistsWait appends while the topic is missing. Once it exists the append
// succeeds.
func TestAppendsBeforeTheTopicExistsWait(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	l := open(t, b.Addr())
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Append(short, event(0)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v without a topic, want DeadlineExceeded", err)
	}
	appended := make(chan error, 1)
	go func() {
		_, err := l.Append(deadline(t), event(1))
		appended <- err
	}()
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-appended; err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

// TestTwoWritersShareTheirGroups appends from two writers, each of which waits until its event is read
// back. Without a linger, the one appends while the other waits, so nearly every event is in a batch
// of its own.
func TestTwoWritersShareTheirGroups(t *testing.T) {
	const (
		each        = 200
		transaction = 500 * time.Microsecond
	)
	dir := t.TempDir()
	b := startBroker(t, dir, "127.0.0.1:0")
	c := config(b.Addr())
	c.Attach, c.Linger = b.Attach, time.Second
	l, err := eventlog.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	known := map[string]chan struct{}{}
	var all []events.Event
	for i := range 2 * each {
		e := event(i)
		known[e.ID], all = make(chan struct{}), append(all, e)
	}
	var writers sync.WaitGroup
	for first := range 2 {
		writers.Go(func() {
			for i := first; i < len(all); i += 2 {
				if _, err := l.AppendUntil(deadline(t), known[all[i].ID], all[i]); err != nil {
					t.Errorf("append %d: %v", i, err)
					return
				}
			}
		})
	}
	s := subscribe(t, l, 0)
	for read := 0; read < len(all); {
		records, err := s.Take(deadline(t), len(all))
		if err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) < transaction; {
		}
		for _, r := range records {
			close(known[r.Event.ID])
		}
		read += len(records)
	}
	writers.Wait()
	if got := countBatches(t, dir); got > each*3/2 {
		t.Errorf("got %d batches for %d appends of each of two writers, want at most %d", got, each, each*3/2)
	}
}

// The broker takes a group whose only caller has given up, while the next group is too large for it. That one
// goes through the client.
func TestAGroupWithoutCallersHoldsNobodyUp(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	attached := make(chan inprocess.Source, 1)
	l, err := eventlog.Open(eventlog.Config{
		Brokers: []string{b.Addr()}, Topic: "clusterlite.events", ClientID: "test", AskTimeout: 5 * time.Second,
		Attach: func(_ context.Context, topic string, s inprocess.Source) (*inprocess.Appender, error) {
			attached <- s // the test takes in place of the broker
			return inprocess.New(false).Attach(topic, s, &net.TCPAddr{}, func(net.Conn) error { return nil })
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := l.Append(ended, event(0)); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Fatalf("got %v from an append that gave up, want %v", err, eventlog.ErrUnreachable)
	}
	large := event(1)
	large.Document = fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", 5<<20))
	appended := make(chan error, 1)
	go func() {
		at, err := l.Append(deadline(t), large)
		if err == nil && at != 1 {
			err = fmt.Errorf("the event is at position %d, want 1", at)
		}
		appended <- err
	}()
	eventually(t, func() bool { return eventlog.WaitToBeTaken(l) == 2 })
	if records := (<-attached).Take(); len(records) > 0 {
		t.Errorf("got %d records, want none", len(records))
	}
	if err := <-appended; err != nil {
		t.Error(err)
	}
}
