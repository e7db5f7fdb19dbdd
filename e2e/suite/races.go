package suite

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
)

func races(t *testing.T, target Target) {
	t.Run("one of many gets a unique value", func(t *testing.T) { OneWinner(t, []string{target.URL}, 5) })
	t.Run("versions have no gaps and no duplicates", func(t *testing.T) { NoGaps(t, []string{target.URL}, []string{target.URL}) })
	t.Run("one of many wins a version", func(t *testing.T) {
		e := target.Create(t, "Ada")
		for version := 1; version <= 5; version++ {
			var mu sync.Mutex
			wins := 0
			var clients sync.WaitGroup
			for i := range clientsAtOnce {
				clients.Go(func() {
					r, err := Send("PATCH", target.URL+"/users/"+e.ID, fmt.Sprintf(`{"name":"%d.%d"}`, version, i), fmt.Sprintf(`If-Match: "%d"`, version))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil && r.Status == 200:
						wins++
					case err != nil || r.Status != 412:
						t.Errorf("got status %d, %v, want 200 or 412: %s", r.Status, err, r.Body)
					}
				})
			}
			clients.Wait()
			if wins != 1 {
				t.Fatalf("version %d: got %d winners, want 1", version, wins)
			}
		}
	})
}

const clientsAtOnce = 32

// OneWinner lets many clients create an entity with the same unique value at the same time,
// spread over the given services. Exactly one must succeed.
func OneWinner(t *testing.T, urls []string, rounds int) {
	t.Helper()
	for range rounds {
		email := Email()
		var mu sync.Mutex
		statuses := map[int]int{}
		var clients sync.WaitGroup
		for i := range clientsAtOnce {
			clients.Go(func() {
				r, err := Send("POST", urls[i%len(urls)]+"/users", UserBody(fmt.Sprint(i), email))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				statuses[r.Status]++
				mu.Unlock()
			})
		}
		clients.Wait()
		if statuses[201] != 1 || statuses[409] != clientsAtOnce-1 {
			t.Fatalf("got the statuses %v, want one 201 and otherwise 409", statuses)
		}
	}
}

// NoGaps lets many clients change one entity at the same time, without If-Match. All must
// succeed, one after another, and every reader must end with the last version.
func NoGaps(t *testing.T, writes, reads []string) {
	t.Helper()
	const each = 4
	r, err := Send("POST", writes[0]+"/users", UserBody("0", Email()))
	if err != nil || r.Status != 201 {
		t.Fatalf("create: got %d, %v, want 201", r.Status, err)
	}
	path := r.Header.Get("Location")
	var mu sync.Mutex
	bodies := map[int64]string{1: string(r.Body)}
	var clients sync.WaitGroup
	for i := range clientsAtOnce {
		clients.Go(func() {
			for n := range each {
				r, err := Send("PATCH", writes[(i+n)%len(writes)]+path, fmt.Sprintf(`{"name":"%d.%d"}`, i, n))
				var e Entity
				if err != nil || r.Status != 200 || json.Unmarshal(r.Body, &e) != nil {
					t.Errorf("change: got %d, %v, want 200: %s", r.Status, err, r.Body)
					return
				}
				mu.Lock()
				if other, twin := bodies[e.Version]; twin {
					t.Errorf("got version %d twice: %s and %s", e.Version, other, r.Body)
				}
				bodies[e.Version] = string(r.Body)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	last := int64(1 + clientsAtOnce*each)
	for v := int64(1); v <= last; v++ {
		if bodies[v] == "" {
			t.Errorf("got no version %d", v)
		}
	}
	for _, url := range reads {
		if r, err := Send("GET", url+path, ""); err != nil || string(r.Body) != bodies[last] {
			t.Errorf("%s has %s, %v, want %s", url, r.Body, err, bodies[last])
		}
	}
}
