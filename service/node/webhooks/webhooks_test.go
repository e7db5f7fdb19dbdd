package webhooks_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// Each event is sent once, signed, with its id, and without what clients may not know.
func TestDelivery(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, ""))
	a, b := uuid.NewString(), uuid.NewString()
	want := []string{c.put(a, 1), c.put(b, 1), c.put(a, 2)}
	n := c.start("one")
	want = append(want, c.put(b, 2))
	got := e.await(4)
	if sorted := ids(got); !equalSets(sorted, want) {
		t.Errorf("got %v, want %v", sorted, want)
	}
	for _, r := range got {
		if err := r.verify(t, secrets[0]); err != nil {
			t.Errorf("got %v for the signature, want it to be valid", err)
		}
		if r.header.Get("webhook-id") != r.ID || r.header.Get("Content-Type") != "application/cloudevents+json" || r.Agent != "one" {
			t.Errorf("got header %v, want that of the event %s", r.header, r.ID)
		}
		if strings.Contains(string(r.body), "hash") {
			t.Errorf("got the body %s, want no hash of the request", r.body)
		}
	}
	eventually(t, "lag of 0", func() bool {
		d := n.webhook().Delivery
		return d != nil && d.LagEvents == 0 && d.LagSeconds == 0 && d.LastSuccess != nil
	})
	s := n.webhook()
	if s.State != webhooks.Active || s.Node != "one" || strings.Contains(s.Endpoint, "hidden") || s.Parked+s.Retrying != 0 {
		t.Errorf("got %+v, want an active webhook, delivered by the node, without its path", s)
	}
}

// The records of webhooks don't cause further records: an idle webhook writes nothing.
func TestAnIdleWebhookWritesNothing(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, ""))
	n := c.start("one")
	c.put(uuid.NewString(), 1)
	e.await(1)
	var saved events.Position
	eventually(t, "cursor", func() bool { saved = n.webhook().Cursor; return saved >= 2 })
	n.stop()
	at := n.model.Position()
	// The claim, the event, the cursor, and the release.
	if at > 4 {
		t.Errorf("got position %d, want at most 4 records", at)
	}
}

// Events of an entity are sent in order, also if requests fail; other entities don't wait.
func TestOrderPerEntity(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, `, "concurrency": 8`))
	var mu sync.Mutex
	failures := map[string]int{}
	e.respond(func(r received) int {
		mu.Lock()
		defer mu.Unlock()
		if failures[r.ID]++; failures[r.ID] <= len(r.ID)%3 || failures[r.ID] == 1 && r.Version == "2" {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	entities := make([]string, 5)
	want := map[string][]string{}
	for i := range entities {
		entities[i] = uuid.NewString()
	}
	for v := range int64(6) {
		for _, entity := range entities {
			want[entity] = append(want[entity], c.put(entity, v+1))
		}
	}
	c.start("one")
	got := map[string][]string{}
	for _, r := range e.await(30) {
		for _, entity := range entities {
			if strings.Contains(string(r.body), entity) {
				got[entity] = append(got[entity], r.ID)
			}
		}
	}
	for _, entity := range entities {
		if !slices.Equal(got[entity], want[entity]) {
			t.Errorf("entity %s: got %v, want %v", entity, got[entity], want[entity])
		}
	}
}

// An event that always fails holds up only its entity, and is parked in the end. Later events of the
// entity follow. It can be replayed.
func TestParkAndReplay(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, `, "retry_for": "400ms"`))
	a, b := uuid.NewString(), uuid.NewString()
	poison := c.put(a, 1)
	e.respond(func(r received) int {
		if r.ID == poison {
			return http.StatusUnprocessableEntity
		}
		return http.StatusOK
	})
	later := c.put(a, 2)
	n := c.start("one")
	other := c.put(b, 1)
	if got := ids(e.await(1)); got[0] != other {
		t.Errorf("got %v first, want the event of the other entity %s", got[0], other)
	}
	eventually(t, "parked event", func() bool { return n.webhook().Parked == 1 })
	if got := ids(e.await(2)); got[1] != later {
		t.Errorf("got %v, want the later event %s of the entity", got, later)
	}
	parked, err := n.Parked(servicetest.Context(t), "w")
	if err != nil || len(parked) != 1 || parked[0].Event != poison || parked[0].Entity != a || parked[0].Attempts < 1 || parked[0].Problem != "the endpoint answered 422" {
		t.Errorf("got %+v, %v, want the event with its failure", parked, err)
	}
	if _, err := n.Replay(servicetest.Context(t), "w", []string{later}); err != webhooks.ErrNotParked { //nolint:errorlint // exact
		t.Errorf("replay of an event that is not parked: got %v, want %v", err, webhooks.ErrNotParked)
	}
	e.respond(status(http.StatusOK))
	if replayed, err := n.Replay(servicetest.Context(t), "w", nil); err != nil || replayed != 1 {
		t.Errorf("got %d, %v, want 1 event", replayed, err)
	}
	if got := ids(e.await(3)); got[2] != poison {
		t.Errorf("got %v, want the parked event %s again", got, poison)
	}
	eventually(t, "end of the records", func() bool { s := n.webhook(); return s.Parked+s.Retrying == 0 })
}

// While the endpoint is down, few events are tried, and nothing is lost.
func TestAnEndpointThatIsDown(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, ""))
	var want []string
	for range 40 {
		want = append(want, c.put(uuid.NewString(), 1))
	}
	var mu sync.Mutex
	requests := 0
	e.respond(func(received) int {
		mu.Lock()
		defer mu.Unlock()
		requests++
		return http.StatusServiceUnavailable
	})
	n := c.start("one")
	eventually(t, "endpoint that is down", func() bool { d := n.webhook().Delivery; return d != nil && d.Down })
	before := n.webhook()
	if before.Delivery.LagEvents < 30 || before.Delivery.LastFailure == nil || before.Delivery.LagSeconds <= 0 || before.Parked > 0 {
		t.Errorf("got %+v, want a lag and a failure", before.Delivery)
	}
	e.respond(status(http.StatusOK))
	e.await(40)
	if got := ids(e.accepted()); !equalSets(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	eventually(t, "cursor at the end", func() bool { s := n.webhook(); return s.Retrying == 0 && s.Cursor >= 40 })
}

// 410 disables the webhook on all nodes, until an operator resumes it.
func TestGoneDisables(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, ""))
	one, two := c.start("one"), c.start("two")
	e.respond(status(http.StatusGone))
	id := c.put(uuid.NewString(), 1)
	for _, n := range []*node{one, two} {
		eventually(t, "disabled webhook", func() bool { return n.webhook().State == webhooks.Disabled })
		if s := n.webhook(); s.Reason != "the endpoint answered 410 Gone" || s.Since == nil || s.Node != "" {
			t.Errorf("got %+v, want the reason", s)
		}
	}
	e.respond(status(http.StatusOK))
	if err := two.Decide(servicetest.Context(t), "w", webhooks.Active, ""); err != nil {
		t.Fatal(err)
	}
	if got := ids(e.await(1)); got[0] != id {
		t.Errorf("got %v, want the event that the endpoint refused", got)
	}
}

// A paused webhook sends nothing, and continues where it was.
func TestPause(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, ""))
	n := c.start("one")
	n.delivers()
	if err := n.Decide(servicetest.Context(t), "w", webhooks.Paused, "maintenance"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "end of deliveries", func() bool { return n.webhook().Delivery == nil })
	id := c.put(uuid.NewString(), 1)
	if s := n.webhook(); s.State != webhooks.Paused || s.Reason != "maintenance" || len(e.accepted()) > 0 {
		t.Errorf("got %+v and %d requests, want a paused webhook", s, len(e.accepted()))
	}
	if err := n.Decide(servicetest.Context(t), "w", webhooks.Active, ""); err != nil {
		t.Fatal(err)
	}
	if got := ids(e.await(1)); !slices.Equal(got, []string{id}) {
		t.Errorf("got %v, want %s", got, id)
	}
	if err := n.Decide(servicetest.Context(t), "x", webhooks.Paused, ""); err != webhooks.ErrUnknown { //nolint:errorlint // exact
		t.Errorf("got %v, want %v", err, webhooks.ErrUnknown)
	}
}

// While a secret is replaced, requests have a signature of each.
func TestRotationOfSecrets(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, ""))
	n := c.start("one")
	n.delivers()
	c.write("secret", secrets[1]+"\n"+secrets[0]+"\n")
	var last received
	for count := 1; ; count++ { // the new content takes effect soon
		c.put(uuid.NewString(), 1)
		if last = e.await(count)[count-1]; last.verify(t, secrets[1]) == nil {
			break
		}
	}
	if err := last.verify(t, secrets[0]); err != nil {
		t.Errorf("got %v for the old secret, want a signature of it too", err)
	}
	c.write("secret", "whsec_short")
	eventually(t, "mistake", func() bool { l, err := n.List(servicetest.Context(t)); return err == nil && l.Mistake != "" })
	l, _ := n.List(servicetest.Context(t))
	if strings.Contains(l.Mistake, "short") {
		t.Errorf("got %q, want no part of the secret", l.Mistake)
	}
}

// After a restart, with the same projection or with one that was built again, nothing is sent twice.
func TestARestartAndARebuildSendNothingAgain(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, ""))
	n := c.start("one")
	entity := uuid.NewString()
	want := []string{c.put(entity, 1), c.put(entity, 2)}
	e.await(2)
	n.stop()
	n = c.startWith("one", n.model, timing)
	want = append(want, c.put(entity, 3))
	e.await(3)
	n.stop()
	n = c.start("one") // with an empty folder
	want = append(want, c.put(entity, 4))
	e.await(4)
	n.stop()
	if got := ids(e.accepted()); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A request that is in flight when the node stops completes, so its event is not sent again.
func TestAStopAwaitsRequestsInFlight(t *testing.T) {
	e := newEndpoint(t)
	const slowly = 100 * time.Millisecond
	arrived := make(chan struct{}, 1)
	e.respond(func(received) int {
		arrived <- struct{}{}
		time.Sleep(slowly) // what the endpoint has to do
		return http.StatusNoContent
	})
	c := newCluster(t, declaration(e.url, ""))
	n := c.start("one")
	entity := uuid.NewString()
	want := []string{c.put(entity, 1)}
	<-arrived
	n.stop()
	c.start("one")
	want = append(want, c.put(entity, 2))
	<-arrived
	if got := ids(e.await(2)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// One node delivers at a time. If it stops, another one continues at once; if it dies, soon.
func TestTakeover(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, ""))
	one := c.start("one")
	one.delivers()
	two, three := c.start("two"), c.start("three")
	entity := uuid.NewString()
	want := []string{c.put(entity, 1)}
	e.await(1)
	one.stop()
	c.announce("one", roster.Left)
	eventually(t, "delivery by another node", func() bool { return two.webhook().Delivery != nil || three.webhook().Delivery != nil })
	want = append(want, c.put(entity, 2))
	e.await(2)
	first, second := two, three
	if two.webhook().Node == "three" {
		first, second = three, two
	}
	first.dead.Store(true)
	eventually(t, "delivery by the third node", func() bool { return second.webhook().Delivery != nil })
	// The node that was considered to be dead learns of it.
	eventually(t, "end of the first deliveries", func() bool { return first.webhook().Delivery == nil })
	want = append(want, c.put(entity, 3))
	got := e.await(3)
	if last := got[len(got)-1]; last.Agent != second.name {
		t.Errorf("got the last request from %s, want it from %s", last.Agent, second.name)
	}
	if !slices.Equal(dedupe(ids(got)), want) {
		t.Errorf("got %v, want %v in this order", ids(got), want)
	}
}

// A webhook can be sent back to a position.
func TestRewind(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, ""))
	entity := uuid.NewString()
	all := []string{c.put(entity, 1), c.put(entity, 2), c.put(entity, 3)}
	n := c.start("one")
	e.await(3)
	if err := n.Rewind(servicetest.Context(t), "w", 1); err != nil {
		t.Fatal(err)
	}
	if got := ids(e.await(5)); !slices.Equal(got, append(slices.Clone(all), all[1:]...)) {
		t.Errorf("got %v, want %v and the last two again", got, all)
	}
	if err := n.Rewind(servicetest.Context(t), "w", 1<<40); err != webhooks.ErrBeyond { //nolint:errorlint // exact
		t.Errorf("got %v, want %v", err, webhooks.ErrBeyond)
	}
}

// A webhook gets only the events that it asks for. A new one begins now.
func TestSelection(t *testing.T) {
	e := newEndpoint(t)
	a, b := uuid.NewString(), uuid.NewString()
	c := newCluster(t, strings.Replace(declaration(e.url, `, "types": ["updated"], "filter": "id=`+a+`"`), `"beginning"`, `"now"`, 1))
	c.put(a, 1)
	c.put(a, 2)
	n := c.start("one")
	n.delivers()
	c.put(b, 1)
	c.put(b, 2)
	want := []string{c.put(a, 3)}
	if got := ids(e.await(1)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A redirect is a failure, and is not followed.
func TestRedirectsAreNotFollowed(t *testing.T) {
	e := newEndpoint(t)
	c := newCluster(t, declaration(e.url, `, "retry_for": "0s"`))
	e.respond(status(http.StatusFound))
	c.put(uuid.NewString(), 1)
	n := c.start("one")
	eventually(t, "parked event", func() bool { return n.webhook().Parked == 1 })
	if parked, err := n.Parked(servicetest.Context(t), "w"); err != nil || parked[0].Problem != "the endpoint answered 302, and redirects are not followed" || parked[0].Attempts != 1 {
		t.Errorf("got %+v, %v, want the redirect", parked, err)
	}
}

func dedupe(ids []string) (once []string) {
	for _, id := range ids {
		if !slices.Contains(once, id) {
			once = append(once, id)
		}
	}
	return once
}

func equalSets(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
