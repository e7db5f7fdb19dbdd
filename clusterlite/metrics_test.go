package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// A running process reports its position.
type running struct{ api, admin, kafka string }

// serveForTest runs the all-in-one process on a new folder until the test ends.
func serveForTest(t *testing.T) running {
	t.Helper()
	node, _ := serveOn(t, t.TempDir())
	return node
}

// serveOn runs the all-in-one process on a folder, until stop or the end of the test.
func serveOn(t *testing.T, dir string, args ...string) (node running, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := &greeting{done: make(chan struct{})}
	ran := make(chan error, 1)
	go func() { ran <- run(ctx, append(serveArgs(dir), args...), out, io.Discard) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	select {
	case <-out.done:
	case err := <-ran:
		ran <- err
		t.Fatalf("it ended: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("it did not become ready")
	}
	found := regexp.MustCompile(`(?s)API +(\S+).*admin +(\S+)/status.*Kafka +(\S+)`).FindStringSubmatch(out.String())
	if found == nil {
		t.Fatalf("got output:\n%s", out.String())
	}
	return running{found[1], found[2], found[3]}, stop
}

// request sends a request and gives the body of its answer.
func request(t *testing.T, method, url, body string, headers ...string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 400 {
		t.Fatalf("%s %s: %d %s, %v", method, url, answer.StatusCode, got, err)
	}
	return got
}

// The tables in docs/reference/metrics.md and the metrics at /metrics agree: names, types and
// labels.
func TestMetricsAreThoseThatAreDocumented(t *testing.T) {
	s := serveForTest(t)
	request(t, "POST", s.api+"/users", `{"name":"Ada","email":"ada@example.com"}`)
	request(t, "GET", s.api+"/users", "")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(request(t, "GET", s.admin+"/metrics", "")))
	if err != nil {
		t.Fatal(err)
	}
	var given []string
	for name, family := range families {
		if strings.HasPrefix(name, "clusterlite_") {
			given = append(given, describe(family))
		}
	}
	documented := documentedMetrics(t)
	for _, metric := range given {
		if !documented[metric] {
			t.Errorf("/metrics has %s, docs/reference/metrics.md does not", metric)
		}
		delete(documented, metric)
	}
	for _, metric := range slices.Sorted(maps.Keys(documented)) {
		t.Errorf("docs/reference/metrics.md has %s, /metrics does not", metric)
	}
}

// describe formats a metric as in its documentation: kind, name, labels.
func describe(family *dto.MetricFamily) string {
	var labels []string
	for _, l := range family.GetMetric()[0].GetLabel() {
		labels = append(labels, l.GetName())
	}
	return fmt.Sprintf("%s %s{%s}", strings.ToLower(family.GetType().String()), family.GetName(), strings.Join(labels, ","))
}

var metricRow = regexp.MustCompile("(?m)^\\| `(clusterlite_[a-z_]+)(?:\\{([a-z,]+)\\})?` \\| ([a-z]+) \\| ")

func documentedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range metricRow.FindAllStringSubmatch(string(text), -1) {
		labels := strings.Split(row[2], ",")
		slices.Sort(labels)
		documented[fmt.Sprintf("%s %s{%s}", row[3], row[1], strings.Join(labels, ","))] = true
	}
	return documented
}
