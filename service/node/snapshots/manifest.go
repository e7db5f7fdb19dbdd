package snapshots

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/lines"
	"github.com/clusterlite/clusterlite/projections/offline"
)

// format is the version of the stream format. Streams of other versions are rejected.
const format = 1

// maxManifest bounds the line of a manifest.
const maxManifest = 1 << 20

// A Manifest describes a snapshot. Its JSON names are stored and must never change.
type Manifest struct {
	Format int `json:"clusterlite_snapshot"`
	// Topic and TopicID identify the log that it was built from.
	Topic   string `json:"topic"`
	TopicID string `json:"topic_id"`
	// Position is the number of records that were applied. LogTime is the broker's time at that
	// position.
	Position events.Position `json:"position"`
	LogTime  time.Time       `json:"log_time"`
	// Digests are the digests of the rows of each collection. Entities are the numbers of living
	// entities.
	Digests  map[string]string `json:"digests"`
	Entities map[string]int64  `json:"entities"`
	// Node is the node that created the snapshot, at CreatedAt.
	Node      string    `json:"node"`
	CreatedAt time.Time `json:"created_at"`
	// Size is the uncompressed size of the file in bytes. SHA256 is its hash in hexadecimal.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// CorruptError is returned for data that is not a snapshot, or was truncated or changed.
type CorruptError struct{ Reason string }

// Error says what is wrong with the data.
func (e *CorruptError) Error() string { return "the snapshot is corrupt: " + e.Reason }

// A FormatError is returned for a snapshot in a format that this version does not support.
type FormatError struct{ Format int }

// Error names both formats.
func (e *FormatError) Error() string {
	return fmt.Sprintf("the snapshot has format %d, but this version of ClusterLite reads only format %d", e.Format, format)
}

func corrupt(reason string, args ...any) error { return &CorruptError{fmt.Sprintf(reason, args...)} }

// describe fills in what a file holds.
func (m *Manifest) describe(b offline.Built) {
	m.Topic, m.TopicID, m.Position, m.LogTime = b.Topic, b.TopicID, b.Position, b.LogTime.UTC()
	m.Digests, m.Entities = map[string]string{}, map[string]int64{}
	for name, s := range b.Collections {
		m.Digests[name], m.Entities[name] = s.Digest.String(), s.Living
	}
}

// holds returns a [CorruptError] if a file does not match the manifest.
func (m Manifest) holds(b offline.Built) error {
	var found Manifest
	found.describe(b)
	if m.Topic != found.Topic || m.TopicID != found.TopicID || m.Position != found.Position {
		return corrupt("its file was built from topic %s (%s) up to position %d, but its manifest says topic %s (%s) and position %d",
			found.Topic, found.TopicID, found.Position, m.Topic, m.TopicID, m.Position)
	}
	if differs := m.Differing(b); len(differs) > 0 {
		return corrupt("the digests of %s differ from those in its manifest", strings.Join(differs, ", "))
	}
	return nil
}

// Differing names the collections whose digests are not those of the snapshot.
func (m Manifest) Differing(b offline.Built) (names []string) {
	var found Manifest
	found.describe(b)
	for _, one := range []map[string]string{m.Digests, found.Digests} {
		for name := range one {
			if m.Digests[name] != found.Digests[name] {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// writeTo writes the manifest's line.
func (m Manifest) writeTo(w io.Writer) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// readManifest reads the manifest's line.
func readManifest(r *bufio.Reader) (m Manifest, err error) {
	line, err := lines.NewReader(r, maxManifest).Append(nil)
	switch {
	case errors.Is(err, lines.ErrTooLong):
		return m, corrupt("it does not begin with a manifest")
	case err == nil && !bytes.HasSuffix(line, []byte("\n")):
		err = io.EOF
	}
	if err != nil {
		return m, fmt.Errorf("read the manifest: %w", truncated(err))
	}
	d := json.NewDecoder(bytes.NewReader(line))
	if err := d.Decode(&m); err != nil || m.Format == 0 {
		return Manifest{}, corrupt("it does not begin with a manifest")
	}
	if m.Format != format {
		return Manifest{}, &FormatError{m.Format}
	}
	if m.Size < 0 || m.Position < 0 || m.Topic == "" {
		return Manifest{}, corrupt("its manifest is invalid")
	}
	return m, nil
}

// truncated returns a [CorruptError] if a stored snapshot ends too early. A broken
// connection gives another error, which may wrap io.EOF.
func truncated(err error) error {
	if err == io.EOF { //nolint:errorlint // see above
		return corrupt("it is truncated")
	}
	return err
}
