package queryapi

import (
	"fmt"
	"net/url"
	"slices"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

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
