package queryapi

import (
	"context"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/queryapi/changes"
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
