package replication_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/node/replication"
)

// A broker answers with what a test has set; nil means that it does not answer.
type broker struct {
	answer atomic.Pointer[eventlog.Replication]
}

func (b *broker) Replication(context.Context) (eventlog.Replication, error) {
	if r := b.answer.Load(); r != nil {
		return *r, nil
	}
	return eventlog.Replication{}, errors.New("no answer")
}

// The metrics follow the broker, keep an answer for some time while none arrives, and are NaN while
// nothing is known.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var output bytes.Buffer
		var b broker
		registry := prometheus.NewRegistry()
		w := replication.New(&b, registry, slog.New(slog.NewTextHandler(&output, nil)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()

		for _, step := range []struct {
			what                     string
			answer                   *eventlog.Replication
			after                    time.Duration
			known                    bool
			wantReplicas, wantInSync float64
		}{
			{what: "before the first answer", after: time.Second},
			{"soon after the broker answers", &eventlog.Replication{Replicas: 3, InSync: 3}, 5 * time.Second, true, 3, 3},
			{"while a broker is missing", &eventlog.Replication{Replicas: 3, InSync: 2}, 15 * time.Second, true, 3, 2},
			{"soon after the last answer", nil, 30 * time.Second, true, 3, 2},
			{"long after the last answer", nil, time.Minute, false, 0, 0},
			{"when the broker answers again", &eventlog.Replication{Replicas: 3, InSync: 3}, 5 * time.Second, true, 3, 3},
		} {
			b.answer.Store(step.answer)
			time.Sleep(step.after)
			synctest.Wait()
			got := values(t, registry)
			replicas, inSync := got["clusterlite_topic_replicas"], got["clusterlite_topic_in_sync_replicas"]
			if known := replicas == replicas && inSync == inSync; known != step.known || known && (replicas != step.wantReplicas || inSync != step.wantInSync) {
				t.Errorf("%s: got %v, want known: %v, %v and %v", step.what, got, step.known, step.wantReplicas, step.wantInSync)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("got %v from Run, want nil", err)
		}
		for _, want := range []string{"under-replicated", "fully replicated again"} {
			if n := strings.Count(output.String(), want); n != 1 {
				t.Errorf("got %d log lines with %q, want 1:\n%s", n, want, output.String())
			}
		}
	})
}

func values(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil || len(families) != 2 {
		t.Fatalf("got %d metrics, %v, want 2", len(families), err)
	}
	values := map[string]float64{}
	for _, f := range families {
		values[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	return values
}
