package eventlog_test

import (
	"errors"
	"testing"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

func TestHealth(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	l := open(t, b.Addr())
	if _, err := l.Health(deadline(t)); !errors.Is(err, eventlog.ErrNoTopic) {
		t.Errorf("without a topic: got %v, want ErrNoTopic", err)
	}
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(deadline(t), event(1)); err != nil {
		t.Fatal(err)
	}
	h, err := l.Health(deadline(t))
	if err != nil || h.End != 1 || h.Unfit != nil || len(h.Brokers) != 1 || h.Brokers[0].Addr != b.Addr() || h.Leader != h.Brokers[0].ID || len(h.Replicas) != 1 || len(h.InSync) != 1 || h.ID == "" {
		t.Errorf("got %+v, %v, want a healthy topic of one broker that ends at 1", h, err)
	}
}
