package snapshots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/atomicfile"
)

// A Store keeps snapshots in a folder or a bucket. Safe for concurrent use.
type Store struct {
	bucket Bucket
	name   string
	made   string // the folder that was created for the store, or empty
	stop   func() // ends the context that the bucket was opened with
}

// ErrNoStore is returned for a folder that does not exist.
var ErrNoStore = errors.New("the folder does not exist")

// Open opens a folder by its path or its URL (file:///backups), or a bucket by its URL:
// s3://bucket?region=eu-west-1&prefix=clusterlite/, gs://bucket, azblob://container. It
// creates nothing: for a missing folder it returns an error that wraps [ErrNoStore].
// Credentials come from the same places as those of the provider's own tools.
func (p Providers) Open(ctx context.Context, place string) (*Store, error) {
	s, err := p.openStore(ctx, place)
	if err != nil && !errors.Is(err, ErrNoStore) {
		return nil, fmt.Errorf("open the snapshot store %s: %w", withoutPassword(place), err)
	}
	return s, err
}

// Create opens a store like Open, and creates a missing folder if its parent exists. It does
// not create parents: for a mistyped path, a chain of new folders would look like a healthy
// store.
func (p Providers) Create(ctx context.Context, place string) (*Store, error) {
	path, _, err := folderOf(place)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot store %s: %w", withoutPassword(place), err)
	}
	if path == "" {
		return p.Open(ctx, place)
	}
	switch err := os.Mkdir(path, 0o777); { //nolint:gosec // as the operator's umask has it
	case errors.Is(err, fs.ErrExist):
		return p.Open(ctx, place)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("can't create a snapshot store at %s: the folder %s does not exist", withoutPassword(place), filepath.Dir(path))
	case err != nil:
		return nil, fmt.Errorf("create the snapshot store %s: %w", withoutPassword(place), err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("create the snapshot store %s: %w", withoutPassword(place), err)
	}
	s, err := p.Open(ctx, place)
	if err != nil {
		return nil, err
	}
	s.made = path
	return s, nil
}

func (p Providers) openStore(ctx context.Context, place string) (*Store, error) {
	path, prefix, err := folderOf(place)
	if err != nil {
		return nil, err
	}
	if path != "" {
		bucket, err := openFolder(place, path, prefix)
		if err != nil {
			return nil, err
		}
		return &Store{bucket: bucket, name: withoutPassword(place), stop: func() {}}, nil
	}
	bucket, stop, err := p.openWithin(ctx, place)
	if err != nil {
		return nil, err
	}
	return &Store{bucket: bucket, name: withoutPassword(place), stop: stop}, nil
}

// Close closes the store. It removes a folder that was created for the store if no snapshot
// was stored.
func (s *Store) Close() error {
	if s.made != "" {
		_ = os.Remove(s.made) // fails if anything is in it
	}
	defer s.stop()
	return s.bucket.Close()
}

// An Entry is a snapshot in a store, as described by its name.
type Entry struct {
	// Name is the object's name.
	Name     string          `json:"name"`
	TopicID  string          `json:"topic_id"`
	Position events.Position `json:"position"`
	// Bytes is its size as it is stored.
	Bytes int64 `json:"bytes"`
	// StoredAt is the time at which the snapshot was stored.
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

// List returns the snapshots, the newest of each topic first; the order of topics is that
// of their newest snapshots. It skips other names.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	var all []Entry
	ctx, waiting := s.watch(ctx)
	defer waiting.stop()
	for page := ""; ; {
		objects, next, err := s.page(ctx, waiting, page)
		if err != nil {
			return nil, fmt.Errorf("list the snapshots in %s: %w", s.name, err)
		}
		for _, o := range objects {
			if e, ok := entryOf(o); ok {
				all = append(all, e)
			}
		}
		if page = next; page == "" {
			break
		}
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

// Newest returns when the newest snapshot of any topic was stored, or the zero time if there is
// none.
func (s *Store) Newest(ctx context.Context) (newest time.Time, err error) {
	all, err := s.List(ctx)
	if len(all) > 0 {
		newest = slices.MaxFunc(all, func(a, b Entry) int { return a.StoredAt.Compare(b.StoredAt) }).StoredAt
	}
	return newest, err
}

// page returns one page of the listing.
func (s *Store) page(ctx context.Context, w waiting, page string) (objects []Object, next string, err error) {
	objects, err = ask(w, func() (objects []Object, err error) {
		objects, next, err = s.bucket.List(ctx, "clusterlite-", page)
		return objects, err
	})
	return objects, next, err
}

// entryOf returns the entry of an object, unless the object is not named like a snapshot.
func entryOf(o Object) (e Entry, ok bool) {
	parts := validName.FindStringSubmatch(o.Name)
	if parts == nil {
		return e, false
	}
	position, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return e, false
	}
	id := parts[1]
	if id == unknownTopic {
		id = ""
	}
	return Entry{o.Name, id, events.Position(position), o.Size, o.ModTime.UTC()}, true
}

// Open opens a snapshot. The caller closes it. If the store stops sending, reading returns
// an [httpclient.SilentError].
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	ctx, waiting := s.watch(ctx)
	r, err := ask(waiting, func() (io.ReadCloser, error) { return s.bucket.Open(ctx, name) })
	if err != nil {
		waiting.stop()
		return nil, fmt.Errorf("open %s in %s: %w", name, s.name, err)
	}
	return waiting.reader(r), nil
}

// Put stores a snapshot that it reads and checks from r. A snapshot that is corrupt or
// incomplete, because ctx or r ended, is not stored. Once Put has returned, the snapshot
// survives a power loss. progress, if not nil, is called with the number of bytes of the
// file that were read. An existing snapshot of the same topic and position is replaced if
// it has the same rows, is corrupt, or has a format that this version does not support. If
// it has different rows, Put returns an error: only one of the two can match the log, and
// it may be the existing one. If it can't be read, Put returns an error too, because it may
// have different rows.
func (s *Store) Put(ctx context.Context, r io.Reader, progress func(done int64)) (e Entry, m Manifest, err error) {
	ctx, waiting := s.watch(ctx)
	defer waiting.stop() // otherwise an abandoned writer would be kept
	stored := &tee{Reader: r}
	reader, err := Read(stored)
	if err != nil {
		return e, m, err
	}
	m = reader.Manifest
	if err := s.replaceable(ctx, waiting, m); err != nil {
		return e, m, err
	}
	w, err := ask(waiting, func() (io.WriteCloser, error) { return s.bucket.Create(ctx, m.name()) })
	if err != nil {
		return e, m, fmt.Errorf("store %s in %s: %w", m.name(), s.name, err)
	}
	stored.to(waiting.writer(w))
	err = reader.Copy(&countingWriter{ctx: ctx, w: io.Discard, progress: progress})
	if err == nil {
		_, err = io.Copy(io.Discard, stored) // the rest, which the decoder did not need
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if silence := waiting.Silence(); silence != nil {
			err = silence // it has ended ctx, which other code may have noticed first
		}
		waiting.stop() // otherwise Close would commit an incomplete object
	}
	if _, closeErr := ask(waiting, func() (none struct{}, _ error) { return none, w.Close() }); err == nil {
		err = closeErr
	}
	if err != nil {
		return e, m, fmt.Errorf("store %s in %s: %w", m.name(), s.name, err)
	}
	return Entry{Name: m.name(), TopicID: m.TopicID, Position: m.Position, Bytes: stored.bytes, StoredAt: time.Now().UTC()}, m, nil
}

// replaceable returns an error if the store holds a valid snapshot of the same position
// with different rows, or one that can't be read and might have different rows.
func (s *Store) replaceable(ctx context.Context, w waiting, m Manifest) error {
	there, err := ask(w, func() (bool, error) { return s.bucket.Exists(ctx, m.name()) })
	if err != nil {
		return fmt.Errorf("look for %s in %s: %w", m.name(), s.name, err)
	}
	if !there {
		return nil
	}
	old, err := s.Manifest(ctx, m.name())
	if unusable(err) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s already holds a snapshot of the same topic and position, and the two can't be compared: %w", s.name, err)
	}
	if maps.Equal(old.Digests, m.Digests) {
		return nil
	}
	_, _, err = s.Verify(ctx, m.name(), nil)
	if unusable(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s already holds %s with different rows, and it can't be verified: %w", s.name, m.name(), err)
	}
	return fmt.Errorf("%s already holds %s, of the same topic and position but with different rows, created by %s: the log changed in between. Nothing was stored. Use another store to keep both", s.name, m.name(), old.Node)
}

// unusable reports whether an error says that a snapshot was read and can't be used.
func unusable(err error) bool {
	var corrupt *CorruptError
	var format *FormatError
	return errors.As(err, &corrupt) || errors.As(err, &format)
}

// tee passes what is read on to a writer. It keeps what is read before the writer is set, and
// passes that on first.
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

// Manifest reads the manifest of a snapshot.
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
