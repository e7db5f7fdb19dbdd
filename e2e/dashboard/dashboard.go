// Package dashboard reads the dashboard that deploy/grafana ships, asks a Prometheus the questions of
// its panels, and draws the answers. It has no Grafana: it draws with uPlot, as Grafana's panels do.
package dashboard

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// A Section is a row of the dashboard with the panels below it. The panels above the first row have the
// title of the dashboard.
type Section struct {
	Title  string  `json:"title"`
	Panels []Panel `json:"panels"`
}

// A Panel is one panel, as far as it is drawn.
type Panel struct {
	Type    string                   `json:"type"`
	Title   string                   `json:"title"`
	GridPos struct{ H, W, X, Y int } `json:"gridPos"`
	Targets []Target                 `json:"targets"`

	FieldConfig struct {
		Defaults struct {
			Unit       string   `json:"unit"`
			Min        *float64 `json:"min"`
			Decimals   *int     `json:"decimals"`
			Thresholds struct {
				Steps []struct {
					Color string   `json:"color"`
					Value *float64 `json:"value"`
				} `json:"steps"`
			} `json:"thresholds"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Options struct {
		ColorMode string `json:"colorMode"`
	} `json:"options"`
}

// A Target is a query of a panel.
type Target struct {
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat"`
}

// Read returns the sections of the dashboard in deploy/grafana.
func Read(t testing.TB) []Section {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(cluster.Root(t), "deploy", "grafana", "clusterlite.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Title      string
		Panels     []Panel
		Templating struct {
			List []struct{ Name, AllValue string }
		}
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	var values []string // of the variables, which select all stores and instances
	for _, v := range all.Templating.List {
		values = append(values, "$"+v.Name, v.AllValue)
	}
	sections := []Section{{Title: all.Title}}
	for _, p := range all.Panels {
		if p.Type == "row" {
			sections = append(sections, Section{Title: p.Title})
			continue
		}
		for i := range p.Targets {
			p.Targets[i].Expr = strings.NewReplacer(values...).Replace(p.Targets[i].Expr)
		}
		last := &sections[len(sections)-1]
		last.Panels = append(last.Panels, p)
	}
	if len(sections) < 2 {
		t.Fatalf("got %d sections of the dashboard, want several", len(sections))
	}
	return sections
}

// String names the panel in messages.
func (p Panel) String() string { return fmt.Sprintf("the panel %q", p.Title) }
