// Package keyring finds API keys in a node's read model: one for each request that sends a key, and
// all of them for operators. Package node connects it with the API and the admin listener.
package keyring

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/httpapi/auth/apikeys"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// UsesFile is the name of the file with the last uses of API keys, in the data folder.
const UsesFile = "key-uses.json"

// A Ring is the API keys of a node. Safe for concurrent use.
type Ring struct {
	// Model returns the node's projection. It is called for each request.
	Model func() *projections.Projection
	// ReadyLag is how long the node may be behind the log.
	ReadyLag time.Duration
	// Uses are when keys were last used here; nil if the node accepts none.
	Uses *apikeys.Uses

	stored atomic.Bool // the file has the table of keys
}

// The answer of the admin listener about API keys. Its JSON is part of the admin interface.
type (
	// Keys are the API keys in a node's read model.
	Keys struct {
		Node string `json:"node"`
		// Position is the position for which the keys are valid, and which the node has reached.
		Position events.Position `json:"position"`
		// Accepted reports whether the node accepts API keys.
		Accepted bool  `json:"accepted"`
		Keys     []Key `json:"keys"`
	}
	// Key is one API key, without its hash.
	Key struct {
		// ID is clk_ and a text that identifies the key. It is the actor of the events of the key.
		ID string `json:"id"`
		// Entity and Version are those of the key in the log.
		Entity    string     `json:"entity"`
		Version   int64      `json:"version"`
		Name      string     `json:"name"`
		Roles     []string   `json:"roles"`
		CreatedAt string     `json:"created_at"`
		ExpiresAt *time.Time `json:"expires_at"`
		RevokedAt *time.Time `json:"revoked_at"`
		// LastUsedAt is the time of the last use on this node, rounded down to a minute, or nil.
		LastUsedAt *time.Time `json:"last_used_at"`
	}
)

// Find returns the entity of an API key as this node knows it. The error is a problem.
func (r *Ring) Find(ctx context.Context, id string) (apikeys.Entity, bool, error) {
	const consequence = "The API key could not be verified, and nothing was done. Retry later."
	// The key, or its revocation, may be in the part of the log that this node has not read yet.
	if behind := r.Model().Ready(r.ReadyLag); behind != nil {
		return apikeys.Entity{}, false, problem.NotReady.Because(behind, consequence)
	}
	e, found, err := r.find(ctx, id)
	if errors.Is(err, projections.ErrOverloaded) {
		return e, false, problem.Overloaded.Because(err, "The server is at capacity. Nothing was done. Retry later.")
	}
	if unready := contract.Unready(err, consequence); unready != nil {
		return e, false, unready
	}
	if err != nil {
		return e, false, problem.NotReady.Because(err, consequence)
	}
	return e, found, nil
}

func (r *Ring) find(ctx context.Context, id string) (apikeys.Entity, bool, error) {
	if there, err := r.exist(ctx); err != nil || !there {
		return apikeys.Entity{}, false, err
	}
	e, found, _, err := r.Model().Entity(ctx, apikeys.Collection, id)
	if err != nil || !found || e.Deleted {
		return apikeys.Entity{}, false, err
	}
	return apikeys.Entity{Version: e.Version, Rendered: e.Rendered}, true, nil
}

// exist reports whether the projection has the table of API keys. It is created with the first
// key, and every file that replaces this one has it too.
func (r *Ring) exist(ctx context.Context) (bool, error) {
	if r.stored.Load() {
		return true, nil
	}
	tx, err := r.Model().BeginRead(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Close() }()
	var there bool
	err = tx.Get(context.WithoutCancel(ctx), &there, `SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ?`, apikeys.Collection)
	if err == nil && there {
		r.stored.Store(true)
	}
	return there, err
}

// List returns all keys at one position. The name of the node is not set.
func (r *Ring) List(ctx context.Context) (Keys, error) {
	tx, err := r.Model().BeginRead(ctx)
	if err != nil {
		return Keys{}, err
	}
	defer func() { _ = tx.Close() }()
	answer := Keys{Position: tx.At, Accepted: r.Uses != nil, Keys: []Key{}}
	uses := map[string]time.Time{}
	if r.Uses != nil {
		uses = r.Uses.All()
	}
	err = tx.Entities(ctx, apikeys.Collection, "", func(e events.Entity) error {
		record, err := apikeys.ParseRecord(e.Rendered)
		if err != nil {
			return err
		}
		k := Key{
			ID: apikeys.Name(e.ID), Entity: e.ID, Version: e.Version, Name: record.Name, Roles: record.Roles, CreatedAt: e.CreatedAt,
			ExpiresAt: record.ExpiresAt, RevokedAt: record.RevokedAt,
		}
		if k.Roles == nil {
			k.Roles = []string{}
		}
		if at, used := uses[e.ID]; used {
			k.LastUsedAt = &at
		}
		answer.Keys = append(answer.Keys, k)
		return nil
	})
	return answer, err
}
