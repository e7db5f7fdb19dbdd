// Package commands executes the commands of clients by appending events.
//
// A command is decided on the write model, a projection of the log like any other, and becomes an
// event that is appended at once. Command services need no lock, leader or fencing token, because
// the log decides: the service waits until its own write model has read the event back, and
// responds according to the verdict of admission. A command is never rejected on state that may
// be stale, unless the client allows it.
package commands

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/commands/metrics"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// An API handles writes over HTTP. Safe for concurrent use.
type API struct {
	Executor *Executor
	// Collections are the collections to serve.
	Collections *collections.Set
	// Access decides who may write what. Nil lets everyone write everything.
	Access *access.Policies
	// MaxBody is the maximum size in bytes of a request body, and of a document after a patch.
	MaxBody int
	// SpoolDir is the folder for the results of imports that clients have not read yet.
	SpoolDir string
	// Logger gets the errors of import lines on which the server failed. Nil discards them.
	Logger *slog.Logger

	importing atomic.Int64
}

// New returns the API for writes on a node.
func New(n *node.Node, writes settings.Writes) *API {
	return &API{
		Executor: &Executor{
			Log: n.Log, Model: n.Model, History: n.Model, Nodes: roster.NewFormats(n.Log), Wait: writes.Wait,
			Source:  n.Source(),
			Metrics: metrics.New(n.Registry), Tracer: n.Tracing.Tracer("github.com/clusterlite/clusterlite/commands"),
		},
		Collections: n.Collections,
		Access:      n.Access,
		MaxBody:     int(n.MaxBody),
		SpoolDir:    n.DataDir,
		Logger:      n.Logger,
	}
}

// Routes returns the handlers, for [contract.Mount].
func (a *API) Routes() contract.Routes {
	return contract.Routes{
		contract.Collection.Path: {http.MethodPost: a.create},
		contract.Restore.Path:    {http.MethodPost: a.restore},
		contract.Entity.Path:     {http.MethodPut: a.replace, http.MethodPatch: a.patch, http.MethodDelete: a.remove},
	}
}

func (a *API) create(c echo.Context) error {
	command, err := a.begin(c, Create)
	if err != nil {
		return err
	}
	media, err := negotiation.ContentType(c.Request(), contract.Collection.Accepts[http.MethodPost]...)
	if err != nil {
		return err
	}
	if media == contract.NDJSON {
		return a.importLines(c, command)
	}
	if err := readDocument(c, &command); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	command.ID = id.String()
	result, err := a.execute(c, command)
	if err != nil {
		return err
	}
	web.SetField(c, "Location", "/"+command.Collection.Name()+"/"+result.Entity.ID)
	return write(c, http.StatusCreated, result)
}

func (a *API) replace(c echo.Context) error {
	command, err := a.beginEntity(c, Replace)
	if err != nil {
		return err
	}
	if err := readDocument(c, &command); err != nil {
		return err
	}
	result, err := a.execute(c, command)
	if err != nil {
		return err
	}
	return write(c, http.StatusOK, result)
}

func (a *API) patch(c echo.Context) error {
	command, err := a.beginEntity(c, Patch)
	if err != nil {
		return err
	}
	if err := readPatch(c, &command); err != nil {
		return err
	}
	result, err := a.execute(c, command)
	if err != nil {
		return err
	}
	return write(c, http.StatusOK, result)
}

func (a *API) remove(c echo.Context) error {
	command, err := a.beginEntity(c, Delete)
	if err != nil {
		return err
	}
	if _, err := a.execute(c, keyed(c, command, nil)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// restore replaces an entity with an earlier version of it, and brings it back if it was deleted.
func (a *API) restore(c echo.Context) error {
	command, err := a.beginEntity(c, Restore)
	if err != nil {
		return err
	}
	version, body, err := readRestore(c)
	if err != nil {
		return err
	}
	command = keyed(c, command, body)
	if command.Document, err = a.earlier(c.Request().Context(), command, version); err != nil {
		return err
	}
	if err := complete(&command); err != nil {
		return err
	}
	result, err := a.execute(c, command)
	if err != nil {
		return err
	}
	return write(c, http.StatusOK, result)
}

// earlier returns the document of an earlier version that the caller may read. The error is a problem.
func (a *API) earlier(ctx context.Context, command Command, version int64) (document.Document, error) {
	v, err := a.Executor.visible(ctx, command, version)
	if errors.Is(err, journal.ErrNotFound) && command.Consistency != events.Eventual {
		// The version may be one that another command service has just written.
		ctx, cancel := context.WithTimeout(ctx, a.Executor.Wait)
		defer cancel()
		if err := a.Executor.freshen(ctx, command.Consistency); err != nil {
			return document.Document{}, toProblem(err)
		}
		v, err = a.Executor.visible(ctx, command, version)
	}
	switch {
	case errors.Is(err, journal.ErrNotFound):
		return document.Document{}, problem.NotFound.New("No entity has this id, or it has no such version. Nothing was written.")
	case err != nil:
		return document.Document{}, toProblem(err)
	}
	return parseBody(v.Document, "")
}

// begin reads the parts of a request that all writes share. The error is a problem.
func (a *API) begin(c echo.Context, action Action) (Command, error) {
	contract.SetPosition(c.Response().Header(), int64(a.Executor.Model.Position()))
	collection, ok := a.Collections.Get(c.Param("collection"))
	if !ok {
		return Command{}, problem.UnknownCollection.New("No collection has the name in the path.")
	}
	asker := Asker{caller.Of(c.Request().Context()), a.Access.Of(collection.Name())}
	if err := asker.admit(action); err != nil {
		delete(c.Response().Header(), contract.HeaderPosition)
		return Command{}, err
	}
	if err := checkAccept(c.Request()); err != nil {
		return Command{}, err
	}
	if err := contract.RejectUnknownParameters(c.Request()); err != nil {
		return Command{}, err
	}
	if err := checkHeaders(c.Request()); err != nil {
		return Command{}, err
	}
	key, err := readIdempotencyKey(c.Request())
	if err != nil {
		return Command{}, err
	}
	consistency, err := contract.RequestedConsistency(c.Request(), events.Strong, events.Linearizable, events.Eventual)
	return Command{Action: action, Collection: collection, Asker: asker, MaxDocument: a.MaxBody, IdempotencyKey: key, Consistency: consistency}, err
}

// checkAccept rejects a write if the client does not accept the media type of its response. The
// error is a problem.
func checkAccept(r *http.Request) error {
	answer := contract.JSON
	switch {
	case r.Method == http.MethodDelete:
		return nil // its response has no body
	case web.IsStream(r):
		answer = contract.NDJSON
	}
	_, err := negotiation.Accepts(r, answer)
	return err
}

// beginEntity reads the parts of a request that all writes to one entity share. The error is a
// problem.
func (a *API) beginEntity(c echo.Context, action Action) (Command, error) {
	command, err := a.begin(c, action)
	if err != nil {
		return command, err
	}
	command.ID = c.Param("id")
	if action == Patch && !command.Asker.Policy.Bypasses(command.Asker.Caller) {
		command.Kept = command.Asker.Policy.ServerSet()
	}
	if !events.ValidID(command.ID) {
		return command, problem.NotFound.New("No entity has this id.")
	}
	command.Match, err = contract.IfMatch(c.Request())
	return command, err
}

func (a *API) execute(c echo.Context, command Command) (Result, error) {
	result, err := a.Executor.Execute(c.Request().Context(), command)
	h := c.Response().Header()
	if err != nil {
		contract.SetPosition(h, int64(a.Executor.Model.Position()))
		return result, toProblem(err)
	}
	contract.SetPosition(h, int64(result.Position))
	return result, nil
}

func write(c echo.Context, status int, r Result) error {
	web.SetField(c, "Etag", contract.ETag(r.Entity.Version))
	return web.Answer(c, status, contract.JSON, r.Entity.Rendered)
}
