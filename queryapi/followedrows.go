package queryapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/queryapi/livequery"
	"github.com/clusterlite/clusterlite/queryapi/modelrows"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// definitionCheck is how often the watch of an idle query looks whether its model was replaced.
const definitionCheck = time.Second

// followRows sends the rows as server-sent events, and again whenever they have changed. Who may read a
// model may read all its rows, so all clients with the same query share what is read. The caller was
// checked, and is checked again at the next connection, which follows within a minute or so.
func (a *API) followRows(c echo.Context, m *modelset.Model, rows *modelrows.Rows, asked modelrows.Request) error {
	if asked.Count {
		return problem.MalformedRequest.New("count is not available in a stream of " + contract.EventStream + ".")
	}
	if c.Request().Method == http.MethodHead {
		c.Response().Header().Set("Content-Type", contract.EventStream)
		return c.NoContent(http.StatusOK)
	}
	if asked.Limit == 0 {
		asked.Limit = listing.DefaultLimit
	}
	t := a.FeedTiming.OrDefault()
	q := livequery.Query{
		Key: rows.Hash() + " " + rows.Name() + "?" + c.QueryParams().Encode(),
		Read: func(ctx context.Context, changed func(events.Position) bool) (livequery.State, error) {
			return a.readFollowed(ctx, m, rows, asked, changed)
		},
		Wait: func(ctx context.Context, after events.Position) (bool, error) {
			return waitBeyond(ctx, m, rows.Hash(), after)
		},
	}
	return a.live.Serve(c, q, m.Position(), livequery.Timing{First: modelPageTimeout + a.Wait, Heartbeat: t.Heartbeat, Life: t.Life})
}

// readFollowed reads the rows for all who follow a query.
func (a *API) readFollowed(ctx context.Context, m *modelset.Model, rows *modelrows.Rows, asked modelrows.Request, changed func(events.Position) bool) (s livequery.State, err error) {
	ctx, cancel := context.WithTimeout(ctx, modelPageTimeout)
	defer cancel()
	tx, end, err := beginRows(ctx, m, rows)
	if err != nil {
		return s, modelProblem(context.Background(), err)
	}
	defer end()
	s.At, s.Changed = tx.At, tx.Changed
	if !changed(tx.Changed) {
		return s, nil
	}
	s.Rows = []byte{'['}
	_, err = rows.Read(ctx, tx, asked, func(row []byte) error {
		if len(s.Rows) > 1 {
			s.Rows = append(s.Rows, ',')
		}
		if s.Rows = append(s.Rows, row...); len(s.Rows) >= livequery.MaxBytes {
			return livequery.TooLarge()
		}
		return nil
	})
	s.Rows = append(s.Rows, ']')
	return s, modelProblem(context.Background(), err)
}

// waitBeyond waits until a model with a definition is beyond a position.
func waitBeyond(ctx context.Context, m *modelset.Model, hash string, after events.Position) (stopped bool, err error) {
	for {
		if d, built := m.Definition(); !built || d.Hash != hash {
			return false, livequery.ErrEnded
		}
		wait, cancel := context.WithTimeout(ctx, definitionCheck)
		err := m.WaitFor(wait, after+1)
		cancel()
		var failed *sqlmodel.EventError
		switch {
		case err == nil:
			return false, nil
		case errors.As(err, &failed):
			return true, nil
		case ctx.Err() != nil:
			return false, ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return false, livequery.ErrEnded
		}
	}
}
