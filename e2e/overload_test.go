package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// TestOverload gives the process more work than it can do: first thousands of slow clients,
// then a burst of ten times its capacity. Accepted requests are carried out. All others are
// asked to retry. Memory stays bounded, and afterwards the process works as before.
func TestOverload(t *testing.T) {
	const (
		clients   = 2000
		places    = 4                 // few, so that the clients are faster than the process on any machine
		takenOn   = places + 4*places // requests in progress or in the queue
		perClient = 64 << 10          // the memory limit of a connection in docs/explanation/design.md
	)
	c := cluster.Serve(t)
	c.Server.Kill()
	c.Server.Set("CLUSTERLITE_MAX_REQUESTS", fmt.Sprint(places))
	c.Server.Set("CLUSTERLITE_REQUEST_MEMORY", "64MiB")
	c.Server.Start()
	c.Server.AwaitReady()
	target := suite.Target{URL: c.URL}
	for range 100 {
		target.Create(t, "before")
	}
	before, _ := c.Server.Resident()

	t.Run("slow clients", func(t *testing.T) { slowClients(t, c, clients) })
	b := &burst{t: t, url: c.URL, lasts: 5}
	if clients < 10*takenOn {
		t.Fatal("got too few clients for a burst, want at least ten times the capacity")
	}
	b.run(clients)
	if b.created.Load() == 0 || b.refused.Load() == 0 {
		t.Errorf("got %d requests of the burst done and %d rejected, want some of each", b.created.Load(), b.refused.Load())
	}
	t.Logf("in the burst, %d requests were done (median %s, longest %s) and %d rejected (median %s)", b.created.Load(), b.done.at(.5), b.done.at(1), b.refused.Load(), b.no.at(.5))
	for range 100 {
		target.Create(t, "after") // it succeeds at once
	}
	_, most := c.Server.Resident()
	t.Logf("the process used %d MiB before and at most %d MiB", before>>20, most>>20)
	if bound := before + clients*perClient + 64<<20; os.Getenv("CLUSTERLITE_E2E_RACE") == "" && most > bound {
		t.Errorf("got a maximum of %d bytes, want at most %d", most, bound)
	}
	if n := c.Server.Status().Entities["users"]; n < b.created.Load()+200 {
		t.Errorf("got %d entities, want at least the %d acknowledged ones", n, b.created.Load()+200)
	}
}

// slowClients sends headers and bodies byte by byte, and checks that other clients are served
// meanwhile.
func slowClients(t *testing.T, c *cluster.Cluster, n int) {
	const head = "POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
	slow := make([]net.Conn, n)
	defer func() {
		for _, s := range slow {
			if s != nil {
				_ = s.Close()
			}
		}
	}()
	for i := range slow {
		var err error
		if slow[i], err = net.Dial("tcp", strings.TrimPrefix(c.URL, "http://")); err != nil {
			t.Fatal(err)
		}
		begin := head
		if i%2 == 0 {
			begin += "\r\n"
		}
		if _, err := io.WriteString(slow[i], begin); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		for _, s := range slow {
			_, _ = io.WriteString(s, "x") // the server may have closed the connection
		}
		for range 20 {
			suite.Target{URL: c.URL}.Create(t, "among slow ones")
		}
	}
	if s := c.Server.Status(); s.Entities["users"] < 160 {
		t.Errorf("got the status %+v, want at least 160 users", s)
	}
}

// A burst is a set of clients that all send at once.
type burst struct {
	t                *testing.T
	url              string
	lasts            int // the number of requests of each client
	created, refused atomic.Int64
	done, no         latencies
}

func (b *burst) run(clients int) {
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range b.lasts {
				b.send(client)
			}
		})
	}
	all.Wait()
}

func (b *burst) send(client *http.Client) {
	start := time.Now()
	r, err := client.Post(b.url+"/users", "application/json", strings.NewReader(suite.UserBody("burst", suite.Email())))
	if err != nil {
		b.t.Error(err)
		return
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	switch took := time.Since(start); {
	case err != nil:
		b.t.Error(err)
	case r.StatusCode == 201:
		b.created.Add(1)
		b.done.add(took)
	case r.StatusCode == 503 && strings.Contains(string(body), "/overloaded") && r.Header.Get("Retry-After") != "":
		b.refused.Add(1)
		b.no.add(took)
	default:
		b.t.Errorf("got the unexpected answer %d %v %s", r.StatusCode, r.Header, body)
	}
}

// latencies records the latencies of many requests.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

// at returns the latency that the given fraction of requests does not exceed.
func (l *latencies) at(part float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return 0
	}
	slices.Sort(l.all)
	return l.all[int(part*float64(len(l.all)-1))]
}
