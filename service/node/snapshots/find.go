package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpclient"
)

// Path is the path on a node's admin listener that returns a snapshot of its read model.
const Path = "/snapshot"

// ErrNone is returned if no snapshot can be used.
var ErrNone = errors.New("no snapshot can be used")

// A Finder looks for a snapshot that a node can start from.
type Finder struct {
	// Sources are searched for a snapshot, in order: snapshot stores, and URLs of other nodes'
	// admin listeners (http://… or https://…).
	Sources []string
	// Providers open the buckets among the sources.
	Providers Providers
	// Access holds the credentials for other nodes.
	Access admin.Access
	// Log is the log that a snapshot must match.
	Log *eventlog.Log
	// Logger logs which snapshot is restored, and which are skipped and why.
	Logger *slog.Logger
}

// Save writes the file of the newest snapshot that matches the log to path, from the first
// source that has one. It skips snapshots that are corrupt or of another log, and tries the
// next older one. It waits for the broker. It returns [ErrNone] if no snapshot can be used.
// After an error no file is left.
func (f Finder) Save(ctx context.Context, path string) error {
	info, err := f.await(ctx)
	if err != nil {
		return fmt.Errorf("find out which log a snapshot must match: %w", err)
	}
	for _, source := range f.Sources {
		taken, err := f.from(ctx, source, info.ID, path)
		if taken || ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			f.Logger.Warn("could not get a snapshot from this source", "source", withoutPassword(source), "error", err)
		}
	}
	return ErrNone
}

// Bootstrap saves a snapshot and installs it as the projection of a node that has none. The
// caller holds the folder's lock. Errors are those of Save; after one, the node can still
// read the log from its beginning.
func (f Finder) Bootstrap(ctx context.Context, dir string) error {
	path, err := Temporary(dir)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(path) }() // no longer there once it is installed
	if err := f.Save(ctx, path); err != nil {
		return err
	}
	return datafolder.Install(dir, path)
}

// await waits for the broker. Without it, a snapshot can't be matched with the log.
func (f Finder) await(ctx context.Context) (eventlog.Info, error) {
	const again = time.Second
	for warned := false; ; warned = true {
		info, err := f.Log.Prepare(ctx)
		access := (*eventlog.AccessError)(nil)
		if err == nil || !errors.Is(err, eventlog.ErrUnreachable) || errors.As(err, &access) {
			return info, err
		}
		if !warned {
			f.Logger.Warn("waiting for the broker before restoring a snapshot", "error", err)
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return info, ctx.Err()
		}
	}
}

// IsNode reports whether a source is the URL of a node's admin listener. All others are stores.
func IsNode(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}

func (f Finder) from(ctx context.Context, source, topicID, path string) (taken bool, err error) {
	if IsNode(source) {
		body, err := fetch(admin.WithAccess(ctx, f.Access), source)
		if err != nil {
			return false, err
		}
		err = f.take(ctx, body, source, path)
		return err == nil, err
	}
	store, err := f.Providers.Open(ctx, source)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	all, err := store.List(ctx)
	if err != nil {
		return false, err
	}
	for _, e := range all {
		if topicID != "" && e.TopicID != "" && e.TopicID != topicID {
			continue // of another log, or of this one before it was recreated
		}
		body, err := store.Open(ctx, e.Name)
		if err == nil {
			err = f.take(ctx, body, e.Name, path)
		}
		if err == nil {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if silent := (*httpclient.SilentError)(nil); errors.As(err, &silent) {
			return false, err // the source is silent, so older snapshots can't be read either
		}
		f.Logger.Warn("skipped a snapshot", "source", withoutPassword(source), "name", e.Name, "error", err)
	}
	return false, ErrNone
}

// fetch requests a snapshot from another node, once that node has shown that it responds.
func fetch(ctx context.Context, node string) (io.ReadCloser, error) {
	node = strings.TrimSuffix(node, "/")
	// The node prepares a snapshot before its answer begins; this request needs no
	// preparation.
	live, err := get(ctx, httpclient.Limits{Connect: limits.Connect, Answer: limits.Connect, Stall: limits.Stall}, node+"/livez")
	if err != nil {
		return nil, err
	}
	_ = live.Body.Close() // its content does not matter
	response, err := get(ctx, limits, node+Path)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // only to quote the response
		_ = response.Body.Close()
		return nil, fmt.Errorf("%s: %s", response.Status, said)
	}
	return response.Body, nil
}

func get(ctx context.Context, l httpclient.Limits, url string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Close = true // no other request follows
	return admin.NewClient(l).Do(r)
}

// take checks a snapshot and writes its file.
func (f Finder) take(ctx context.Context, body io.ReadCloser, name, path string) error {
	defer func() { _ = body.Close() }() // it was only read
	reader, err := Read(body)
	if err != nil {
		return err
	}
	// Describe the log again, because a running node may be ahead of the earlier
	// description. Check the snapshot before its file is fetched.
	info, err := f.Log.Describe(ctx)
	if err != nil {
		return err
	}
	claimed := offline.Built{Position: reader.Position, Topic: reader.Topic, TopicID: reader.TopicID}
	if err := claimed.CheckTopic(f.Log.Topic(), info); err != nil {
		return err
	}
	f.Logger.Info("restoring a snapshot", "name", name, "position", reader.Position, "bytes", reader.Size)
	built, err := reader.Save(ctx, path, f.progress(reader.Size))
	if err != nil {
		return err
	}
	if err := built.CheckLog(ctx, f.Log, info); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	f.Logger.Info("restored a snapshot", "name", name, "position", reader.Position, "end", info.End)
	return nil
}

// progress returns a function that logs the progress every few seconds.
func (f Finder) progress(size int64) func(int64) {
	const every = 3 * time.Second
	next := time.Now().Add(every)
	return func(done int64) {
		if now := time.Now(); now.After(next) {
			next = now.Add(every)
			f.Logger.Info("restoring a snapshot", "bytes", done, "of", size)
		}
	}
}

// withoutPassword returns a source as a log may show it.
func withoutPassword(source string) string {
	u, err := url.Parse(source)
	if err != nil || u.User == nil {
		return source
	}
	return u.Redacted()
}
