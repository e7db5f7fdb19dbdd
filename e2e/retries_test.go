package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// retriesUnderKills has clients send each create with a key to any command service, and repeat
// it until they have an answer. Meanwhile a process is killed at any instant. Each create is
// done once, and every service gives the same answer later.
func retriesUnderKills(t *testing.T, c *cluster.Cluster, victim *cluster.Process) {
	const clients = 8
	run := suite.Key()
	var mu sync.Mutex
	answered := map[string]int{} // how often each name is found
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%s-%d-%d", run, i, n)
				createOnce(t, c, name)
				mu.Lock()
				answered[name] = 0
				mu.Unlock()
			}
		})
	}
	progress := func() {
		mu.Lock()
		from := len(answered)
		mu.Unlock()
		eventually(t, "creates are answered", func() bool { mu.Lock(); defer mu.Unlock(); return len(answered) >= from+50 })
	}
	for range 3 {
		progress()
		victim.Kill()
		victim.Start()
		victim.AwaitReady()
	}
	progress()
	close(stop)
	all.Wait()
	for _, e := range (suite.Target{URL: c.URL}).All(t, 5000) {
		if _, ours := answered[e.Name]; ours {
			answered[e.Name]++
		}
	}
	for name, times := range answered {
		if times != 1 {
			t.Errorf("%s was acknowledged: got %d entities of this name, want 1", name, times)
		}
	}
	t.Logf("%d creates", len(answered))
}

// createOnce creates an entity. It repeats the request until it has an answer.
func createOnce(t *testing.T, c *cluster.Cluster, name string) {
	urls := c.WriteURLs()
	key, body := "Idempotency-Key: "+name, suite.UserBody(name, suite.Email())
	var first *suite.Response
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		r, err := suite.Send("POST", urls[rand.IntN(len(urls))]+"/users", body, key)
		switch {
		case err == nil && r.Status == 201 && first == nil:
			first = &r
			continue // repeat the request: the answer must be the same
		case err == nil && r.Status == 201:
			r.Same(t, *first)
			return
		case err == nil && r.Status != 503 && r.Status != 409:
			t.Errorf("%s: got the unexpected answer %d %s", name, r.Status, r.Body)
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s: got no answer, want one: %v", name, err)
			return
		}
	}
}
