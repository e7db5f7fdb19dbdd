package snapshots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	"gocloud.dev/blob/fileblob"    // file://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
	"gocloud.dev/gcerrors"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/atomicfile"
	"github.com/clusterlite/clusterlite/service/httpclient"
)

// A Store keeps snapshots: a folder, or a bucket of S3, Google Cloud Storage or Azure.
// Safe for concurrent use.
type Store struct {
	bucket *blob.Bucket
	name   string
	folder string // where files are written, empty for a bucket
	made   string // the folder that was made for the store, or empty
	stop   func() // ends the context that the bucket was opened with
}

// ErrNoStore is returned for a folder that does not exist.
var ErrNoStore = errors.New("the folder does not exist")

// OpenStore opens a folder by its path, or a bucket by its URL in the form of
// gocloud.dev/blob: file:///backups, s3://bucket?region=eu-west-1&prefix=clusterlite/,
// gs://bucket, azblob://container. It creates nothing: for a missing folder it returns an
// error that wraps [ErrNoStore]. Credentials come from the same places as those of the
// provider's own tools.
func OpenStore(ctx context.Context, place string) (*Store, error) {
	s, err := openStore(ctx, place)
	if err != nil && !errors.Is(err, ErrNoStore) {
		return nil, fmt.Errorf("open the snapshot store %s: %w", place, err)
	}
	return s, err
}

// CreateStore opens a store like [OpenStore], and creates a missing folder if its parent
// exists. It does not create parents: for a mistyped path, a chain of new folders would
// look like a healthy store.
func CreateStore(ctx context.Context, place string) (*Store, error) {
	folder, err := folderOf(place)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot store %s: %w", place, err)
	}
	if folder == "" {
		return OpenStore(ctx, place)
	}
	switch err := os.Mkdir(folder, 0o777); { //nolint:gosec // as the operator's umask has it
	case errors.Is(err, fs.ErrExist):
		return OpenStore(ctx, place)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("can't create a snapshot store at %s: the folder %s does not exist", place, filepath.Dir(folder))
	case err != nil:
		return nil, fmt.Errorf("create the snapshot store %s: %w", place, err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(folder)); err != nil {
		return nil, fmt.Errorf("create the snapshot store %s: %w", place, err)
	}
	s, err := OpenStore(ctx, place)
	if err != nil {
		return nil, err
	}
	s.made = folder
	return s, nil
}

func openStore(ctx context.Context, place string) (*Store, error) {
	folder, err := folderOf(place)
	if err != nil {
		return nil, err
	}
	address := place
	if folder != "" {
		info, err := os.Stat(folder)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no snapshot store at %s: %w", place, ErrNoStore)
		}
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, errors.New("it is a file, not a folder")
		}
		address = folderURL(place, folder)
	}
	// Some clients get their credentials here, from a server of the provider. They keep the
	// context for later.
	ctx, w, stop := httpclient.NewWatch(ctx, place)
	bucket, err := ask(waiting{w, stop}, func() (*blob.Bucket, error) { return blob.OpenBucket(ctx, address) })
	if err != nil {
		stop()
		return nil, err
	}
	if strings.Contains(address, "prefix=") {
		folder = "" // where it writes is the driver's to say
	}
	return &Store{bucket: bucket, name: place, folder: folder, stop: stop}, nil
}

// folderURL is how the driver of folders gets one.
func folderURL(place, folder string) string {
	u, err := url.Parse(place)
	if err != nil || u.Scheme != fileblob.Scheme {
		// No side files, since nothing is in them.
		u = &url.URL{Scheme: fileblob.Scheme, Path: folder, RawQuery: "metadata=skip"}
	}
	options := u.Query()
	options.Del("create_dir") // to look into a store must not make it
	u.RawQuery = options.Encode()
	return u.String()
}

// folderOf returns the path of a store that is a folder, or an empty string for a bucket.
func folderOf(place string) (string, error) {
	if !strings.Contains(place, "://") {
		if place == "" {
			return "", errors.New("its name is empty")
		}
		return filepath.Abs(place)
	}
	u, err := url.Parse(place)
	if err != nil || u.Scheme != fileblob.Scheme {
		return "", err
	}
	return filepath.FromSlash(u.Path), nil
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

// List returns the snapshots, the newest of each topic first; the order of topics is that
// of their newest snapshots. It skips other names.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	var all []Entry
	ctx, waiting := s.watch(ctx)
	defer waiting.stop()
	for i := s.bucket.List(&blob.ListOptions{Prefix: "clusterlite-"}); ; {
		o, err := ask(waiting, func() (*blob.ListObject, error) {
			o, err := i.Next(ctx)
			if err == io.EOF { //nolint:errorlint // one that wraps it is a connection that was closed
				return nil, nil
			}
			return o, err
		})
		if err != nil {
			return nil, fmt.Errorf("list the snapshots in %s: %w", s.name, err)
		}
		if o == nil {
			break
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

// Open opens a snapshot. The caller closes it. If the store stops sending, reading returns
// an [httpclient.SilentError].
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	ctx, waiting := s.watch(ctx)
	r, err := ask(waiting, func() (*blob.Reader, error) { return s.bucket.NewReader(ctx, name, nil) })
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
	defer waiting.stop() // without which a writer that is given up would be kept
	stored := &tee{Reader: r}
	reader, err := Read(stored)
	if err != nil {
		return e, m, err
	}
	m = reader.Manifest
	if err := s.replaceable(ctx, waiting, m); err != nil {
		return e, m, err
	}
	w, err := ask(waiting, func() (io.WriteCloser, error) { return s.create(ctx, m.name()) })
	if err != nil {
		return e, m, fmt.Errorf("store %s in %s: %w", m.name(), s.name, err)
	}
	stored.to(waiting.writer(w))
	err = reader.Copy(&countingWriter{ctx: ctx, w: io.Discard, progress: progress})
	if err == nil {
		_, err = io.Copy(io.Discard, stored) // what the decoder did not need
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if silence := waiting.Silence(); silence != nil {
			err = silence // which has ended ctx, and others may have seen that first
		}
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
	if unusable(err) || gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s already holds a snapshot of the same topic and position, and the two can't be compared: %w", s.name, err)
	}
	if maps.Equal(old.Digests, m.Digests) {
		return nil
	}
	sound, err := s.sound(ctx, m.name())
	if err != nil {
		return fmt.Errorf("%s already holds %s with different rows, and it can't be verified: %w", s.name, m.name(), err)
	}
	if !sound {
		return nil
	}
	return fmt.Errorf("%s already holds %s, of the same topic and position but with different rows, created by %s: the log changed in between. Nothing was stored. Use another store to keep both", s.name, m.name(), old.Node)
}

// unusable reports whether an error says that a snapshot was read and can't be used.
func unusable(err error) bool {
	var corrupt *CorruptError
	var format *FormatError
	return errors.As(err, &corrupt) || errors.As(err, &format)
}

// sound reads a snapshot to its end and checks it.
func (s *Store) sound(ctx context.Context, name string) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "clusterlite-check-*")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	body, err := s.Open(ctx, name)
	if err != nil {
		return false, err
	}
	defer func() { _ = body.Close() }() // it was only read
	reader, err := Read(body)
	if err == nil {
		_, err = reader.Save(ctx, filepath.Join(dir, "snapshot.db"), nil)
	}
	if broken := (*CorruptError)(nil); errors.As(err, &broken) {
		return false, nil
	}
	return err == nil, err
}

// create starts an object, which exists once it is closed, unless ctx has ended.
func (s *Store) create(ctx context.Context, name string) (io.WriteCloser, error) {
	if s.folder == "" {
		return s.bucket.NewWriter(ctx, name, &blob.WriterOptions{ContentType: "application/octet-stream"})
	}
	f, err := os.CreateTemp(s.folder, name+".partial-*")
	if err != nil {
		return nil, err
	}
	return &stored{f, ctx, filepath.Join(s.folder, name)}, nil
}

// stored is a file that is being written into a folder. The driver of folders would not
// sync it.
type stored struct {
	*os.File
	ctx  context.Context
	path string
}

// Close gives the file its name, unless the context has ended.
func (s *stored) Close() error {
	err := errors.Join(s.Chmod(0o644), s.File.Close(), s.ctx.Err())
	if err == nil {
		err = atomicfile.Replace(s.Name(), s.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(s.Name()))
	}
	return nil
}

// tee passes what is read on to a writer. What is read before the writer is set is kept for
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

// Prune removes all snapshots except the newest of each topic. keep is the number to keep
// for each, at least one. It returns the removed snapshots.
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
