package check

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The dashboard conforms to the schema that Grafana publishes for dashboards, and each panel and query
// to that of its plugin. Unknown and missing members and values of the wrong type are errors. The check
// does not know which values an enumeration has.
func TestDashboardConformsToTheSchemaOfGrafana(t *testing.T) {
	text := read(t, "../grafana/clusterlite.json")
	if err := conforms(text); err != nil {
		t.Errorf("got %v, want a dashboard that Grafana loads", err)
	}
	for mistake, change := range map[string][2]string{
		"an unknown member of the dashboard": {`"refresh":`, `"refreshEvery":`},
		"an unknown member of a panel":       {`"gridPos":`, `"position":`},
		"an unknown option of a time series": {`"placement": "bottom"`, `"where": "bottom"`},
		"an unknown member of a query":       {`"legendFormat":`, `"legend":`},
		"a member of the wrong type":         {`"schemaVersion": 39`, `"schemaVersion": "39"`},
		"a unit of the wrong type":           {`"unit": "s"`, `"unit": 1`},
	} {
		changed := strings.Replace(text, change[0], change[1], 1)
		if changed == text {
			t.Errorf("%s: got no %s in the dashboard, want one to change", mistake, change[0])
		}
		if err := conforms(changed); err == nil {
			t.Errorf("%s: got no error, want one", mistake)
		}
	}
}

// conforms returns what is wrong with a dashboard. The library returns a list, which may be empty.
func conforms(text string) error {
	plugins.RegisterDefaultPlugins()
	var d dashboard.Dashboard
	for _, check := range []func() error{
		func() error { return d.UnmarshalJSONStrict(json.RawMessage(text)) },
		func() error { return d.Validate() },
	} {
		if err := check(); err != nil && err.Error() != "" {
			return err
		}
	}
	return nil
}
