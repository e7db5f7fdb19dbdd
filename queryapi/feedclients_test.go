package queryapi_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// serveFeed serves a node as programs do, and returns its URL.
func serveFeed(t testing.TB, n node) string {
	t.Helper()
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- web.Serve(ctx, l, nil, n, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("got %v from the server, want an orderly end", err)
		}
	})
	return "http://" + l.Addr().String()
}

// Clients that ask for the same share pieces, also if the server does not let go of the connection, as
// with HTTP/2. Each client gets what it asks for, and no other.
func TestClientsThatShareGetWhatTheyAskFor(t *testing.T) {
	n := newFeed(t, changes.Timing{})
	through := httptest.NewServer(n)
	t.Cleanup(through.Close)
	alone := serveFeed(t, n)
	a := uuid.NewString()
	n.write(a, events.Created, 1, "Ada")
	queries := map[string][]string{
		"":                         {"2", "3", "4"},
		"&type=updated":            {"2", "3"},
		"&type=deleted":            {"4"},
		"&type=deleted,updated":    {"2", "3", "4"},
		"&id=" + a:                 {"2", "3", "4"},
		"&limit=1":                 {"2", "3", "4"},
		"&cursor=9007199254740000": {"2", "3", "4"},
		"&previous=true&name=Ada":  {"3", "4"},
	}
	listeners := map[string][]*listener{}
	for query := range queries {
		for _, url := range []string{alone, through.URL} {
			for range 3 {
				l := listen(t, url+"/users/changes?live=sse&offset=1"+query)
				if event, id, _, _ := l.next(); event != "control" || id != "0000000000000001" {
					t.Fatalf("%s: got %s at %s, want the offset to start from", query, event, id)
				}
				listeners[query] = append(listeners[query], l)
			}
		}
	}
	n.write(a, events.Updated, 2, "Ada L")
	n.write(a, events.Updated, 3, "Ada")
	n.write(a, events.Deleted, 4, "")
	for query, all := range listeners {
		for i, l := range all {
			if got, _ := l.collect(len(queries[query])); !slices.Equal(got, queries[query]) {
				t.Errorf("%s: client %d got %v, want %v", query, i, got, queries[query])
			}
			_ = l.response.Body.Close()
		}
	}
}
