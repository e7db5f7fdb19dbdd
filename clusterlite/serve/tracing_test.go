package serve_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A span is a span as received by a collector, with its ids in hex and its node.
type span struct{ node, service, name, trace, id, parent string }

// collect starts a collector that accepts OTLP over HTTP, and returns what it receives.
func collect(t *testing.T) (url string, heard <-chan span) {
	t.Helper()
	spans := make(chan span, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
			t.Errorf("%s: got %d bytes that are not spans, %v", r.URL.Path, len(body), err)
		}
		for _, of := range request.GetResourceSpans() {
			for _, scope := range of.GetScopeSpans() {
				for _, s := range scope.GetSpans() {
					spans <- toSpan(of, s)
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	return s.URL, spans
}

func toSpan(of *otlp.ResourceSpans, s *otlp.Span) span {
	made := span{
		name: s.GetName(), trace: hex.EncodeToString(s.GetTraceId()),
		id: hex.EncodeToString(s.GetSpanId()), parent: hex.EncodeToString(s.GetParentSpanId()),
	}
	for _, a := range of.GetResource().GetAttributes() {
		switch a.GetKey() {
		case "service.instance.id":
			made.node = a.GetValue().GetStringValue()
		case "service.name":
			made.service = a.GetValue().GetStringValue()
		}
	}
	return made
}

// startQueryNode runs a query node on a broker until the test ends, and returns the address
// of its API.
func startQueryNode(t *testing.T, kafka string) (url string) {
	t.Helper()
	var g struct {
		settings.Node  `embed:""`
		settings.Kafka `embed:""`
		settings.HTTP  `embed:""`
		settings.Reads `embed:""`
	}
	args := []string{"--node-id=query-1", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--data-dir=" + t.TempDir(), "--kafka-brokers=" + kafka}
	if _, err := (settings.Program{Name: "query", HTTPAddr: ":0", AdminAddr: ":0"}).Parse(&g, args, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	ready := make(chan *node.Node, 1)
	group := process.NewGroup()
	ctx := servicetest.Context(t)
	group.Go("the query node", func(stopping context.Context) error {
		return node.Run(stopping, node.Config{
			Role: "query", Node: g.Node, Kafka: g.Kafka, HTTP: g.HTTP, Stderr: io.Discard,
			Mount: func(e *echo.Echo, n *node.Node) { contract.Mount(e, queryapi.New(n, g.Reads).Routes()) },
			Ready: func(n *node.Node) { ready <- n },
		})
	})
	t.Cleanup(func() {
		if err := group.Stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case n := <-ready:
		return "http://" + n.API.String()
	case <-ctx.Done():
		t.Fatal("the query node did not become ready")
		return ""
	}
}

// One trace shows a write from the client to its application on each node.
func TestATraceShowsAWriteOnEachNode(t *testing.T) {
	url, heard := collect(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	t.Setenv("CLUSTERLITE_NODE_ID", "all-1")
	s := clitest.Serve(t, t.TempDir())
	query := startQueryNode(t, s.Kafka)

	const trace, unsampled, client = "4bf92f3577b34da6a3ce929d0e0e4736", "11112222333344445555666677778888", "00f067aa0ba902b7"
	clitest.Request(t, "POST", s.URL+"/users", `{"name":"Eve","email":"eve@example.com"}`, "traceparent: 00-"+unsampled+"-"+client+"-00")
	var created struct{ ID string }
	if err := json.Unmarshal(clitest.Request(t, "POST", s.URL+"/users", `{"name":"Ada","email":"ada@example.com"}`, "traceparent: 00-"+trace+"-"+client+"-01"), &created); err != nil {
		t.Fatal(err)
	}
	clitest.Request(t, "GET", query+"/users/"+created.ID, "", "traceparent: 00-"+trace+"-"+client+"-01")

	got := map[string]span{}
	for timeout := time.After(time.Minute); len(got) < 5; {
		select {
		case h := <-heard:
			if h.trace == unsampled {
				t.Errorf("the client wants no spans of this trace: %+v", h)
			}
			if h.trace == trace {
				got[h.node+" "+h.name] = h
			}
		case <-timeout:
			t.Fatalf("got only the spans %+v, want 5", got)
		}
	}
	for name, parent := range map[string]string{
		"all-1 POST /:collection":          client,
		"all-1 append clusterlite.events":  got["all-1 POST /:collection"].id,
		"all-1 apply clusterlite.events":   got["all-1 append clusterlite.events"].id,
		"query-1 apply clusterlite.events": got["all-1 append clusterlite.events"].id,
		"query-1 GET /:collection/:id":     client,
	} {
		role, _, _ := strings.Cut(name, "-")
		if s, ok := got[name]; !ok || s.parent != parent || s.service != "clusterlite-"+role {
			t.Errorf("%s: got %+v, want the parent %s", name, s, parent)
		}
	}
}
