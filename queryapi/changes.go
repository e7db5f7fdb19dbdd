package queryapi

import (
	"context"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/matching"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/queryapi/pastlist"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
)

// feed returns the change feed of the node.
func (a *API) feed() *changes.Feed {
	return &changes.Feed{
		Model: a.Model, Fresh: a.makeFresh, Secured: a.Secured, Timing: a.FeedTiming, Visible: a.visible, Filters: a.feedFilters,
		Reach: func(ctx context.Context, position events.Position) error {
			ctx, cancel := context.WithTimeout(ctx, a.Wait)
			defer cancel()
			return a.waitFor(ctx, position)
		},
	}
}

// changes handles GET and HEAD of the feed of a collection, or of all.
func (a *API) changes(feed *changes.Feed) echo.HandlerFunc {
	return func(c echo.Context) error {
		// The protocol asks for these in all responses, also in errors.
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		name := c.Param("collection")
		if name != "" {
			if _, err := a.collection(c); err != nil {
				return err
			}
		}
		if v := a.viewer(c); v.barred(name) {
			return access.Denied(v.who)
		}
		return feed.Serve(c, name)
	}
}

// feedFilters returns the filters of the feed of a collection: those of its lists.
func (a *API) feedFilters(collection string) changes.Filters {
	c, ok := a.Collections.Get(collection)
	if !ok {
		return changes.Filters{}
	}
	words := a.vocabulary(c)
	return changes.Filters{
		Names: words.FilterNames(changes.Parameters), Definition: words.Definition,
		Parse: func(values url.Values) (changes.Condition, error) {
			filters, err := words.ParseFilters(values, changes.Parameters)
			if len(filters) == 0 || err != nil {
				return nil, err
			}
			return a.selection(c, filters).Matches, nil
		},
	}
}

// selection returns what compares versions of entities of a collection with filters.
func (a *API) selection(c *collections.Collection, filters []query.Filter) *pastlist.Selection {
	table, ok := a.tables.Load(c.Name())
	if !ok {
		table, _ = a.tables.LoadOrStore(c.Name(), matching.NewTable(c))
	}
	return pastlist.NewSelection(a.Model, table.(*matching.Table), filters)
}
