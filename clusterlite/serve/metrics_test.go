package serve_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/clusterlite/clusterlite/clusterlite/clitest"
)

// The tables in docs/reference/metrics.md and the metrics at /metrics agree: names, types and
// labels.
func TestMetricsAreThoseThatAreDocumented(t *testing.T) {
	models := t.TempDir()
	if err := os.WriteFile(filepath.Join(models, "m.sql"), []byte("CREATE TABLE t (x);"), 0o600); err != nil {
		t.Fatal(err)
	}
	hooks := filepath.Join(t.TempDir(), "webhooks.json")
	for path, content := range map[string]string{
		hooks: `{"webhooks":[{"name":"w","url":"http://127.0.0.1:1/","plaintext":true,"collections":["users"],"secret_file":"secret"}]}`,
		filepath.Join(filepath.Dir(hooks), "secret"): "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32)),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := clitest.Serve(t, t.TempDir(), "--models-dir="+models, "--bootstrap="+t.TempDir(), "--webhooks="+hooks)
	await := func(path, content string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !bytes.Contains(clitest.Request(t, "GET", s.Admin+path, ""), []byte(content)); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("got no %s at %s in time, want it", content, path)
			}
		}
	}
	await("/models", `"serving":{`)
	await("/metrics", `clusterlite_webhook_lag_events{`)
	clitest.Request(t, "POST", s.URL+"/users", `{"name":"Ada","email":"ada@example.com"}`)
	clitest.Request(t, "GET", s.URL+"/users", "")
	await("/metrics", `clusterlite_webhook_deliveries_total{`)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(clitest.Request(t, "GET", s.Admin+"/metrics", "")))
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
			t.Errorf("got %s at /metrics, want it in docs/reference/metrics.md", metric)
		}
		delete(documented, metric)
	}
	for _, metric := range slices.Sorted(maps.Keys(documented)) {
		t.Errorf("got %s in docs/reference/metrics.md, want it at /metrics", metric)
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
	text, err := os.ReadFile("../../docs/reference/metrics.md")
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

// The number of series does not grow with what clients send: ids, paths, methods, header fields, keys
// and names that do not exist.
func TestSeriesAreBounded(t *testing.T) {
	s := clitest.Serve(t, t.TempDir())
	series := func() (n int) {
		text := clitest.Request(t, "GET", s.Admin+"/metrics", "")
		for line := range bytes.Lines(text) {
			if !bytes.HasPrefix(line, []byte("#")) {
				n++
			}
		}
		return n
	}
	// send sends each kind of request with a name of its own.
	send := func(name string) {
		for _, request := range []struct{ method, path, header string }{
			{"GET", "/" + name, ""}, {"GET", "/users/" + name, ""}, {"GET", "/users/" + uuid.NewString(), ""}, {"GET", "/users?" + name + "=1", ""},
			{"GET", "/users?name=" + name, "User-Agent: " + name}, {"GET", "/models/" + name + "/x", ""}, {"GET", "/users/changes?offset=" + name, ""},
			{"POST", "/users", "Idempotency-Key: " + name}, {"X" + strings.ToUpper(name), "/users", ""}, {"DELETE", "/users/" + uuid.NewString(), ""},
			{"GET", "/users", "Authorization: Bearer " + name}, {"GET", "/users", "Accept: text/" + name}, {"PATCH", "/users/" + uuid.NewString(), "Content-Type: x/" + name},
		} {
			r, err := http.NewRequestWithContext(t.Context(), request.method, s.URL+request.path, strings.NewReader(`{"name":"`+name+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			if field, value, found := strings.Cut(request.header, ": "); found {
				r.Header.Set(field, value)
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
		}
		clitest.Request(t, "GET", s.Admin+"/status?"+name, "")
	}
	send("first")
	before := series()
	for i := range 50 {
		send(fmt.Sprintf("n%d", i))
	}
	if after := series(); after != before || before < 100 {
		t.Errorf("got %d series after 50 rounds of requests, want the %d that there were after one", after, before)
	}
}
