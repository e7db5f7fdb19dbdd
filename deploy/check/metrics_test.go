package check

import (
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	metricsPage = "../../docs/reference/metrics.md"
	alertsPage  = "../../docs/how-to/respond-to-alerts.md"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// documented returns the metrics in the tables of docs/reference/metrics.md with their types.
func documented(t *testing.T) map[string]string {
	t.Helper()
	kinds := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(clusterlite_[a-z_]+)(?:\\{[a-z,]+\\})?` \\| ([a-z]+) \\| ").FindAllStringSubmatch(read(t, metricsPage), -1) {
		kinds[row[1]] = row[2]
	}
	if len(kinds) < 10 {
		t.Fatalf("%s: got %d metrics, want at least 10", metricsPage, len(kinds))
	}
	return kinds
}

// selected returns the names of the metrics that an expression reads.
func selected(expr string) ([]string, error) {
	e, err := parser.ParseExpr(expr)
	if err != nil {
		return nil, err
	}
	var names []string
	var errs []error
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			if s.Name == "" {
				errs = append(errs, errors.New("a selector without a name"))
			}
			names = append(names, s.Name)
		}
		return nil
	})
	return names, errors.Join(errs...)
}

// standard are metrics of Go and of the process that panels show, which the page mentions as a group.
var standard = map[string]bool{"process_cpu_seconds_total": true, "process_resident_memory_bytes": true, "process_open_fds": true, "process_max_fds": true,
	"go_gc_gomemlimit_bytes": true, "go_gc_duration_seconds_sum": true}

// checkExpr checks that an expression reads only documented metrics.
func checkExpr(t *testing.T, kinds map[string]string, where, expr string) {
	t.Helper()
	names, err := selected(expr)
	if err != nil {
		t.Errorf("%s: got %v: %s", where, err, expr)
	}
	for _, name := range names {
		if standard[name] || name == "up" || kinds[name] != "" && kinds[name] != "histogram" {
			continue // up is a metric of Prometheus itself
		}
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if base == name || kinds[base] != "histogram" {
			t.Errorf("%s: got the metric %s, want one in %s", where, name, metricsPage)
		}
	}
}

// Each rule parses, reads documented metrics, and links to its section of the alerts page.
func TestAlerts(t *testing.T) {
	groups, errs := rulefmt.ParseFile("../prometheus/alerts.yml", false, model.UTF8Validation)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	kinds, anchors, tests := documented(t), headings(read(t, alertsPage)), read(t, "../prometheus/alerts_test.yml")
	rules := 0
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			rules++
			checkExpr(t, kinds, r.Alert, r.Expr)
			file, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
			if !strings.HasSuffix(file, "/docs/how-to/respond-to-alerts.md") || !anchors[anchor] {
				t.Errorf("%s: got the link %s#%s, want an existing section", r.Alert, file, anchor)
			}
			if anchor != "alert-"+strings.ToLower(r.Alert) {
				t.Errorf("%s: got the section of another alert: %s", r.Alert, anchor)
			}
			if r.Labels["severity"] != "critical" && r.Labels["severity"] != "warning" || r.Annotations["summary"] == "" {
				t.Errorf("%s: got %v %v, want a severity and a summary", r.Alert, r.Labels, r.Annotations)
			}
			if !strings.Contains(tests, "alertname: "+r.Alert+"\n") {
				t.Errorf("got no test for %s", r.Alert)
			}
			delete(anchors, anchor)
		}
	}
	for anchor := range anchors {
		if strings.HasPrefix(anchor, "alert-") {
			t.Errorf("%s: got the section %s, want only those of alerts", alertsPage, anchor)
		}
	}
	if rules == 0 {
		t.Error("got no rules")
	}
}

// headings returns the anchors that GitHub gives the headings of a text.
func headings(markdown string) map[string]bool {
	anchors := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(markdown, -1) {
		s := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		anchors[strings.ReplaceAll(s, " ", "-")] = true
	}
	return anchors
}

// The dashboard is JSON in the form that Grafana uses. Its panels read documented metrics, and
// together they read all of them.
func TestDashboard(t *testing.T) {
	var d struct {
		UID, Title    string
		SchemaVersion int
		Panels        []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		}
		Templating struct{ List []struct{ Name string } }
	}
	text := read(t, "../grafana/clusterlite.json")
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.SchemaVersion == 0 || len(d.Panels) == 0 {
		t.Errorf("got an incomplete dashboard: %+v", d)
	}
	kinds := documented(t)
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: got the id of another panel", p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s: got a panel that overlaps %s or exceeds the page", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s: got no targets", p.Title)
		}
		for _, target := range p.Targets {
			expr := target.Expr
			for _, v := range d.Templating.List {
				expr = strings.ReplaceAll(expr, "$"+v.Name, ".+")
			}
			expr = strings.ReplaceAll(expr, "$__rate_interval", "1m")
			if strings.Contains(expr, "$") {
				t.Errorf("%s: got an undefined variable: %s", p.Title, target.Expr)
				continue
			}
			checkExpr(t, kinds, p.Title, expr)
		}
	}
	for name := range kinds {
		if !strings.Contains(text, name) {
			t.Errorf("got no panel that shows %s", name)
		}
	}
}
