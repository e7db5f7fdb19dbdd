package queryapi

import (
	"context"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/queryapi/changes"
)

// feed returns the change feed of the node.
func (a *API) feed() *changes.Feed {
	return &changes.Feed{
		Model: a.Model, Fresh: a.makeFresh, Secured: a.Secured, Timing: a.FeedTiming, Visible: a.visible,
		Reach: func(ctx context.Context, position events.Position) error {
			ctx, cancel := context.WithTimeout(ctx, a.Wait)
			defer cancel()
			return a.waitFor(ctx, position)
		},
	}
}

// visible returns which events the caller of a request may see: those of declared collections.
func (a *API) visible(echo.Context) changes.Rule {
	return func(e *journal.Entry) bool {
		_, declared := a.Collections.Get(e.Event.Collection)
		return declared
	}
}

// changes handles GET and HEAD of the feed of a collection, or of all.
func (a *API) changes(feed *changes.Feed) echo.HandlerFunc {
	return func(c echo.Context) error {
		name := c.Param("collection")
		if name != "" {
			if _, err := a.collection(c); err != nil {
				return err
			}
		}
		return feed.Serve(c, name)
	}
}
