package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/feed"
	"github.com/clusterlite/clusterlite/e2e/history"
)

// A reader follows the change feed from the beginning of the log, through all faults of a run. Each of
// its connections goes to Nginx or to one of the query services. At the end of the run its sequence
// must equal the export of the log.
type reader struct {
	number int

	mu          sync.Mutex
	offset      string
	ids         []string // of the events
	last        int64    // the position of the last change
	violations  []string
	connections int
}

const readers = 4

// follow starts the readers. The function that it returns stops them, and may be called twice.
func (run *Run) follow() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range readers {
		r := &reader{number: i + 1, offset: "-1"}
		run.readers = append(run.readers, r)
		rng := rand.New(rand.NewPCG(run.Seed, uint64(1<<32+i)))
		follower := feed.Follower{Path: "/users/changes", Seen: r.seen, Node: func() string {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.connections++
			if rng.IntN(2) == 0 {
				return run.cluster.URL
			}
			nodes := run.queries()
			return nodes[rng.IntN(len(nodes))].URL
		}}
		all.Go(func() {
			for ctx.Err() == nil {
				if err := follower.Follow(ctx, r.at()); err != nil && ctx.Err() == nil {
					r.violate("%v", err)
				}
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// seen takes what the store sent.
func (r *reader) seen(changes []feed.Change, offset string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range changes {
		position, err := strconv.ParseInt(c.Position, 10, 64)
		if err != nil || position <= r.last {
			r.violations = append(r.violations, fmt.Sprintf("%s after position %d", c, r.last))
		}
		r.last = position
		r.ids = append(r.ids, c.ID)
	}
	r.offset = offset
	return true
}

func (r *reader) at() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.offset
}

func (r *reader) violate(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, fmt.Sprintf(format, args...))
}

// news returns the violations since the last call.
func (r *reader) news() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.violations
	r.violations = nil
	return all
}

// followed checks that each reader reaches the end of the log after a fault, and reports what it got out
// of order or twice.
func (r *round) followed() {
	end, err := tail(r.run.cluster.Queries[0], r.run.strongest)
	if err != nil {
		r.violate("the end of the feed: %v", err)
		return
	}
	for _, reader := range r.run.readers {
		if !reader.reaches(end) {
			r.violate("reader %d of the feed is at %s, and does not reach %s", reader.number, reader.at(), end)
		}
		for _, v := range reader.news() {
			r.violate("reader %d of the feed: %s", reader.number, v)
		}
	}
}

// reaches waits until the reader is at an offset or after it.
func (r *reader) reaches(end string) bool {
	// Offsets have equal lengths, so they compare as texts.
	return within(healthyWithin, func() bool { return r.at() >= end && r.at() != "-1" })
}

// tail returns the offset of the end of the feed.
func tail(p *cluster.Process, consistency string) (offset string, err error) {
	request, err := http.NewRequest(http.MethodHead, p.URL+"/users/changes", http.NoBody)
	if err != nil {
		return "", err
	}
	request.Header.Set("Clusterlite-Consistency", consistency)
	var response *http.Response
	within(healthyWithin, func() bool {
		response, err = (&http.Client{Timeout: readPatience}).Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", response.StatusCode)
			}
		}
		return err == nil
	})
	if err != nil {
		return "", err
	}
	return response.Header.Get("Stream-Next-Offset"), nil
}

// compare compares what each reader got in the whole run with the export of the log. A write of
// unknown outcome may still be appended, so both are compared up to the present end.
func (run *Run) compare(stop func()) {
	end, err := tail(run.cluster.Queries[0], run.strongest)
	if err != nil {
		run.t.Errorf("the end of the feed: %v", err)
		return
	}
	for _, r := range run.readers {
		if !r.reaches(end) {
			run.t.Errorf("reader %d of the feed is at %s, and does not reach %s", r.number, r.at(), end)
		}
	}
	stop()
	out, err := run.tool("events", "export", "--until", strings.TrimLeft(end, "0"), "--out", "-").Output()
	if err != nil {
		run.t.Errorf("export the log: %v", err)
		return
	}
	var want []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ ID, Subject string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			run.t.Errorf("an exported line: %v: %s", err, lines.Bytes())
			return
		}
		if e.Subject != "" { // neither the header nor the trailer
			want = append(want, e.ID)
		}
	}
	for _, r := range run.readers {
		run.t.Logf("reader %d of the feed: %d changes over %d connections, %d exported", r.number, len(r.ids), r.connections, len(want))
		if said := history.CheckSequence(r.ids, want); said != "" {
			run.t.Errorf("reader %d of the feed: %s", r.number, said)
		}
	}
}
