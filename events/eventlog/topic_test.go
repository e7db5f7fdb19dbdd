package eventlog_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

// The topic is prepared again after each failure. The warning about its replicas is logged only
// once.
func TestTheReplicasAreReportedOnce(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	var logged bytes.Buffer
	l, err := eventlog.Open(eventlog.Config{Brokers: []string{b.Addr()}, Topic: "clusterlite.events", Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := l.Prepare(deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil { // after this nothing more is logged
		t.Fatal(err)
	}
	if got := strings.Count(logged.String(), "one replica"); got != 1 {
		t.Errorf("got %d warnings about one replica, want one:\n%s", got, logged.String())
	}
}
