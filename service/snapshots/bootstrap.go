package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
)

// Path is where a node's admin listener gives a snapshot of what it has.
const Path = "/snapshot"

// ErrNone is returned if no snapshot can be taken into use.
var ErrNone = errors.New("there is no snapshot that fits")

// Bootstrap gives a node without a projection the newest snapshot that fits the log, from
// the first place that has one: a store of snapshots, or the URL of another node's admin
// listener (http://…). One that is corrupt or of another log is passed over, with a
// warning, and the next older one is tried. It returns [ErrNone] if there is none; the
// node then reads the log from its beginning. The caller holds the folder's lock.
func Bootstrap(ctx context.Context, places []string, dir string, log *eventlog.Log, logger *slog.Logger) error {
	info, err := await(ctx, log, logger)
	if err != nil {
		return fmt.Errorf("see which log a snapshot must fit: %w", err)
	}
	b := bootstrap{dir: dir, log: log, topicID: info.ID, logger: logger}
	for _, place := range places {
		taken, err := b.from(ctx, place)
		if taken || ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			logger.Warn("no snapshot from this place", "place", place, "error", err)
		}
	}
	return ErrNone
}

// await waits for a broker: without one nobody can tell whether a snapshot fits.
func await(ctx context.Context, log *eventlog.Log, logger *slog.Logger) (eventlog.Info, error) {
	const again = time.Second
	for told := false; ; told = true {
		info, err := log.Prepare(ctx)
		if err == nil || !errors.Is(err, eventlog.ErrUnreachable) {
			return info, err
		}
		if !told {
			logger.Warn("waiting for the broker before a snapshot is taken", "error", err)
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return info, ctx.Err()
		}
	}
}

type bootstrap struct {
	dir     string
	log     *eventlog.Log
	topicID string
	logger  *slog.Logger
}

func (b bootstrap) from(ctx context.Context, place string) (taken bool, err error) {
	if strings.HasPrefix(place, "http://") || strings.HasPrefix(place, "https://") {
		body, err := fetch(ctx, place)
		if err != nil {
			return false, err
		}
		err = b.take(ctx, body, place)
		return err == nil, err
	}
	store, err := OpenStore(ctx, place)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	all, err := store.List(ctx)
	if err != nil {
		return false, err
	}
	for _, e := range all {
		if b.topicID != "" && e.TopicID != "" && e.TopicID != b.topicID {
			continue // of another log, or of this one before it was made anew
		}
		body, err := store.Open(ctx, e.Name)
		if err == nil {
			err = b.take(ctx, body, e.Name)
		}
		if err == nil {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		b.logger.Warn("a snapshot was passed over", "place", place, "name", e.Name, "error", err)
	}
	return false, ErrNone
}

// fetch asks another node for a snapshot.
func fetch(ctx context.Context, node string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(node, "/")+Path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // only to say what it said
		_ = response.Body.Close()
		return nil, fmt.Errorf("%s: %s", response.Status, said)
	}
	return response.Body, nil
}

// take checks a snapshot and makes it the node's projection.
func (b bootstrap) take(ctx context.Context, body io.ReadCloser, name string) error {
	defer func() { _ = body.Close() }() // it was only read
	reader, err := Read(body)
	if err != nil {
		return err
	}
	// Asked again: a node that goes on may be further than the log was before. And
	// checked before the file is fetched.
	info, err := b.log.Describe(ctx)
	if err != nil {
		return err
	}
	claimed := projections.Built{Position: reader.Position, Topic: reader.Topic, TopicID: reader.TopicID}
	if err := claimed.Fits(b.log.Topic(), info); err != nil {
		return err
	}
	b.logger.Info("taking a snapshot", "name", name, "position", reader.Position, "bytes", reader.Size)
	path, err := Temporary(b.dir)
	if err != nil {
		return err
	}
	if _, err := reader.Save(ctx, path, b.progress(reader.Size)); err != nil {
		return err
	}
	if err := projections.Install(b.dir, path); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	b.logger.Info("took a snapshot", "name", name, "position", reader.Position, "end", info.End)
	return nil
}

// progress tells every few seconds how far it is.
func (b bootstrap) progress(size int64) func(int64) {
	const every = 3 * time.Second
	next := time.Now().Add(every)
	return func(done int64) {
		if now := time.Now(); now.After(next) {
			next = now.Add(every)
			b.logger.Info("taking a snapshot", "bytes", done, "of", size)
		}
	}
}
