// Package queryapi answers reads from a projection. By default, a read sees every write that was
// acknowledged before the read began: the node asks the broker for the end of the log, waits
// until its projection has reached it, and then reads its own file.
package queryapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/expiry"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/queryapi/livequery"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// An API handles reads over HTTP. Safe for concurrent use.
type API struct {
	Log Log
	// Model follows Log.
	Model ReadModel
	// Collections are the collections to serve.
	Collections *collections.Set
	// Default is the consistency of reads that do not ask for one: [events.Strong] or
	// [events.Eventual].
	Default events.Consistency
	// Wait is the maximum time that a read waits for its position.
	Wait time.Duration
	// MaxLag is how long the model may have been behind before reads no longer wait for it.
	MaxLag time.Duration
	// Access decides what callers may read. Nil lets everyone read everything.
	Access *access.Policies
	// Secured reports that clients need a token, which the OpenAPI description then says.
	Secured bool
	// FeedTiming has the durations of live change feeds; zero fields have defaults.
	FeedTiming changes.Timing
	// PastWindow is the number of entities that a list of the past looks for in its first pass over the
	// journal. Zero means a default; tests reduce it.
	PastWindow int
	// RateLimited reports that the requests of clients are limited, which the description says.
	RateLimited bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// Models are the read models in SQL; nil if there are none.
	Models *modelset.Set

	timers      expiry.Timers
	live        livequery.Hub // the queries of models that clients follow
	modelRules  sync.Map      // hash of a model's definition → *access.CallerRule
	words       sync.Map      // collection's name → *listing.Vocabulary
	tables      sync.Map      // collection's name → *matching.Table
	pastLists   atomic.Int32  // lists of the past that are being read
	describing  sync.Mutex
	description *description // guarded by describing; nil before the first request
}

// Routes returns the handlers, for [contract.Mount].
func (a *API) Routes() contract.Routes {
	read := func(h echo.HandlerFunc) web.Handlers {
		h = a.blameStorage(h)
		return web.Handlers{http.MethodGet: h, http.MethodHead: h}
	}
	feed := a.feed()
	return contract.Routes{
		contract.Root.Path:               read(a.root),
		contract.Description.Path:        read(a.describe),
		contract.Documentation.Path:      read(documentation),
		contract.DocumentationFiles.Path: read(documentation),
		contract.Collection.Path:         read(a.tellPosition(a.list)),
		contract.Model.Path:              read(a.tellPosition(a.readModel)),
		contract.Entity.Path:             read(a.tellPosition(a.getOrPast)),
		contract.Versions.Path:           read(a.tellPosition(a.versions)),
		contract.Version.Path:            read(a.tellPosition(a.version)),
		contract.AllChanges.Path:         read(a.tellPosition(a.changes(feed))),
		contract.Changes.Path:            read(a.tellPosition(a.changes(feed))),
	}
}

// errUnreadable means that a stored entity can't have been written by this program.
var errUnreadable = errors.New("a stored entity can't be read")

// blameStorage turns an error of damaged storage into a problem for which Nginx tries another
// node.
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

// tellPosition adds the position of the node to the response of a read that failed. Successful
// reads add the position that they are valid for.
func (a *API) tellPosition(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := h(c)
		if header := c.Response().Header(); err != nil && header[contract.HeaderPosition] == nil && !access.IsDenied(err) {
			contract.SetPosition(header, int64(a.Model.Position()))
		}
		return err
	}
}

// collection returns the collection that the path names. The error is a problem.
func (a *API) collection(c echo.Context) (*collections.Collection, error) {
	name := c.Param("collection")
	found, ok := a.Collections.Get(name)
	if !ok {
		return nil, problem.UnknownCollection.New("No collection has the name in the path.")
	}
	return found, nil
}

// vocabulary returns what clients can ask of the lists of a collection.
func (a *API) vocabulary(c *collections.Collection) *listing.Vocabulary {
	if v, ok := a.words.Load(c.Name()); ok {
		return v.(*listing.Vocabulary)
	}
	v, _ := a.words.LoadOrStore(c.Name(), listing.New(c))
	return v.(*listing.Vocabulary)
}

// Header fields that all responses share. These slices never change: setting a field replaces its
// slice.
var (
	noCache           = []string{"no-cache"}
	consistencyFields = map[events.Consistency][]string{
		events.Strong: {string(events.Strong)}, events.Linearizable: {string(events.Linearizable)}, events.Eventual: {string(events.Eventual)},
	}
)

// makeFresh waits until the model is as fresh as the client asked for, and sets the header fields
// that say so. The error is a problem.
func (a *API) makeFresh(c echo.Context) error {
	given, err := a.freshen(c.Request())
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h[contract.HeaderConsistency] = consistencyFields[given]
	// A cache must revalidate. Otherwise a client would not read what it wrote.
	h["Cache-Control"] = noCache
	return nil
}

// New returns the API for reads on a node.
func New(n *node.Node, reads settings.Reads) *API {
	return &API{
		Log: n.Log, Model: n.Model, Collections: n.Collections,
		Default: events.Consistency(reads.Consistency), Wait: reads.Wait, MaxLag: n.ReadyLag, Secured: n.Auth.Required(), Access: n.Access, Models: n.Models, RateLimited: n.Rates.Limited(),
	}
}

// WebhookFeed returns what the webhooks of a node have in common with its change feed.
func WebhookFeed(n *node.Node) webhooks.Feed {
	return webhookFeed{&API{Model: n.Model, Collections: n.Collections}}
}

type webhookFeed struct{ api *API }

// Declared implements [webhooks.Vocabulary].
func (f webhookFeed) Declared(collection string) bool {
	_, ok := f.api.Collections.Get(collection)
	return ok
}

// Condition implements [webhooks.Vocabulary].
func (f webhookFeed) Condition(collection string, values url.Values) (webhooks.Condition, error) {
	filters := f.api.feedFilters(collection)
	for name := range values {
		if !slices.Contains(filters.Names, name) {
			return nil, fmt.Errorf("%q is no filter of the collection %s", name, collection)
		}
	}
	matches, err := filters.Parse(values)
	return webhooks.Condition(matches), err
}

// Append implements [webhooks.Feed].
func (webhookFeed) Append(b []byte, e *journal.Entry) []byte { return changes.Append(b, e) }
