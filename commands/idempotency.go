package commands

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// HashRequest tells requests apart that come with one idempotency key: the first 128
// bits of SHA-256 over method, path and body, a zero byte between, in base64url. It is
// stored in the log for ever.
func HashRequest(method, path string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(method + "\x00" + path + "\x00"))
	h.Write(body)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// readIdempotencyKey returns the key under which the write is stored, or "" if the client sent
// none. The error is a problem.
func readIdempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || !events.ValidIdempotencyKey(values[0]) {
		return "", problem.MalformedRequest.New("Idempotency-Key must be 1 to 255 visible ASCII characters.")
	}
	return caller.Of(r.Context()).IdempotencyKey(values[0]), nil
}

// replay finds what an earlier command with the same key did. A refusal is not an
// outcome: it changed nothing, and is decided anew.
func (x *Executor) replay(ctx context.Context, c Command) (r Result, done bool, err error) {
	if c.IdempotencyKey == "" {
		return r, false, nil
	}
	use, used, err := x.keyUse(ctx, c.IdempotencyKey)
	if err != nil || !used {
		return r, false, err
	}
	if use.RequestHash != c.RequestHash {
		return r, false, &Refusal{Kind: KeyReused, Detail: "the idempotency key was used for a different request"}
	}
	return Result{
		Position: use.Position,
		Entity:   events.Entity{Collection: use.Collection, ID: use.ID, Version: use.Version, Deleted: use.Kind == events.Deleted, Rendered: use.Rendered},
		Replayed: true,
	}, true, nil
}

// replayAnother answers a command whose key another command holds here: that one may be
// a retry too.
func (x *Executor) replayAnother(ctx context.Context, c Command) (Result, error) {
	r, done, err := x.replay(ctx, c)
	if !done && err == nil {
		err = ErrInFlight
	}
	return r, err
}

// keyUse finds the use of a key within the window. The log's time moves with its records
// alone: if our clock says that the key has left the window, a barrier is appended, whose
// timestamp tells.
func (x *Executor) keyUse(ctx context.Context, key string) (use reads.KeyUse, used bool, err error) {
	use, used, err = x.Model.KeyUse(ctx, key)
	if err != nil || !used || x.now().Sub(use.At) < events.IdempotencyWindow {
		return use, used, err
	}
	if err := x.freshen(ctx, contract.Linearizable); err != nil {
		return use, false, err
	}
	return x.Model.KeyUse(ctx, key)
}

// keysInFlight are the idempotency keys of the commands that are being executed. What
// is in flight elsewhere is found out by the log: the second event is void.
type keysInFlight struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (k *keysInFlight) begin(key string) (done func(), ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys[key] {
		return nil, false
	}
	if k.keys == nil {
		k.keys = map[string]bool{}
	}
	k.keys[key] = true
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.keys, key)
	}, true
}
