package embedded

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// setSync replaces the function that syncs a file.
func setSync(b *Broker, sync func(*os.File) error) {
	s := b.keeper.syncer
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sync = sync
}

// TestNothingIsReportedBeforeItIsOnDisk delays a sync and makes it fail. Until the sync ends,
// neither the producer nor a reader may learn of the record. After the failure the broker may
// acknowledge nothing.
func TestNothingIsReportedBeforeItIsOnDisk(t *testing.T) {
	b := start(t, t.TempDir())
	ctx := soon(t)
	options := []kgo.Opt{kgo.Dialer(b.Dial), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.RecordDeliveryTimeout(10 * time.Second)}
	produce := func(c *kgo.Client, value string) error {
		return c.ProduceSync(ctx, &kgo.Record{Value: []byte(value)}).FirstErr()
	}
	writer, reader := client(t, b, options...), client(t, b, kgo.Dialer(b.Dial), kgo.ConsumeTopics(testTopic), kgo.FetchMaxWait(10*time.Second))
	makeTopic(t, writer)
	if err := produce(writer, "first"); err != nil {
		t.Fatal(err)
	}
	if got := reader.PollFetches(ctx); len(got.Records()) != 1 {
		t.Fatalf("got %v, %v, want the first record", got.Records(), got.Err())
	}

	if err := b.keeper.syncer.flush(); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("input/output error")
	syncing, release := make(chan struct{}, 1), make(chan struct{})
	setSync(b, func(*os.File) error {
		select {
		case syncing <- struct{}{}:
		default:
		}
		<-release
		return failure
	})
	produced, read := make(chan error, 1), make(chan int, 1)
	go func() { produced <- produce(writer, "second") }()
	readCtx, stopReading := context.WithCancel(ctx)
	go func() { read <- len(reader.PollFetches(readCtx).Records()) }()
	<-syncing
	select {
	case err := <-produced:
		t.Errorf("got %v before the record was on disk, want no answer", err)
	case n := <-read:
		t.Errorf("got %d records before they were on disk, want none", n)
	default:
	}
	close(release)
	if err := <-produced; err == nil {
		t.Error("got an acknowledgement of a record that could not be synced, want an error")
	}
	// A sync that succeeds after one that failed proves nothing.
	setSync(b, func(*os.File) error { return nil })
	if err := produce(client(t, b, options...), "third"); err == nil {
		t.Error("got an acknowledgement after a sync had failed, want an error")
	}
	stopReading()
	if n := <-read; n != 0 {
		t.Errorf("got %d records that are not on disk, want none", n)
	}
}
