package serve_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events/collections"
)

// A key is valid for a day of the broker's time. A foreign record with another timestamp
// neither shortens nor extends that day.
func TestAStrangersClockDoesNotExpireKeys(t *testing.T) {
	set, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	for name, off := range map[string]time.Duration{"30 hours ahead": 30 * time.Hour, "30 hours behind": -30 * time.Hour, "50 years behind": -50 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, startBroker(t), set, t.TempDir(), "clusterlite.events", 1)
			defer s.close(t)
			n := s.nodes[0]
			key := "Idempotency-Key: " + uuid.NewString()
			body := `{"name":"Ada","email":"ada@example.com"}`
			first := do(n, "POST", "/users", body, key)
			if first.status != 201 {
				t.Fatalf("the first is %d %s, want 201", first.status, first.body)
			}
			for range 3 {
				s.produce(t, &kgo.Record{Value: []byte("foreign"), Timestamp: time.Now().Add(off)})
				if again := do(n, "POST", "/users", body, key); again.status != 201 || again.body != first.body {
					t.Errorf("again it is %d %s, want 201 %s", again.status, again.body, first.body)
				}
			}
		})
	}
}
