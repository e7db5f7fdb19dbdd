package eventlog_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// stranger is a producer that uses transactions. None of our own producers does.
type stranger struct {
	t      testing.TB
	client *kgo.Client
}

func newStranger(t testing.TB, addr, id string) stranger {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID(id), kgo.DefaultProduceTopic("clusterlite.events"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return stranger{t, client}
}

// begin opens a transaction and produces n records in it.
func (s stranger) begin(n int) {
	s.t.Helper()
	if err := s.client.BeginTransaction(); err != nil {
		s.t.Fatal(err)
	}
	for i := range n {
		if err := s.client.ProduceSync(deadline(s.t), &kgo.Record{Value: fmt.Appendf(nil, "foreign %d", i)}).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s stranger) end(commit kgo.TransactionEndTry) {
	s.t.Helper()
	if err := s.client.EndTransaction(deadline(s.t), commit); err != nil {
		s.t.Fatal(err)
	}
}

// transact produces a whole transaction of n records and a marker.
func (s stranger) transact(n int, commit kgo.TransactionEndTry) {
	s.t.Helper()
	s.begin(n)
	s.end(commit)
}

// endsWith waits until the log ends at a position. The broker writes a marker only after its answer.
func endsWith(t testing.TB, l *eventlog.Log, want events.Position) {
	t.Helper()
	eventually(t, func() bool {
		end, err := l.End(deadline(t))
		return err == nil && end == want
	})
}

// readTo reads up to a position. It fails if reading stops before that.
func readTo(t testing.TB, l *eventlog.Log, from, to events.Position) []events.Record {
	t.Helper()
	s := subscribe(t, l, from)
	var all []events.Record
	for at := from; at < to; {
		batch, err := s.Take(deadline(t), 7)
		if err != nil {
			t.Fatalf("got %v at position %d of %d, want no error", err, at, to)
		}
		all = append(all, batch...)
		at = batch[len(batch)-1].Position()
	}
	return all
}

func contents(records []events.Record) []events.Content {
	all := make([]events.Content, len(records))
	for i, r := range records {
		all[i] = r.Content
	}
	return all
}

func TestASubscriptionReachesTheEndOfALogWithTransactions(t *testing.T) {
	const event, void, none = events.HasEvent, events.Malformed, events.NoRecord
	for name, c := range map[string]struct {
		write func(t *testing.T, l *eventlog.Log, addr string)
		want  []events.Content
	}{
		"a committed one at the end": {func(t *testing.T, l *eventlog.Log, addr string) {
			appendEvents(t, l, 1)
			newStranger(t, addr, "a").transact(1, kgo.TryCommit)
		}, []events.Content{event, void, none}},
		"an aborted one at the end": {func(t *testing.T, l *eventlog.Log, addr string) {
			appendEvents(t, l, 1)
			newStranger(t, addr, "a").transact(2, kgo.TryAbort)
		}, []events.Content{event, void, void, none}},
		"an open one": {func(t *testing.T, l *eventlog.Log, addr string) {
			newStranger(t, addr, "a").begin(1)
			appendEvents(t, l, 2)
		}, []events.Content{void, event, event}},
		"at the start": {func(t *testing.T, l *eventlog.Log, addr string) {
			newStranger(t, addr, "a").transact(1, kgo.TryCommit)
		}, []events.Content{void, none}},
		"several in a row": {func(t *testing.T, l *eventlog.Log, addr string) {
			s := newStranger(t, addr, "a")
			for i := range 3 {
				s.transact(1, kgo.TransactionEndTry(i%2 == 0))
			}
			appendEvents(t, l, 1)
			s.transact(1, kgo.TryAbort)
		}, []events.Content{void, none, void, none, void, none, event, void, none}},
		"interleaved, so that markers follow each other": {func(t *testing.T, l *eventlog.Log, addr string) {
			a, b := newStranger(t, addr, "a"), newStranger(t, addr, "b")
			a.begin(1)
			b.begin(1)
			a.end(kgo.TryCommit)
			b.end(kgo.TryAbort)
		}, []events.Content{void, void, none, none}},
	} {
		t.Run(name, func(t *testing.T) {
			l, b := prepared(t)
			c.write(t, l, b.Addr())
			end := events.Position(len(c.want))
			endsWith(t, l, end)
			for from := events.Position(0); from < end; from++ {
				if got, want := contents(readTo(t, l, from, end)), c.want[from:]; !slices.Equal(got, want) {
					t.Errorf("from %d: got %v, want %v", from, got, want)
				}
			}
			var scanned []events.Record
			if err := l.Scan(deadline(t), 0, end, func(r events.Record) error {
				scanned = append(scanned, r)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for i, r := range scanned {
				read, err := l.Read(deadline(t), r.Position()-1)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := read.Identity(), r.Identity(); got != want {
					t.Errorf("record %d, read alone: got the identity %q, want %q", i, got, want)
				}
				if !events.IdentifiesLastBefore(r.Identity(), r.Position()) || events.IdentifiesLastBefore(r.Identity(), r.Position()+1) {
					t.Errorf("got the identity %q, want it to identify only position %d", r.Identity(), r.Position())
				}
			}
		})
	}
}

func appendEvents(t testing.TB, l *eventlog.Log, n int) {
	t.Helper()
	for i := range n {
		if _, err := l.Append(deadline(t), event(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAWaitingSubscriptionReceivesAMarker(t *testing.T) {
	l, b := prepared(t)
	s := subscribe(t, l, 0)
	foreign := newStranger(t, b.Addr(), "a")
	foreign.begin(1)
	if got := take(t, s, 1)[0]; got.Content != events.Malformed {
		t.Fatalf("got %+v, want a malformed record before the transaction ends", got)
	}
	foreign.end(kgo.TryCommit)
	if got := take(t, s, 1)[0]; got.Content != events.NoRecord || got.Position() != 2 || !got.Timestamp.IsZero() {
		t.Fatalf("got %+v, want no record up to position 2", got)
	}
}

// A reader's verdict on a record must not depend on when it reads. A valid event in a transaction
// is void while the transaction is open, and stays void.
func TestAnEventInATransactionIsVoidHoweverItEnds(t *testing.T) {
	for _, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		l, b := prepared(t)
		appendEvents(t, l, 1)
		raw, err := l.Read(deadline(t), 0)
		if err != nil {
			t.Fatal(err)
		}
		copied := &kgo.Record{Key: raw.Key, Value: raw.Value}
		for _, h := range raw.Headers {
			copied.Headers = append(copied.Headers, kgo.RecordHeader{Key: h.Name, Value: []byte(h.Value)})
		}
		foreign := newStranger(t, b.Addr(), "a")
		foreign.begin(0)
		if err := foreign.client.ProduceSync(deadline(t), copied).FirstErr(); err != nil {
			t.Fatal(err)
		}
		before := readTo(t, l, 1, 2)
		foreign.end(commit)
		endsWith(t, l, 3)
		after := readTo(t, l, 1, 3)
		if got, want := after[0], before[0]; got.Content != events.Malformed || got.Malformed != want.Malformed || got.Identity() != want.Identity() {
			t.Errorf("commit %v: got %+v, want %+v as while the transaction was open", commit, got, want)
		}
	}
}

// No header marks a record as NoRecord, because a foreign record could then claim to be none.
func TestARecordCannotClaimToBeNone(t *testing.T) {
	l, b := prepared(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("clusterlite.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	forged := &kgo.Record{Headers: []kgo.RecordHeader{{Key: "clusterlite_no_record", Value: []byte("true")}, {Key: "clusterlite_in_transaction", Value: []byte("true")}, {}}}
	if err := client.ProduceSync(deadline(t), forged).FirstErr(); err != nil {
		t.Fatal(err)
	}
	got := readTo(t, l, 0, 1)[0]
	if got.Content != events.Malformed || got.Timestamp.IsZero() || got.Malformed != `ce_specversion is "", not "1.0"` {
		t.Fatalf("got %+v, want a malformed record without ce_specversion", got)
	}
}

func TestDeletedRecordsBeforeAMarker(t *testing.T) {
	l, b := prepared(t)
	newStranger(t, b.Addr(), "a").transact(1, kgo.TryCommit)
	endsWith(t, l, 2)
	deleteRecords(t, b.Addr(), 1)
	if got := contents(readTo(t, l, 1, 2)); !slices.Equal(got, []events.Content{events.NoRecord}) {
		t.Fatalf("got %v, want only the marker", got)
	}
	deleteRecords(t, b.Addr(), 2)
	if end, err := l.End(deadline(t)); err != nil || end != 2 {
		t.Fatalf("got %d, %v, want 2", end, err)
	}
	s := subscribe(t, l, 2)
	appendEvents(t, l, 1)
	if got := take(t, s, 1)[0]; got.Offset != 2 {
		t.Fatalf("got %+v, want the event at offset 2", got)
	}
}
