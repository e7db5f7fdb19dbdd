package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got a timeout, want that %s", what)
		}
	}
}

// foreignRecords appends malformed records of another client to the topic. (In the demo, an
// event that failed to apply was lost together with all later ones, or it blocked them.)
func foreignRecords(t *testing.T, c *cluster.Cluster) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Brokers, ",")...), kgo.DefaultProduceTopic("clusterlite.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	equalRows(t, c)
	node := c.Processes()[len(c.Processes())-1]
	before := node.Status()
	records := []*kgo.Record{
		{},
		{Value: []byte("hello")},
		{Key: []byte("users/x"), Value: []byte(`{"name":"Eve"}`), Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte("clusterlite.users.created")}}},
		{Value: []byte{0xff, 0x00}, Headers: []kgo.RecordHeader{{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_type", Value: []byte("com.example.other")}}},
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	suite.Target{URL: c.URL}.Create(t, "after the foreign ones")
	equalRows(t, c)
	after := node.Status()
	if after.Voids != before.Voids+4 || after.Position != before.Position+5 || after.Entities["users"] != before.Entities["users"]+1 {
		t.Errorf("got %+[2]v after %+[1]v, want 4 more voids, 5 more records and 1 more user", before, after)
	}
}

// A load is a set of clients that write, and remember the acknowledged writes.
type load struct {
	t       *testing.T
	url     string
	mu      sync.Mutex
	acked   map[string]string // path → the last body that was acknowledged; "" once deleted
	unsure  map[string]bool   // paths with a write whose outcome is unknown
	writes  int
	refused map[string]int // kinds of answers that are not a success
	stop    chan struct{}
	stopped sync.Once
	clients sync.WaitGroup
}

// betweenLives is how long a client of a load waits between two entities. All clients together make
// up to about 80 writes/s, so the CPUs have time for what happens under the load, such as the start
// of a broker.
const betweenLives = 200 * time.Millisecond

// startLoad starts the clients. They end with the test, if end does not end them before, so that a test
// that fails does not disturb the next one.
func startLoad(t *testing.T, url string) *load {
	l := &load{t: t, url: url, acked: map[string]string{}, unsure: map[string]bool{}, refused: map[string]int{}, stop: make(chan struct{})}
	t.Cleanup(l.halt)
	for i := range 8 {
		l.clients.Go(func() {
			for n := 0; ; n++ {
				l.life(fmt.Sprintf("%d.%d", i, n), n%3 == 0)
				select {
				case <-l.stop:
					return
				case <-time.After(betweenLives):
				}
			}
		})
	}
	return l
}

// life creates an entity, changes it, and deletes it if deletes is set.
func (l *load) life(name string, deletes bool) {
	r, ok := l.send("POST", "/users", suite.UserBody(name, suite.Email()), 201)
	if !ok {
		return
	}
	path := r.Header.Get("Location")
	l.note(path, string(r.Body))
	if r, ok = l.send("PATCH", path, `{"name":"changed"}`, 200); !ok {
		return
	}
	l.note(path, string(r.Body))
	if deletes {
		if _, ok = l.send("DELETE", path, "", 204); ok {
			l.note(path, "")
		}
	}
}

func (l *load) note(path, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[path] = body
	l.writes++
}

// send sends a write. The only accepted failures are those that say that the write can't be
// done now.
func (l *load) send(method, path, body string, want int) (suite.Response, bool) {
	r, err := suite.Send(method, l.url+path, body)
	if err == nil && r.Status == want {
		return r, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil { // the connection broke: the other side was killed
		l.unsure[path] = true
		l.refused["broken connection"]++
		return r, false
	}
	var p suite.Problem
	_ = json.Unmarshal(r.Body, &p) // a body that is no problem document has an empty kind
	kind := p.Type[strings.LastIndex(p.Type, "/")+1:]
	l.refused[kind]++
	switch kind {
	case "outcome-unknown":
		l.unsure[path] = true
	case "broker-unreachable", "read-model-behind", "not-ready":
	default:
		l.t.Errorf("%s %s: got %d %s, want %d", method, path, r.Status, r.Body, want)
	}
	return r, false
}

// progress waits until more writes have been acknowledged.
func (l *load) progress(n int) {
	l.t.Helper()
	count := func() int { l.mu.Lock(); defer l.mu.Unlock(); return l.writes }
	from := count()
	eventually(l.t, "writes are acknowledged", func() bool { return count() >= from+n })
}

// acknowledged returns the number of acknowledged writes so far.
func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes
}

// notDone returns the kinds of answers so far that are not a success, with their numbers.
func (l *load) notDone() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.refused)
}

// end stops the clients and checks that each node has every acknowledged write.
func (l *load) end(c *cluster.Cluster) {
	l.t.Helper()
	l.halt()
	var nodes sync.WaitGroup
	for _, url := range c.ReadURLs() {
		nodes.Go(func() { l.acknowledgedBy(url) })
	}
	nodes.Wait()
	equalRows(l.t, c)
	l.t.Logf("%d writes acknowledged, %d entities, outcome unknown for %d, refused %v", l.writes, len(l.acked), len(l.unsure), l.refused)
}

// halt stops the clients and waits for them.
func (l *load) halt() {
	l.stopped.Do(func() { close(l.stop) })
	l.clients.Wait()
}

// acknowledgedBy checks that a node has every acknowledged write.
func (l *load) acknowledgedBy(url string) {
	paths := make(chan string)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for path := range paths {
				want := l.acked[path]
				r, err := suite.Target{URL: url}.Try(l.t, "GET", path, "", "Clusterlite-Consistency: strong")
				if err != nil || want == "" && r.Status != 404 || want != "" && string(r.Body) != want {
					l.t.Errorf("%s%s: got %d %s, %v, want the acknowledged %q", url, path, r.Status, r.Body, err, want)
				}
			}
		})
	}
	for path := range l.acked {
		if !l.unsure[path] {
			paths <- path
		}
	}
	close(paths)
	readers.Wait()
}

// killUnderLoad kills a process at random times, more than once, and restarts it.
func killUnderLoad(t *testing.T, c *cluster.Cluster, victim *cluster.Process) {
	l := startLoad(t, c.URL)
	for range 3 {
		l.progress(50)
		victim.Kill()
		victim.Start()
		victim.AwaitReady()
	}
	l.progress(50)
	l.end(c)
}

// stopUnderLoad stops a process as an operator does. The process must exit cleanly, even under
// load.
func stopUnderLoad(t *testing.T, c *cluster.Cluster, p *cluster.Process) {
	l := startLoad(t, c.URL)
	l.progress(50)
	if code := p.Stop(); code != 0 {
		t.Errorf("%s: got exit code %d, want 0", p.Name, code)
	}
	p.Start()
	p.AwaitReady()
	l.progress(50)
	l.end(c)
}

// killLeader kills the broker that leads the log, and restarts it.
func killLeader(t *testing.T, c *cluster.Cluster) {
	l := startLoad(t, c.URL)
	for range 2 {
		l.progress(50)
		leader := c.Kafka.Leader()
		t.Logf("kill broker %d", leader)
		c.Kafka.Kill(leader)
		l.progress(50)
		c.Kafka.Start(leader)
	}
	l.progress(50)
	l.end(c)
}

// secondProcess starts the program on a folder that another process uses.
func secondProcess(t *testing.T, c *cluster.Cluster) {
	cmd := exec.Command(cluster.Binary(t, "clusterlite"), "serve", "--data-dir", c.Server.DataDir(), "--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "in use by node all-1, process") {
		t.Errorf("got %v: %s; want exit code 1 and the node that uses the folder", err, out)
	}
}
