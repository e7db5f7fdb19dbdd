package queryapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

const adaID = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d"

// A fake is a log and a read model with one entity. It fails on request.
type fake struct {
	queryapi.ReadModel // nil: a method that a test does not expect panics

	end        events.Position
	endErr     error
	barrierErr error
	position   events.Position
	// waitErr is the result of waiting for a position that the model has not reached. If it is
	// nil, the wait ends with its context.
	waitErr      error
	ready, stuck error
	readErr      error

	ends, barriers int
}

func (f *fake) End(context.Context) (events.Position, error) {
	f.ends++
	return f.end, f.endErr
}

func (f *fake) Barrier(context.Context) (events.Position, error) {
	f.barriers++
	return f.end, errors.Join(f.endErr, f.barrierErr)
}

func (f *fake) Position() events.Position { return f.position }

func (f *fake) WaitFor(ctx context.Context, position events.Position) error {
	if f.position >= position {
		return nil
	}
	if f.waitErr != nil {
		return f.waitErr
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *fake) Ready(time.Duration) error { return f.ready }

func (f *fake) Stuck() error { return f.stuck }

func (f *fake) Entity(context.Context, string, string) (reads.Entity, bool, events.Position, error) {
	e := reads.Entity{ID: adaID, Version: 1, CreatedAt: "2026-11-22T12:00:00.000Z", UpdatedAt: "2026-11-22T12:00:00.000Z", Rendered: []byte(`{"id":"` + adaID + `"}`)}
	return e, true, f.position, f.readErr
}

func (f *fake) ReadAsMissing(context.Context, string, string) error { return f.readErr }

func (f *fake) CachedPage(string, string) (page any, at events.Position, ticket projections.Ticket) {
	return nil, 0, projections.Ticket{}
}

func (f *fake) BeginRead(context.Context) (*reads.Tx, error) { return nil, f.readErr }

func (f *fake) BeginLongRead(context.Context) (*reads.Tx, error) { return nil, f.readErr }

// get sends a GET request to an API on the fake.
func (f *fake) get(t *testing.T, path string, headers ...string) *http.Response {
	t.Helper()
	a := &queryapi.API{Log: f, Model: f, Collections: servicetest.Collections(t), Default: events.Strong, Wait: 20 * time.Millisecond, MaxLag: time.Minute}
	e := servicetest.Echo(web.Options{})
	contract.Mount(e, a.Routes())
	return servicetest.Do(e, http.MethodGet, path, "", headers...)
}

// wantProblem fails unless a response is a problem of a kind whose detail contains a text.
func wantProblem(t *testing.T, r *http.Response, kind, detail string) {
	t.Helper()
	var got struct{ Type, Detail string }
	if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != http.StatusServiceUnavailable || !strings.HasSuffix(got.Type, "/"+kind) || !strings.Contains(got.Detail, detail) {
		t.Errorf("got %d %+v, want 503 %s with %q", r.StatusCode, got, kind, detail)
	}
	if r.Header.Get("Retry-After") == "" {
		t.Errorf("%s: got no Retry-After, want one", kind)
	}
}

const (
	strong       = "Clusterlite-Consistency: strong"
	linearizable = "Clusterlite-Consistency: linearizable"
	eventual     = "Clusterlite-Consistency: eventual"
)

func TestWhatEachConsistencyAsksOfTheLog(t *testing.T) {
	for header, want := range map[string]struct {
		given          string
		ends, barriers int
	}{
		"X: y": {"strong", 1, 0}, strong: {"strong", 1, 0}, linearizable: {"linearizable", 0, 1}, eventual: {"eventual", 0, 0},
	} {
		f := &fake{end: 7, position: 7}
		r := f.get(t, "/users/"+adaID, header)
		if got := r.Header.Get("Clusterlite-Consistency"); r.StatusCode != http.StatusOK || got != want.given || r.Header.Get("Clusterlite-Position") != "7" {
			t.Errorf("%s: got %d with %v, want 200 with %s at position 7", header, r.StatusCode, r.Header, want.given)
		}
		if f.ends != want.ends || f.barriers != want.barriers {
			t.Errorf("%s: got %d calls of End and %d of Barrier, want %+v", header, f.ends, f.barriers, want)
		}
	}
}

// Without the broker, only a read that does not demand a consistency is answered. Its response
// says that it may be old.
func TestReadsWithoutTheBroker(t *testing.T) {
	f := &fake{endErr: eventlog.ErrUnreachable, position: 7}
	if r := f.get(t, "/users/"+adaID); r.StatusCode != http.StatusOK || r.Header.Get("Clusterlite-Consistency") != "eventual" {
		t.Errorf("got %d with %v, want 200 and eventual", r.StatusCode, r.Header)
	}
	wantProblem(t, f.get(t, "/users/"+adaID, strong), "broker-unreachable", "can't reach the broker")
	wantProblem(t, f.get(t, "/users/"+adaID, linearizable), "broker-unreachable", "no broker proved")
	f.ready = errors.New("it has never caught up")
	wantProblem(t, f.get(t, "/users/"+adaID), "not-ready", "This node is not ready.")
}

// A read that times out while it waits for its position reports the position of the node.
func TestReadsThatTimeOut(t *testing.T) {
	for _, headers := range [][]string{nil, {strong}, {linearizable}, {eventual, "Clusterlite-Min-Position: 9"}} {
		f := &fake{end: 9, position: 7}
		r := f.get(t, "/users/"+adaID, headers...)
		if got := r.Header.Get("Clusterlite-Position"); got != "7" {
			t.Errorf("%v: got position %q, want 7", headers, got)
		}
		wantProblem(t, r, "read-model-behind", "This node is at position 7; the read requires position 9.")
	}
}

// A node that is not ready answers at once, whatever the client asks for.
func TestReadsOfANodeThatIsNotReady(t *testing.T) {
	for _, headers := range [][]string{nil, {strong}, {linearizable}, {eventual}, {eventual, "Clusterlite-Min-Position: 9"}} {
		for _, path := range []string{"/users/" + adaID, "/users"} {
			f := &fake{end: 9, position: 7, ready: errors.New("it is behind"), waitErr: errors.New("unexpected wait")}
			wantProblem(t, f.get(t, path, headers...), "not-ready", "This node is not ready.")
		}
	}
}

// If the model can't apply the log, a read names the reason and not the wait that it caused.
func TestReadsOfAStuckModel(t *testing.T) {
	stuck := &projections.ApplyError{Err: errors.New("a constraint failed")}
	for name, f := range map[string]*fake{
		"while it waits":                    {end: 9, position: 7, stuck: stuck},
		"although it has reached the end":   {end: 7, position: 7, stuck: stuck},
		"as the result of the wait":         {end: 9, position: 7, waitErr: stuck},
		"as the reason that it isn't ready": {end: 9, position: 7, ready: stuck},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, f.get(t, "/users/"+adaID), "not-ready", "This node currently can't apply the log.")
		})
	}
}

func TestReadsOfANodeThatStops(t *testing.T) {
	f := &fake{end: 9, position: 7, waitErr: eventlog.ErrClosed}
	wantProblem(t, f.get(t, "/users/"+adaID), "not-ready", "The node is shutting down.")
}

func TestReadsOfAnOverloadedModel(t *testing.T) {
	for _, c := range []struct {
		err               error
		path, media, says string
	}{
		{projections.ErrOverloaded, "/users/" + adaID, "application/json", "too many reads are running"},
		{projections.ErrOverloaded, "/users", "application/json", "too many reads are running"},
		{projections.ErrOverloaded, "/users", "application/x-ndjson", "too many reads are running"},
		{projections.ErrBusy, "/users", "application/x-ndjson", "the maximum number of streams"},
	} {
		f := &fake{end: 7, position: 7, readErr: c.err}
		wantProblem(t, f.get(t, c.path, "Accept: "+c.media), "overloaded", c.says)
	}
}
