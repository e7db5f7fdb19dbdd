package queryapi

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// An API answers reads. Safe for concurrent use.
type API struct {

	// Log is asked for its end.
	Log *eventlog.Log
	// Model is what is read, a running projection of Log.
	Model *projections.Projection
	// Collections are those that are served.
	Collections *collections.Set
	// Default is what a read gets that asks for nothing: contract.Strong or contract.Eventual.
	Default contract.Consistency
	// Wait is the longest that a read waits for its position.
	Wait time.Duration
	// MaxLag is how long the model may have been behind before reads stop waiting for
	// it.
	MaxLag time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	words        sync.Map // collection's name → *listing.Vocabulary
	describeOnce sync.Once
	description  []byte
	describeErr  error
}

// Routes returns the handlers, for [contract.Mount].
func (a *API) Routes() contract.Routes {
	read := func(h echo.HandlerFunc) web.Handlers {
		h = a.blameStorage(h)
		return web.Handlers{http.MethodGet: h, http.MethodHead: h}
	}
	return contract.Routes{
		contract.Root.Path:               read(a.root),
		contract.Description.Path:        read(a.describe),
		contract.Documentation.Path:      read(documentation),
		contract.DocumentationFiles.Path: read(documentation),
		contract.Collection.Path:         read(a.tellPosition(a.list)),
		contract.Entity.Path:             read(a.tellPosition(a.get)),
	}
}

// errUnreadable: what is stored can't have been written by this program.
var errUnreadable = errors.New("a stored entity can't be read")

// blameStorage answers a read that met damaged storage with a problem that has Nginx ask
// another node.
func (a *API) blameStorage(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := h(c)
		if errors.Is(err, errUnreadable) {
			err = a.Model.ReportDamage(err)
		}
		if p := contract.Unready(err, elsewhere); p != nil {
			return p
		}
		return err
	}
}

// tellPosition has an answer to a read that failed tell where the node is. Reads that
// succeed say themselves which position they hold for.
func (a *API) tellPosition(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := h(c)
		if header := c.Response().Header(); err != nil && header[contract.HeaderPosition] == nil {
			contract.SetPosition(header, int64(a.Model.Position()))
		}
		return err
	}
}

// collection finds the collection that a path names.
func (a *API) collection(c echo.Context) (*collections.Collection, error) {
	name := c.Param("collection")
	found, ok := a.Collections.Get(name)
	if !ok {
		return nil, problem.UnknownCollection.New("No collection has the name in the path.")
	}
	return found, nil
}

// vocabulary returns what the lists of a collection understand.
func (a *API) vocabulary(c *collections.Collection) *listing.Vocabulary {
	if v, ok := a.words.Load(c.Name()); ok {
		return v.(*listing.Vocabulary)
	}
	v, _ := a.words.LoadOrStore(c.Name(), listing.New(c))
	return v.(*listing.Vocabulary)
}

// What all answers share. Nothing changes these slices: to set a field puts another in its
// place.
var (
	noCache           = []string{"no-cache"}
	consistencyFields = map[contract.Consistency][]string{
		contract.Strong: {string(contract.Strong)}, contract.Linearizable: {string(contract.Linearizable)}, contract.Eventual: {string(contract.Eventual)},
	}
)

// makeFresh makes the answer as fresh as the client asked, and says so in its header.
func (a *API) makeFresh(c echo.Context) error {
	given, err := a.freshen(c.Request())
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h[contract.HeaderConsistency] = consistencyFields[given]
	// A cache must ask again: else a client would not read what it wrote.
	h["Cache-Control"] = noCache
	return nil
}
