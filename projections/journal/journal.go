package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
)

// SegmentBytes is the default size from which a segment is full.
const SegmentBytes = 32 << 20

// Errors of a journal.
var (
	// ErrNotHeld means that the journal begins after the position that was asked for: see
	// [Journal.Start].
	ErrNotHeld = errors.New("the journal of this node does not hold the events up to that position")
	// ErrNotFound means that the journal has no such event.
	ErrNotFound = errors.New("no such event")
	// ErrClosed means that the journal is closed.
	ErrClosed = errors.New("the journal is closed")
)

// A DamagedError is returned by reads and writes once a part of the journal was found to be damaged.
// The read model is not affected. A rebuild from the log replaces both.
type DamagedError struct {
	Path string
	Err  error
}

// Error names the file.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the journal file %s is damaged: %v", filepath.Base(e.Path), e.Err)
}

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// Options say where a journal is and where its read model is.
type Options struct {
	// Dir is the folder of the journal, which is created if it is missing.
	Dir string
	// At is the position of the read model. What the journal has beyond it is cut off.
	At events.Position
	// LogTime is the log time there.
	LogTime time.Time
	// SegmentBytes is the size from which a segment is full. Zero means [SegmentBytes].
	SegmentBytes int64
}

// A Journal is open for reads and for one writer. The writer calls Append, Publish, Cut and Sync.
// All other methods are safe for concurrent use.
type Journal struct {
	options Options
	key     hashKey
	pending []byte  // records of the open segment that are not written yet
	d       decoder // of the writer
	reset   error   // why the journal had to start afresh, or nil
	logTime time.Time

	mu        sync.RWMutex // guards what follows; the writer alone changes it
	segments  []*segment   // at least one; the last is open for writing
	heads     heads
	published events.Position
	damage    error
	cuts      int        // number of calls of cut
	unsynced  []*segment // full segments that Sync has to sync
	closed    bool
}

// Open opens a journal and brings it in line with its read model. A journal that lacks records which
// the read model has, or is damaged where Open looks, is removed and starts afresh: see
// [Journal.Reset]. Open looks at the indexes of full segments and at all of the last one.
func Open(options Options) (*Journal, error) {
	if options.SegmentBytes <= 0 {
		options.SegmentBytes = SegmentBytes
	}
	if options.LogTime.IsZero() {
		options.LogTime = time.UnixMilli(0)
	}
	if err := os.MkdirAll(options.Dir, 0o755); err != nil { //nolint:gosec // as the data folder
		return nil, fmt.Errorf("create the journal: %w", err)
	}
	j := &Journal{options: options, logTime: options.LogTime.UTC()}
	why, err := j.load()
	if err == nil && why == nil {
		err = j.cut(options.At)
		var damaged *DamagedError
		if errors.As(err, &damaged) {
			why, err = err, nil
		}
	}
	if err == nil && why != nil {
		err = j.startAfresh(why)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the journal: %w", err), j.Close())
	}
	j.published = options.At
	return j, nil
}

// load opens the segments. It returns why they can't be used.
func (j *Journal) load() (why, err error) {
	paths, err := filepath.Glob(filepath.Join(j.options.Dir, "*"+suffix))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		if j.options.At == 0 {
			return nil, j.create(0, j.options.LogTime)
		}
		return &behindError{want: j.options.At}, nil
	}
	sort.Strings(paths)
	for _, path := range paths {
		s, err := openSegment(path, func(p indexEntry) { j.heads.move(p.hash, p.previous, p.at) })
		if errors.Is(err, errBad) || errors.Is(err, errTorn) {
			if n := len(j.segments); n > 0 && j.segments[n-1].end >= j.options.At {
				// A crash while the next segment was created. It holds nothing that is needed.
				if err := os.Remove(path); err != nil {
					return nil, err
				}
				break
			}
			return &DamagedError{path, err}, nil
		}
		if err != nil {
			return nil, err
		}
		if n := len(j.segments); n > 0 && (j.segments[n-1].end != s.start || j.segments[0].key != s.key) {
			end := j.segments[n-1].end
			j.segments = append(j.segments, s) // to be closed
			return &DamagedError{path, fmt.Errorf("it begins at position %d, and the segment before it ends at %d", s.start, end)}, nil
		}
		j.segments = append(j.segments, s)
	}
	j.key = j.segments[0].key
	if end := j.end(); end < j.options.At {
		return &behindError{end, j.options.At}, nil
	}
	if j.segments[0].start > j.options.At {
		return &behindError{0, j.options.At}, nil
	}
	return nil, nil
}

// A behindError says that the journal lacks records that its read model has.
type behindError struct{ end, want events.Position }

func (e *behindError) Error() string {
	if e.end == 0 {
		return fmt.Sprintf("there is no journal up to position %d", e.want)
	}
	return fmt.Sprintf("the journal ends at position %d, and the read model is at %d", e.end, e.want)
}

// startAfresh removes everything and begins at the read model's position.
func (j *Journal) startAfresh(why error) error {
	j.reset = why
	errs := []error{j.closeSegments()}
	paths, err := filepath.Glob(filepath.Join(j.options.Dir, "*"+suffix))
	errs = append(errs, err)
	for _, path := range paths {
		errs = append(errs, os.Remove(path))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	j.heads = heads{}
	return j.create(j.options.At, j.options.LogTime)
}

// create begins the first segment.
func (j *Journal) create(at events.Position, logTime time.Time) error {
	key, err := uuid.NewRandom() // 122 random bits
	if err != nil {
		return err
	}
	j.key = hashKey(key)
	s, err := createSegment(j.options.Dir, at, logTime, j.key)
	if err != nil {
		return err
	}
	j.segments = []*segment{s}
	return nil
}

// segmentAt returns the segment that has the record before a position.
func (j *Journal) segmentAt(at events.Position) *segment {
	i := sort.Search(len(j.segments), func(i int) bool { return j.segments[i].start >= at })
	return j.segments[max(i-1, 0)]
}

func (j *Journal) last() *segment { return j.segments[len(j.segments)-1] }

// end is the position up to which the journal was written, whether published or not.
func (j *Journal) end() events.Position { return j.last().end }

// Reset returns why Open had to start afresh, or nil if it did not. A journal of a new file at
// position 0 did not.
func (j *Journal) Reset() error { return j.reset }

// Start returns the position at which the journal begins. It is 0 if the journal is complete.
func (j *Journal) Start() events.Position {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.segments[0].start
}

// End returns the position up to which the journal can be read.
func (j *Journal) End() events.Position {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.published
}

// Damage returns a [DamagedError] once a part of the journal was found to be damaged, and nil before.
func (j *Journal) Damage() error {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.damage
}

// Bytes returns the size of the files.
func (j *Journal) Bytes() (n int64) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	for _, s := range j.segments {
		n += s.size
		if s.full {
			n += int64(s.events)*entryBytes + trailerBytes
		}
	}
	return n
}

// damaged notes damage, and returns it. It passes any other error on.
func (j *Journal) damaged(path string, err error) error {
	if !errors.Is(err, errBad) && !errors.Is(err, errTorn) {
		return err
	}
	found := &DamagedError{path, err}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.damage == nil {
		j.damage = found
	}
	return found
}

// Close closes the files. Nothing may use the journal at the same time.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	return j.closeSegments()
}

func (j *Journal) closeSegments() error {
	var errs []error
	for _, s := range j.segments {
		errs = append(errs, s.file.Close())
	}
	j.segments = nil
	return errors.Join(errs...)
}

// Remove removes the journal in a folder, if there is one. It must be closed.
func Remove(dir string) error { return os.RemoveAll(dir) }
