package nodes_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// announce announces an admin listener for a node of this name.
func announce(t *testing.T, b *servicetest.Broker, name, address string, state roster.State) {
	t.Helper()
	log := b.OpenLog()
	if _, err := log.Prepare(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	err := roster.Announce(servicetest.Context(t), log, roster.Entry{Node: name, Role: "query", Admin: address, State: state, At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
}

func listener(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(admin.Handler(admin.Source{
		Node:      name,
		Operators: admin.Operators{Local: true},
		Ready:     func() error { return nil },
		Status:    func(context.Context) (any, error) { return map[string]string{"node": name}, nil },
		Registry:  admin.NewRegistry(),
		Resources: map[string]admin.Methods{"/busy": {"GET": func(w http.ResponseWriter, _ *http.Request) {
			admin.WriteProblem(w, problem.Overloaded.New("Ask later."))
		}}},
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestFindAndAsk(t *testing.T) {
	b := servicetest.StartBroker(t)
	here := listener(t, "query-1")
	announce(t, b, "query-1", here, roster.Running)
	announce(t, b, "query-2", here, roster.Running) // the other node now has its address
	announce(t, b, "query-3", "127.0.0.1:1", roster.Running)
	announce(t, b, "query-4", "127.0.0.1:1", roster.Left)
	all, err := nodes.All(servicetest.Context(t), b.OpenLog())
	if err != nil || strings.Join(nodes.Names(all), " ") != "query-1 query-2 query-3 query-4" {
		t.Fatalf("got %v, %v, want query-1 to query-4", nodes.Names(all), err)
	}
	if living := nodes.Living(all); strings.Join(nodes.Names(living), " ") != "query-1 query-2 query-3" {
		t.Errorf("living: got %v, want query-1 to query-3", nodes.Names(living))
	}
	if selected, err := nodes.Select(all, "query-3", "query-1"); err != nil || strings.Join(nodes.Names(selected), " ") != "query-3 query-1" {
		t.Errorf("got %v, %v, want query-3 and query-1", selected, err)
	}
	if _, err := nodes.Select(all, "query-1", "query-9"); err == nil || !strings.Contains(err.Error(), "query-9") || !strings.Contains(err.Error(), "query-4") {
		t.Errorf("got %v, want an error that names query-9 and the known nodes", err)
	}

	ctx := servicetest.Context(t)
	var status struct{ Node string }
	if err := all[0].Get(ctx, "/status", &status); err != nil || status.Node != "query-1" {
		t.Errorf("got %v, %v, want the status of query-1", status, err)
	}
	for i, said := range map[int]string{1: "This is node query-1", 2: "refused"} {
		var gone *nodes.UnreachableError
		if err := all[i].Get(ctx, "/status", &status); !errors.As(err, &gone) || gone.Node != all[i].Node || !strings.Contains(err.Error(), said) {
			t.Errorf("%s: got %v, want an error with %q", all[i].Node, err, said)
		}
	}
	var refused *problem.Problem
	if err := all[0].Get(ctx, "/busy", &status); !errors.As(err, &refused) || refused.Status != 503 || refused.Detail != "Ask later." {
		t.Errorf("got %v, want a problem with status 503", err)
	}
	if err := all[0].Get(ctx, "/nothing", &status); !errors.As(err, &refused) || refused.Status != 404 {
		t.Errorf("got %v, want a problem with status 404", err)
	}
	given, cancel := context.WithCancel(ctx)
	cancel()
	if err := all[0].Get(given, "/status", &status); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
