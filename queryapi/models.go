package queryapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/modelquery"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/queryapi/modelrows"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/stream"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

const (
	// modelPageTimeout bounds the time in which SQLite computes a page.
	modelPageTimeout = 10 * time.Second
	// modelStreamTimeout bounds the time of a stream.
	modelStreamTimeout = 10 * time.Minute
)

// readModel handles GET and HEAD of a table, view or query of a model.
func (a *API) readModel(c echo.Context) error {
	m, d, err := a.model(c)
	if err != nil {
		return err
	}
	rows, found := modelrows.Find(d, c.Param("relation"))
	if !found {
		return problem.NotFound.New(fmt.Sprintf("The read model %s has no table, view or query with the name in the path.%s", d.Name, contract.Nearest(c.Param("relation"), modelrows.Names(d))))
	}
	media, err := negotiation.Accepts(c.Request(), contract.JSON, contract.NDJSON, contract.EventStream)
	if err != nil {
		return err
	}
	if err := contract.RejectUnknownParameters(c.Request(), rows.Parameters()...); err != nil {
		return err
	}
	asked, err := rows.Parse(c.QueryParams())
	if err != nil {
		return err
	}
	given, err := a.freshenModel(c.Request(), m)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h[contract.HeaderConsistency] = consistencyFields[given]
	h["Cache-Control"] = noCache
	web.AddVary(h, "Accept")
	if media == contract.EventStream {
		return a.followRows(c, m, rows, asked)
	}
	if media == contract.NDJSON {
		return modelProblem(c.Request().Context(), a.streamRows(c, m, rows, asked))
	}
	return modelProblem(c.Request().Context(), a.pageOfRows(c, m, rows, asked))
}

// model returns the model that the path names, if the caller may read it. The error is a problem.
func (a *API) model(c echo.Context) (*modelset.Model, *sqlmodel.Definition, error) {
	var m *modelset.Model
	var known bool
	if a.Models != nil && sqlmodel.ValidName.MatchString(c.Param("model")) { // others are the program's own
		m, known = a.Models.Get(c.Param("model"))
	}
	who := caller.Of(c.Request().Context())
	if !known {
		if a.Secured && who.IsAnonymous() {
			return nil, nil, deniedModel(who)
		}
		return nil, nil, problem.NotFound.New("No read model has the name in the path.")
	}
	d, built := m.Definition()
	if !built && m.WaitFor(c.Request().Context(), 0) == nil { // it was about to serve
		d, built = m.Definition()
	}
	if !built {
		if a.Secured && !who.Has(caller.RoleAdmin) {
			return nil, nil, deniedModel(who)
		}
		return nil, nil, beingBuilt(m)
	}
	if a.Secured && !a.admits(d, who) {
		return nil, nil, deniedModel(who)
	}
	return m, d, nil
}

// deniedModel returns the problem of a caller who may not read a model.
func deniedModel(who caller.Caller) error {
	if who.IsAnonymous() {
		return access.Denied(who)
	}
	return problem.Forbidden.New("The caller may not read this read model.")
}

// admits reports whether a caller may read a model. Without a rule only the role admin may.
func (a *API) admits(d *sqlmodel.Definition, who caller.Caller) bool {
	if d.Access == "" {
		return who.Has(caller.RoleAdmin)
	}
	rule, ok := a.modelRules.Load(d.Hash)
	if !ok {
		compiled, err := access.CompileCaller(d.Access)
		if err != nil {
			compiled = nil // admits only administrators; a mistake is found when the process starts
		}
		rule, _ = a.modelRules.LoadOrStore(d.Hash, compiled)
	}
	return rule.(*access.CallerRule).Admits(who)
}

func beingBuilt(m *modelset.Model) error {
	s := m.Status()
	detail := "This node is building the read model for the first time. Retry later."
	if b := s.Building; b != nil {
		detail = fmt.Sprintf("This node is building the read model for the first time: it is at position %d of %d. Retry later.", b.Position, b.End)
	}
	return problem.ReadModelBehind.Because(modelset.ErrBuilding, detail)
}

// freshenModel waits until the model is as fresh as the request asks for, and returns the
// consistency of the response. A model that has stopped is served as it is if the request
// does not insist on more. The error is a problem.
func (a *API) freshenModel(r *http.Request, m *modelset.Model) (events.Consistency, error) {
	given, err := a.freshen(r)
	if err != nil {
		return "", err
	}
	minPosition, err := contract.MinPosition(r)
	if err != nil {
		return "", err
	}
	target := events.Position(minPosition)
	if given != events.Eventual {
		// The node has all that a request of this consistency has to see.
		target = max(target, a.Model.Position())
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.Wait)
	defer cancel()
	err = m.WaitFor(ctx, target)
	var stopped *sqlmodel.EventError
	switch {
	case err == nil:
		return given, nil
	case errors.Is(err, modelset.ErrBuilding):
		return "", beingBuilt(m)
	case errors.As(err, &stopped) && minPosition <= int64(m.Position()) && len(r.Header[contract.HeaderConsistency]) == 0:
		return events.Eventual, nil
	case errors.As(err, &stopped):
		return "", problem.ReadModelBehind.Because(err, fmt.Sprintf("The read model has stopped at position %d on this node, because a statement failed; the read requires position %d. Accept eventual consistency to read its last good state.", m.Position(), target))
	}
	return "", problem.ReadModelBehind.New(fmt.Sprintf("The read model is at position %d on this node; the read requires position %d. Retry later.", m.Position(), target))
}

// modelTag identifies what a list of a model can show. It is weak: it promises the same rows, but not the
// same bytes in all versions.
func modelTag(d *sqlmodel.Definition, changed events.Position, variant string) string {
	return `W/"` + d.Hash[:12] + "-" + strconv.FormatInt(int64(changed), 10) + variant + `"`
}

// describeRows sets the header fields that all lists of a model have, and reports whether the client has
// the list already.
func describeRows(c echo.Context, tx *sqlmodel.Tx, count, variant string) (has bool, err error) {
	contract.SetPosition(c.Response().Header(), int64(tx.At))
	if count != "" {
		web.SetField(c, "Total-Count", count)
	}
	etag := modelTag(tx.Definition, tx.Changed, variant)
	web.SetField(c, "Etag", etag)
	return contract.NoneMatch(c.Request(), etag)
}

// beginRows begins a read, of the definition for which the request was parsed.
func beginRows(ctx context.Context, m *modelset.Model, rows *modelrows.Rows) (*sqlmodel.Tx, func(), error) {
	tx, release, err := m.Begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	end := func() {
		_ = tx.Close() // it only read
		release()
	}
	if tx.Hash != rows.Hash() {
		end()
		return nil, nil, problem.NotReady.New("The read model was replaced while the request was served. Retry.")
	}
	return tx, end, nil
}

func (a *API) pageOfRows(c echo.Context, m *modelset.Model, rows *modelrows.Rows, asked modelrows.Request) error {
	if err := web.ReserveMemory(c, initialPageMemory); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), modelPageTimeout)
	defer cancel()
	body, link, done, err := a.gatherRows(ctx, c, m, rows, asked)
	if err != nil {
		return err
	}
	if done {
		return web.NotModified(c, int(^uint(0)>>1)) // its size is unknown and may be large
	}
	if link != "" {
		web.SetField(c, "Link", link)
	}
	return web.Answer(c, http.StatusOK, contract.JSON, body)
}

// gatherRows reads a page. It ends the transaction before the page is sent. done reports that the client has
// the page already.
func (a *API) gatherRows(ctx context.Context, c echo.Context, m *modelset.Model, rows *modelrows.Rows, asked modelrows.Request) (body []byte, link string, done bool, err error) {
	tx, end, err := beginRows(ctx, m, rows)
	if err != nil {
		return nil, "", false, err
	}
	defer end()
	count, err := countRows(ctx, tx, rows, asked)
	if err != nil {
		return nil, "", false, err
	}
	if has, err := describeRows(c, tx, count, ""); has || err != nil {
		return nil, "", has, err
	}
	if asked.Limit == 0 {
		asked.Limit = listing.DefaultLimit
	}
	body = append(body, '[')
	room := initialPageMemory
	next, err := rows.Read(ctx, tx, asked, func(row []byte) error {
		if len(body) > 1 {
			body = append(body, ',')
		}
		if body = append(body, row...); cap(body) <= room {
			return nil
		}
		err := web.TryReserveMemory(c, cap(body)-room)
		room = cap(body)
		return err
	})
	if err != nil {
		return nil, "", false, err
	}
	if next != "" {
		query := c.QueryParams()
		query.Set("limit", strconv.Itoa(asked.Limit))
		query.Set("after", next)
		link = "</models/" + tx.Name + "/" + rows.Name() + "?" + query.Encode() + `>; rel="next"`
	}
	return append(body, ']'), link, false, nil
}

func countRows(ctx context.Context, tx *sqlmodel.Tx, rows *modelrows.Rows, asked modelrows.Request) (string, error) {
	if !asked.Count {
		return "", nil
	}
	n, err := rows.Count(ctx, tx, asked)
	return strconv.FormatInt(n, 10), err
}

// streamRows sends all rows that match, one on each line.
func (a *API) streamRows(c echo.Context, m *modelset.Model, rows *modelrows.Rows, asked modelrows.Request) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), modelStreamTimeout)
	defer cancel()
	tx, end, err := beginRows(ctx, m, rows)
	if err != nil {
		return err
	}
	defer end()
	count, err := countRows(ctx, tx, rows, asked)
	if err != nil {
		return err
	}
	has, err := describeRows(c, tx, count, "n")
	if err != nil {
		return err
	}
	if has {
		return web.NotModified(c, int(^uint(0)>>1))
	}
	out := web.BeginStream(c, contract.NDJSON)
	if c.Request().Method == http.MethodHead {
		out.End(nil)
		return nil
	}
	lines := stream.NewLines(out.Send)
	_, err = rows.Read(ctx, tx, asked, func(row []byte) error { return lines.Add(append(lines.Buffer(), row...)) })
	if err == nil {
		err = lines.Flush()
	}
	out.End(err)
	return nil
}

// modelProblem turns an error of a read of a model into a problem.
func modelProblem(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return problem.NotReady.Because(ctx.Err(), "The client cancelled the request.")
	case errors.Is(err, sqlmodel.ErrBusy):
		return problem.Overloaded.Because(err, "The node is at capacity: too many reads of the model are running. Retry later.")
	case errors.Is(err, context.DeadlineExceeded), sqlmodel.IsInterrupted(err):
		return problem.Overloaded.Because(err, fmt.Sprintf("The query took longer than %s. Ask for less, or let the model keep what the query computes.", modelPageTimeout))
	case errors.Is(err, modelquery.ErrCursor):
		return problem.MalformedRequest.New("after must be a cursor from a Link field of this list, with the same sort.")
	case errors.Is(err, modelset.ErrBuilding):
		return problem.ReadModelBehind.Because(err, "This node is building the read model for the first time. Retry later.")
	}
	return err
}
