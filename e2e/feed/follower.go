package feed

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// A Change is an event of the feed.
type Change struct {
	ID, Type, Subject, Position string
	Data, Previous              json.RawMessage
}

// String identifies the change in a log.
func (c Change) String() string { return c.Position + " " + c.Type + " " + c.Subject }

// A Follower follows a feed by server-sent events. Whenever a stream ends, it connects again, perhaps to
// another node, and continues from its offset.
type Follower struct {
	// Node returns the URL of the store for the next connection.
	Node func() string
	// Path is the path of the feed.
	Path string
	// Seen gets the changes of each event, which may be none, and the offset after it. If it returns
	// false, the follower ends.
	Seen func(changes []Change, offset string) bool
}

// silence is how long a stream may be silent. The store sends a heartbeat every five seconds.
const silence = 15 * time.Second

// Follow follows the feed from an offset until Seen returns false or the context ends. The error is a
// response that no client should get.
func (f *Follower) Follow(ctx context.Context, offset string) error {
	for ctx.Err() == nil {
		next, more, err := f.connect(ctx, offset)
		if offset = next; err != nil || !more {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// connect follows one stream until it ends, and returns the offset after it.
func (f *Follower) connect(ctx context.Context, offset string) (next string, more bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := time.AfterFunc(silence, cancel)
	defer alive.Stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.Node()+f.Path+"?live=sse&offset="+offset, http.NoBody)
	if err != nil {
		return offset, false, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return offset, true, nil // the node is gone, and the next attempt may reach another
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		return offset, true, nil
	default:
		b, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return offset, false, fmt.Errorf("from %s: got status %d: %s", offset, response.StatusCode, b)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 4<<20)
	var event, id, data string
	for lines.Scan() {
		alive.Reset(silence)
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "event":
			event = value
		case name == "id":
			id = value
		case name == "data":
			data = value
		case lines.Text() == "" && event != "":
			var changes []Change
			if event == "data" {
				if err := json.Unmarshal([]byte(data), &changes); err != nil {
					return offset, false, fmt.Errorf("from %s: %w: %s", offset, err, data)
				}
			}
			if offset, event = id, ""; !f.Seen(changes, offset) {
				return offset, false, nil
			}
		}
	}
	return offset, true, nil // the stream ended or broke
}
