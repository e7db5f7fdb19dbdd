package snapshots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/fileblob"  // file://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://

	"github.com/clusterlite/clusterlite/events"
)

// A Store keeps snapshots: a folder, or a bucket of S3, Google Cloud Storage or Azure.
// Safe for concurrent use.
type Store struct {
	bucket *blob.Bucket
	name   string
}

// OpenStore opens a folder by its path, or a bucket by its URL as gocloud.dev/blob has it:
// file:///backups, s3://bucket?region=eu-west-1&prefix=clusterlite/, gs://bucket,
// azblob://container. A folder is made if it is missing. Credentials come from where the
// provider's own tools look for them.
func OpenStore(ctx context.Context, place string) (*Store, error) {
	address := place
	if !strings.Contains(place, "://") {
		path, err := filepath.Abs(place)
		if err != nil {
			return nil, fmt.Errorf("open the store of snapshots %s: %w", place, err)
		}
		// Files next to where they go, since a rename from elsewhere may not be possible;
		// no side files, since nothing is in them.
		u := url.URL{Scheme: "file", Path: path, RawQuery: "create_dir=true&no_tmp_dir=true&metadata=skip"}
		address = u.String()
	}
	bucket, err := blob.OpenBucket(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("open the store of snapshots %s: %w", place, err)
	}
	return &Store{bucket, place}, nil
}

// Close closes the store.
func (s *Store) Close() error { return s.bucket.Close() }

// An Entry is a snapshot in a store, as its name tells it.
type Entry struct {
	// Name is the object's name.
	Name     string          `json:"name"`
	TopicID  string          `json:"topic_id"`
	Position events.Position `json:"position"`
	// Bytes is its size as it is stored.
	Bytes int64 `json:"bytes"`
	// StoredAt is when it was put there.
	StoredAt time.Time `json:"stored_at"`
}

const unknownTopic = "unknown"

var validName = regexp.MustCompile(`^clusterlite-([0-9a-f]+|unknown)-([0-9]{20})\.snapshot$`)

func (m Manifest) name() string {
	id := m.TopicID
	if id == "" {
		id = unknownTopic // the broker gives topics no ids
	}
	return fmt.Sprintf("clusterlite-%s-%020d.snapshot", id, m.Position)
}

// List gives the snapshots, the newest of each topic first; the order of topics is that
// of their newest snapshots. What is not the name of a snapshot is passed over.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	var all []Entry
	ctx, waiting := s.watch(ctx)
	defer waiting.stop()
	for i := s.bucket.List(&blob.ListOptions{Prefix: "clusterlite-"}); ; {
		o, err := ask(waiting, func() (*blob.ListObject, error) { return i.Next(ctx) })
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list the snapshots in %s: %w", s.name, err)
		}
		parts := validName.FindStringSubmatch(o.Key)
		if parts == nil {
			continue
		}
		position, err := strconv.ParseInt(parts[2], 10, 64)
		if err != nil {
			continue
		}
		id := parts[1]
		if id == unknownTopic {
			id = ""
		}
		all = append(all, Entry{o.Key, id, events.Position(position), o.Size, o.ModTime.UTC()})
	}
	newest := map[string]time.Time{}
	for _, e := range all {
		if e.StoredAt.After(newest[e.TopicID]) {
			newest[e.TopicID] = e.StoredAt
		}
	}
	slices.SortFunc(all, func(a, b Entry) int {
		return cmp.Or(newest[b.TopicID].Compare(newest[a.TopicID]), cmp.Compare(a.TopicID, b.TopicID), cmp.Compare(b.Position, a.Position))
	})
	return all, nil
}

// Open opens a snapshot. The caller closes it. A store that stops to send it gives an
// [outgoing.SilentError].
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	ctx, waiting := s.watch(ctx)
	r, err := ask(waiting, func() (*blob.Reader, error) { return s.bucket.NewReader(ctx, name, nil) })
	if err != nil {
		waiting.stop()
		return nil, fmt.Errorf("open %s in %s: %w", name, s.name, err)
	}
	return waiting.reader(r), nil
}

// Put stores a snapshot that is read from r, and checks it on the way: one that is
// corrupt, or that ctx or r ends before it is whole, is not stored. progress, if not nil,
// is told how many bytes of its file came. An equal position of a topic is replaced: it
// holds the same.
func (s *Store) Put(ctx context.Context, r io.Reader, progress func(done int64)) (e Entry, m Manifest, err error) {
	ctx, waiting := s.watch(ctx)
	defer waiting.stop() // without which a writer that is given up would be kept
	stored := &tee{Reader: r}
	reader, err := Read(stored)
	if err != nil {
		return e, m, err
	}
	m = reader.Manifest
	w, err := s.bucket.NewWriter(ctx, m.name(), &blob.WriterOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return e, m, fmt.Errorf("store %s in %s: %w", m.name(), s.name, err)
	}
	stored.to(waiting.writer(w))
	err = reader.Copy(&countingWriter{ctx: ctx, w: io.Discard, told: progress})
	if err == nil {
		_, err = io.Copy(io.Discard, stored) // what the decoder needed not
	}
	if err != nil {
		waiting.stop() // else Close would commit what there is
	}
	if _, closeErr := ask(waiting, func() (none struct{}, _ error) { return none, w.Close() }); err == nil {
		err = closeErr
	}
	if err != nil {
		return e, m, fmt.Errorf("store %s in %s: %w", m.name(), s.name, err)
	}
	return Entry{Name: m.name(), TopicID: m.TopicID, Position: m.Position, Bytes: stored.bytes, StoredAt: time.Now().UTC()}, m, nil
}

// tee hands on what is read to a writer. What is read before there is one is kept for
// it.
type tee struct {
	io.Reader
	w     io.Writer
	early []byte
	bytes int64
	err   error
}

func (t *tee) to(w io.Writer) {
	t.w = w
	if _, err := w.Write(t.early); err != nil {
		t.err = err
	}
	t.early = nil
}

func (t *tee) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.Reader.Read(p)
	t.bytes += int64(n)
	if t.w == nil {
		t.early = append(t.early, p[:n]...)
		return n, err
	}
	if _, werr := t.w.Write(p[:n]); werr != nil {
		t.err = werr
		return 0, werr
	}
	return n, err
}

// Manifest reads what a snapshot says of itself.
func (s *Store) Manifest(ctx context.Context, name string) (Manifest, error) {
	r, err := s.Open(ctx, name)
	if err != nil {
		return Manifest{}, err
	}
	defer func() { _ = r.Close() }() // it was only read
	reader, err := Read(r)
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", name, err)
	}
	return reader.Manifest, nil
}

// Prune removes all but the newest snapshots of each topic, as many as keep says, at
// least one. It tells which.
func (s *Store) Prune(ctx context.Context, keep int) (removed []Entry, err error) {
	if keep < 1 {
		return nil, errors.New("at least one snapshot must be kept")
	}
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	kept := map[string]int{}
	for _, e := range all {
		if kept[e.TopicID]++; kept[e.TopicID] <= keep {
			continue
		}
		if err := s.remove(ctx, e.Name); err != nil {
			return removed, fmt.Errorf("remove %s from %s: %w", e.Name, s.name, err)
		}
		removed = append(removed, e)
	}
	return removed, nil
}
