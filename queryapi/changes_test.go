package queryapi_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A change is what tests look at.
type change struct {
	ID, Type, Subject, Position, Appendedat, Claims, Idempotencykey, Requesthash string
	Data, Previous                                                               json.RawMessage
}

// newFeed returns a node whose live reads are short.
func newFeed(t testing.TB, timing changes.Timing) node {
	t.Helper()
	set := servicetest.Collections(t)
	b := servicetest.StartBroker(t)
	log := b.OpenLog()
	model := servicetest.OpenModel(t, log, set).Follow()
	a := &queryapi.API{Log: log, Model: model.Projection, Collections: set, Default: events.Strong, Wait: 5 * time.Second, MaxLag: time.Minute, FeedTiming: timing, PastWindow: 3}
	e := servicetest.Echo(web.Options{})
	contract.Mount(e, a.Routes())
	return node{e, t, b, log, model}
}

// write appends an event of an entity.
func (n node) write(id string, kind events.Kind, version int64, name string) events.Position {
	n.t.Helper()
	e := events.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: id, Kind: kind, Version: version,
		Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
	}
	if kind != events.Deleted {
		e.Document = fmt.Appendf(nil, `{"name":%q,"email":"%s@example.com"}`, name, id)
		e.Claims = []string{"email:AAAAAAAAAAAAAAAAAAAAAA"}
		e.IdempotencyKey, e.RequestHash = uuid.NewString(), "hash"
	}
	at, err := n.log.Append(servicetest.Context(n.t), e)
	if err != nil {
		n.t.Fatal(err)
	}
	return at
}

func (n node) changes(path string) (got []change, r *http.Response) {
	n.t.Helper()
	return n.changesAs("", path)
}

func (n node) changesAs(user, path string) (got []change, r *http.Response) {
	n.t.Helper()
	r = n.get(path, 200, "X-User: "+user)
	if err := json.Unmarshal([]byte(servicetest.Body(n.t, r)), &got); err != nil {
		n.t.Fatal(err)
	}
	return got, r
}

func positions(all []change) (got []string) {
	for _, c := range all {
		got = append(got, c.Position)
	}
	return got
}

func TestChangesCatchUp(t *testing.T) {
	n := newFeed(t, changes.Timing{})
	a, b := uuid.NewString(), uuid.NewString()
	n.write(a, events.Created, 1, "Ada")
	n.write(b, events.Created, 1, "void, because the claim is taken")
	n.write(a, events.Updated, 2, "Ada L")
	n.write(a, events.Deleted, 3, "")
	got, r := n.changes("/users/changes")
	if want := []string{"1", "3", "4"}; !slices.Equal(positions(got), want) {
		t.Fatalf("got positions %v, want %v", positions(got), want)
	}
	if h := r.Header; h.Get("Stream-Next-Offset") != "0000000000000004" || h.Get("Stream-Up-To-Date") != "true" || h.Get("Cache-Control") != "no-cache" || h.Get("Content-Type") != "application/json" ||
		h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("got header %v, want that of an answer up to the tail", h)
	}
	for i, c := range got {
		if c.Claims+c.Idempotencykey+c.Requesthash != "" || c.Previous != nil || c.Appendedat == "" || c.Subject == "" {
			t.Errorf("change %d: got %+v, want no claims, key, hash and previous", i, c)
		}
	}
	if c := got[1]; c.Type != "clusterlite.users.updated" || string(c.Data) != fmt.Sprintf(`{"name":"Ada L","email":"%s@example.com"}`, a) {
		t.Errorf("got %+v, want the update with its document", c)
	}
	got, _ = n.changes("/changes?previous=true&offset=-1")
	for i, want := range []string{"null", `"Ada"`, `"Ada L"`} {
		if previous := string(got[i].Previous); !strings.Contains(previous, want) {
			t.Errorf("change %d: got previous %s, want %s", i, previous, want)
		}
	}
	for path, want := range map[string][]string{
		"/users/changes?offset=1":                {"3", "4"},
		"/users/changes?offset=0000000000000003": {"4"},
		"/users/changes?offset=4":                nil,
		"/users/changes?offset=now":              nil,
		"/users/changes?type=deleted,created":    {"1", "4"},
		"/users/changes?id=" + b:                 nil,
		"/users/changes?id=" + b + "," + a:       {"1", "3", "4"},
	} {
		if got, r := n.changes(path); !slices.Equal(positions(got), want) || r.Header.Get("Stream-Next-Offset") != "0000000000000004" {
			t.Errorf("%s: got %v up to %s, want %v up to 4", path, positions(got), r.Header.Get("Stream-Next-Offset"), want)
		}
	}
	// A full answer never changes, and its end does not depend on the tail.
	got, r = n.changes("/users/changes?limit=2")
	if h := r.Header; len(got) != 2 || h.Get("Stream-Next-Offset") != "0000000000000003" || h.Get("Stream-Up-To-Date") != "" || h.Get("Cache-Control") != "public, max-age=31536000, immutable" {
		t.Errorf("a full answer: got %d changes, header %v", len(got), h)
	}
	n.get("/users/changes?limit=2", 304, "If-None-Match: "+r.Header.Get("ETag"))
	if r := servicetest.Do(n, "HEAD", "/users/changes", ""); r.StatusCode != 200 || r.Header.Get("Stream-Next-Offset") != "0000000000000004" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("HEAD: got %d, %v, want the tail", r.StatusCode, r.Header)
	}
	for path, status := range map[string]int{
		"/none/changes": 404, "/users/changes?offset=x": 400, "/users/changes?offset=": 400, "/users/changes?offset=-2": 400, "/users/changes?live=sse": 400,
		"/users/changes?live=x&offset=0": 400, "/users/changes?limit=0": 400, "/users/changes?type=x": 400, "/users/changes?previous=x": 400,
		"/users/changes?ofset=1": 400, "/users/changes?offset=1&offset=2": 400, "/changes?live=long-poll": 400, "/changes/x/y": 404,
	} {
		if h := n.get(path, status).Header; h.Get("X-Content-Type-Options") != "nosniff" && !strings.HasPrefix(path, "/changes/") {
			t.Errorf("%s: got header %v, want nosniff", path, h)
		}
	}
	if r := servicetest.Do(n, "POST", "/users/changes", "{}"); r.StatusCode != 405 {
		t.Errorf("POST: got %d, want 405", r.StatusCode)
	}
	if r := servicetest.Do(n, "OPTIONS", "/changes", ""); r.StatusCode != 204 || r.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("OPTIONS: got %d, %v", r.StatusCode, r.Header)
	}
}

func TestChangesLongPoll(t *testing.T) {
	n := newFeed(t, changes.Timing{Poll: 300 * time.Millisecond})
	a := uuid.NewString()
	n.write(a, events.Created, 1, "Ada")
	got, r := n.changes("/users/changes?offset=-1&live=long-poll")
	if want := []string{"1"}; !slices.Equal(positions(got), want) || r.Header.Get("Stream-Cursor") == "" || r.Header.Get("Stream-Up-To-Date") != "true" {
		t.Errorf("with a change there: got %v, %v, want %v", positions(got), r.Header, want)
	}
	r = n.get("/users/changes?offset=now&live=long-poll", 204)
	if h := r.Header; h.Get("Stream-Next-Offset") != "0000000000000001" || h.Get("Stream-Up-To-Date") != "true" || h.Get("Stream-Cursor") == "" {
		t.Errorf("without a change: got %v, want the tail", h)
	}
	cursor, err := strconv.Atoi(r.Header.Get("Stream-Cursor"))
	if err != nil {
		t.Fatal(err)
	}
	r = n.get(fmt.Sprintf("/users/changes?cursor=%d&offset=1&live=long-poll", cursor), 204)
	if next, err := strconv.Atoi(r.Header.Get("Stream-Cursor")); err != nil || next <= cursor {
		t.Errorf("got cursor %d, %v after %d, want a greater one", next, err, cursor)
	}
	n = newFeed(t, changes.Timing{})
	polled := make(chan []change)
	go func() {
		got, _ := n.changes("/users/changes?offset=now&live=long-poll")
		polled <- got
	}()
	for i := 0; ; i++ { // one of them comes after the poll has begun
		n.created(i)
		select {
		case got := <-polled:
			if len(got) == 0 {
				t.Error("got no change, want one")
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A listener reads server-sent events.
type listener struct {
	t        testing.TB
	response *http.Response
	lines    *bufio.Scanner
}

func listen(t testing.TB, url string, header ...string) *listener {
	t.Helper()
	r, err := http.NewRequestWithContext(servicetest.Context(t), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" || response.Header.Get("Content-Encoding") != "" ||
		!strings.Contains(response.Header.Get("Cache-Control"), "no-cache") {
		t.Fatalf("got %d, %v, want a stream", response.StatusCode, response.Header)
	}
	l := &listener{t, response, bufio.NewScanner(response.Body)}
	l.lines.Buffer(nil, 4<<20)
	return l
}

// next returns the next event. ok is false at the end of the stream.
func (l *listener) next() (event, id, data string, ok bool) {
	for l.lines.Scan() {
		switch name, value, _ := strings.Cut(l.lines.Text(), ":"); name {
		case "event":
			event = strings.TrimSpace(value)
		case "id":
			id = strings.TrimSpace(value)
		case "data":
			data = value
		case "":
			if event != "" {
				return event, id, data, true
			}
		}
	}
	return "", "", "", false
}

// collect returns the positions of changes until there are n of them, and the last id.
func (l *listener) collect(n int) (got []string, last string) {
	l.t.Helper()
	for len(got) < n {
		event, id, data, ok := l.next()
		if !ok {
			l.t.Fatalf("the stream ended after %d of %d changes: %v", len(got), n, l.lines.Err())
		}
		if event == "data" {
			var some []change
			if err := json.Unmarshal([]byte(data), &some); err != nil {
				l.t.Fatal(err)
			}
			got, last = append(got, positions(some)...), id
		}
	}
	return got, last
}

func upTo(first, last int) (want []string) {
	for i := first; i <= last; i++ {
		want = append(want, strconv.Itoa(i))
	}
	return want
}

func TestChangesSSE(t *testing.T) {
	n := newFeed(t, changes.Timing{Heartbeat: 20 * time.Millisecond})
	url := serveFeed(t, n)
	for i := range 3 {
		n.created(i)
	}
	l := listen(t, url+"/users/changes?offset=-1&live=sse")
	if got, last := l.collect(3); !slices.Equal(got, upTo(1, 3)) || last != "0000000000000003" {
		t.Errorf("got %v, id %s, want the three changes", got, last)
	}
	if event, id, data, _ := l.next(); event != "control" || id != "0000000000000003" || !strings.Contains(data, `"streamNextOffset":"0000000000000003","streamCursor":"`) {
		t.Errorf("got %s %s %s, want the control event", event, id, data)
	}
	now := listen(t, url+"/changes?offset=now&live=sse", "Accept-Encoding: gzip")
	if event, _, data, _ := now.next(); event != "control" || !strings.Contains(data, `"streamNextOffset":"0000000000000003"`) || !strings.Contains(data, `"upToDate":true`) {
		t.Errorf("from now: got %s %s, want the tail", event, data)
	}
	for i := range 3 {
		n.created(3 + i)
	}
	for _, l := range []*listener{l, now} {
		if got, _ := l.collect(3); !slices.Equal(got, upTo(4, 6)) {
			t.Errorf("live: got %v, want the changes 4 to 6", got)
		}
	}
	// A browser that connects again sends the last id. It precedes the offset in the URL.
	again := listen(t, url+"/users/changes?offset=now&live=sse", "Last-Event-ID: 0000000000000002")
	if got, _ := again.collect(4); !slices.Equal(got, upTo(3, 6)) {
		t.Errorf("again: got %v, want the changes 3 to 6", got)
	}
	// Progress past changes that do not match.
	rare := listen(t, url+"/users/changes?offset=-1&live=sse&type=deleted")
	for {
		event, id, _, ok := rare.next()
		if !ok || event != "control" {
			t.Fatalf("got %s, %t, want control events", event, ok)
		}
		if id == "0000000000000006" {
			break
		}
	}
	id := uuid.NewString()
	n.write(id, events.Created, 1, "Ada")
	n.write(id, events.Deleted, 2, "")
	if got, _ := rare.collect(1); !slices.Equal(got, []string{"8"}) {
		t.Errorf("rare: got %v, want the deletion", got)
	}
}

func TestChangesSSEEnds(t *testing.T) {
	n := newFeed(t, changes.Timing{Life: 50 * time.Millisecond})
	url := serveFeed(t, n)
	l := listen(t, url+"/changes?offset=now&live=sse")
	for {
		if _, _, _, ok := l.next(); !ok {
			break
		}
	}
	if err := l.lines.Err(); err != nil {
		t.Errorf("got %v, want an orderly end", err)
	}
}

// Many clients get every change once and in order, while they connect again and again, from memory
// and from the journal.
func TestChangesManyClients(t *testing.T) {
	n := newFeed(t, changes.Timing{Life: 100 * time.Millisecond})
	url := serveFeed(t, n)
	const clients, all = 20, 600
	var wait sync.WaitGroup
	for i := range clients {
		wait.Go(func() {
			var got []string
			last := "-1"
			for len(got) < all {
				l := listen(t, url+"/users/changes?live=sse&offset="+last)
				for len(got) < all {
					event, id, data, ok := l.next()
					if !ok {
						break
					}
					if last = id; event == "data" {
						var some []change
						if err := json.Unmarshal([]byte(data), &some); err != nil {
							t.Error(err)
						}
						got = append(got, positions(some)...)
					}
				}
				_ = l.response.Body.Close()
			}
			if !slices.Equal(got, upTo(1, all)) {
				t.Errorf("client %d: got %d changes that are not 1 to %d in order", i, len(got), all)
			}
		})
	}
	for i := range all {
		n.created(i)
	}
	wait.Wait()
}
