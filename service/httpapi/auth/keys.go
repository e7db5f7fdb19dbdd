package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/clusterlite/clusterlite/service/httpclient"
	"github.com/clusterlite/clusterlite/service/process/reload"
)

const (
	// refresh is how often keys are fetched from a URL, so that a key that the identity provider
	// has removed is not trusted for longer.
	refresh = 5 * time.Minute
	// fetches is the minimum time between two fetches.
	fetches = time.Second
	// patience bounds how long a request waits for keys.
	patience = 5 * time.Second
	// maxKeys bounds the size of a key set in bytes.
	maxKeys = 1 << 20
)

// A keySource has the keys that sign tokens. Safe for concurrent use.
type keySource interface {
	// find returns the keys that may have signed a token with this key id, which may be empty,
	// and this algorithm, and the generation of keys that they belong to. None means that the
	// token is not valid. It returns an [unavailableError] if the keys can't be fetched.
	find(ctx context.Context, id, algorithm string) ([]jose.JSONWebKey, int64, error)
	// generation changes whenever the keys do.
	generation() int64
}

// openKeys returns the keys of a file or a URL.
func openKeys(source string, logger *slog.Logger) (keySource, error) {
	if strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") {
		return newRemoteKeys(source, logger), nil
	}
	generations := new(atomic.Int64)
	file, err := reload.Open(func(contents [][]byte) (keySet, error) {
		keys, err := parseKeys(contents[0])
		if err != nil {
			return keySet{}, fmt.Errorf("%s: %w", source, err)
		}
		return keySet{keys, generations.Add(1)}, nil
	}, func(err error) { logger.Warn("the keys for tokens can't be used", "error", err) }, source)
	if err != nil {
		return nil, err
	}
	return fileKeys{file}, nil
}

// A keySet is a state of the keys. It is immutable.
type keySet struct {
	keys   []jose.JSONWebKey
	number int64 // its generation
}

// parseKeys reads a key set, without the keys that can't sign tokens.
func parseKeys(text []byte) ([]jose.JSONWebKey, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("it is not a set of keys (JWKS): %w", err)
	}
	var keys []jose.JSONWebKey
	for _, k := range set.Keys {
		if k.Valid() && k.IsPublic() && (k.Use == "" || k.Use == "sig") {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no public key that signs")
	}
	return keys, nil
}

// matching returns the keys that a token may name. A key that is for one algorithm verifies no
// other.
func (s keySet) matching(id, algorithm string) (found []jose.JSONWebKey) {
	for _, k := range s.keys {
		if (id == "" || k.KeyID == id) && (k.Algorithm == "" || k.Algorithm == algorithm) {
			found = append(found, k)
		}
	}
	return found
}

// fileKeys are the keys of a file. A replaced file takes effect within a second.
type fileKeys struct{ *reload.Value[keySet] }

func (f fileKeys) find(_ context.Context, id, algorithm string) ([]jose.JSONWebKey, int64, error) {
	set := f.Get()
	return set.matching(id, algorithm), set.number, nil
}

func (f fileKeys) generation() int64 { return f.Get().number }

// remoteKeys are the keys of a URL. They are fetched again when they are old, and when a token
// names a key that is not among them: so a token with a new key is accepted at once.
type remoteKeys struct {
	url     string
	client  *http.Client
	logger  *slog.Logger
	current atomic.Pointer[keySet]
	checked atomic.Int64 // when the last fetch ended, in nanoseconds since the epoch

	mu      sync.Mutex
	pending *fetch    // the next fetch, which has not started; nil if no fetch is scheduled
	running *fetch    // the fetch that started last; nil if it has ended
	began   time.Time // when the last one began
	count   int64     // the number of fetches that have started
	applied int64     // the number of the fetch that current comes from
}

// A fetch is one request for the keys, for all that came before it began.
type fetch struct {
	done   chan struct{}
	number int64
	set    *keySet // what it found; like err, it is set before done is closed
	err    error
}

func newRemoteKeys(url string, logger *slog.Logger) *remoteKeys {
	return &remoteKeys{
		url: url, logger: logger,
		client: httpclient.NewClient(httpclient.Limits{Connect: patience, Answer: patience, Stall: patience}, nil),
	}
}

func (k *remoteKeys) generation() int64 {
	set := k.current.Load()
	if set == nil {
		return 0
	}
	if time.Since(time.Unix(0, k.checked.Load())) > refresh {
		k.next() // this caller gets the keys that are known
	}
	return set.number
}

func (k *remoteKeys) find(ctx context.Context, id, algorithm string) ([]jose.JSONWebKey, int64, error) {
	k.generation()          // has old keys fetched again
	early := k.inProgress() // before the look at the keys, which may be its result
	if set := k.current.Load(); set != nil {
		if found := set.matching(id, algorithm); len(found) > 0 {
			return found, set.number, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// The running fetch may have started before the provider published the key. But it ends before
	// the next one does, so look at its result first.
	if early != nil && early.wait(ctx) == nil {
		if found := early.set.matching(id, algorithm); len(found) > 0 {
			return found, early.set.number, nil
		}
	}
	f := k.next()
	if err := f.wait(ctx); err != nil {
		return nil, 0, &unavailableError{err} // the unknown key may be a new one
	}
	return f.set.matching(id, algorithm), f.set.number, nil
}

// wait returns once the fetch is done, with its error, or when ctx ends.
func (f *fetch) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inProgress returns the fetch that began last, if it is not done.
func (k *remoteKeys) inProgress() *fetch {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.running
}

// next returns the fetch that begins next: at once, or when enough time has passed since the
// last one. Anybody can send tokens with unknown keys, so all of them share it.
func (k *remoteKeys) next() *fetch {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pending != nil {
		return k.pending
	}
	f := &fetch{done: make(chan struct{})}
	k.pending = f
	time.AfterFunc(max(0, fetches-time.Since(k.began)), func() {
		k.mu.Lock()
		k.count++
		k.pending, k.running, k.began, f.number = nil, f, time.Now(), k.count
		k.mu.Unlock()
		keys, err := k.fetch()
		if f.set, f.err = k.apply(f.number, keys), err; err != nil {
			k.logger.Warn("could not fetch the keys for tokens; the known keys stay in effect", "url", k.url, "error", f.err)
		}
		// A failed attempt counts too, so that the next one comes after the same interval.
		k.checked.Store(time.Now().UnixNano())
		k.mu.Lock()
		if k.running == f {
			k.running = nil
		}
		k.mu.Unlock()
		close(f.done)
	})
	return f
}

// apply puts the keys that a fetch found into effect, unless a later fetch was quicker or there
// are none, and returns what the fetch found.
func (k *remoteKeys) apply(number int64, keys []jose.JSONWebKey) *keySet {
	if keys == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	last := k.current.Load()
	if last != nil && sameKeys(last.keys, keys) {
		k.applied = max(k.applied, number)
		return last // so verified tokens stay known
	}
	set := &keySet{keys, number}
	if number > k.applied {
		k.applied = number
		k.current.Store(set)
	}
	return set
}

func (k *remoteKeys) fetch() ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := k.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxKeys))
	if err != nil {
		return nil, err
	}
	return parseKeys(text)
}

// sameKeys compares keys by their content, in order.
func sameKeys(a, b []jose.JSONWebKey) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
