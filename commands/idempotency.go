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
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// HashRequest returns a hash that distinguishes requests with the same idempotency key: the first
// 128 bits of SHA-256 over method, path and body, separated by zero bytes, in base64url. The log
// stores it, so it never changes.
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

// replay returns the result of an earlier command with the same key. A rejection is not such a
// result: it changed nothing, and the command is decided again.
func (x *Executor) replay(ctx context.Context, c Command) (r Result, done bool, err error) {
	if c.IdempotencyKey == "" {
		return r, false, nil
	}
	use, used, err := x.keyUse(ctx, c.IdempotencyKey)
	if err != nil || !used {
		return r, false, err
	}
	if use.RequestHash != c.RequestHash {
		return r, false, &Rejection{Kind: KeyReused, Detail: "the idempotency key was used for a different request"}
	}
	if rejection := c.Asker.permitReplay(use); rejection != nil {
		return r, false, rejection
	}
	return Result{
		Position: use.Position,
		Entity:   events.Entity{Collection: use.Collection, ID: use.ID, Version: use.Version, Deleted: use.Kind == events.Deleted, Rendered: use.Rendered},
		Replayed: true,
	}, true, nil
}

// replayAnother handles a command whose key is in use by another command in this process. That
// command may itself be a retry of one that was executed.
func (x *Executor) replayAnother(ctx context.Context, c Command) (Result, error) {
	r, done, err := x.replay(ctx, c)
	if !done && err == nil {
		err = ErrInFlight
	}
	return r, err
}

// keyUse returns the use of a key within its window. Log time advances only with records. If the
// clock of this node says that the window is over, a barrier is appended, and its timestamp
// decides.
func (x *Executor) keyUse(ctx context.Context, key string) (use reads.KeyUse, used bool, err error) {
	use, used, err = x.Model.KeyUse(ctx, key)
	if err != nil || !used || x.now().Sub(use.At) < events.IdempotencyWindow {
		return use, used, err
	}
	if err := x.freshen(ctx, events.Linearizable); err != nil {
		return use, false, err
	}
	return x.Model.KeyUse(ctx, key)
}

// keysInFlight holds the idempotency keys of the commands that are in progress in this process.
// For commands in other processes the log decides: the second event is void.
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
