package eventlog_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

// The topic is prepared again whenever something has failed. What is known of it is not
// told again each time.
func TestTheReplicasAreToldOfOnce(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	var said bytes.Buffer
	l, err := eventlog.Open(eventlog.Config{Brokers: []string{b.Addr()}, Topic: "clusterlite.events", Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := l.Prepare(deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil { // nothing else is said after it
		t.Fatal(err)
	}
	if got := strings.Count(said.String(), "one replica"); got != 1 {
		t.Errorf("told: got %d times, want once:\n%s", got, said.String())
	}
}
