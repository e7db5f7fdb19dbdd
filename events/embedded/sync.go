package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events/atomicfile"
)

// A syncer syncs what kfake has written before any answer leaves the broker. So no client, not
// even a reader, learns of a record that a power loss could remove.
//
// kfake can do this itself (SyncWrites), but then its loop waits for two syncs of each batch,
// one after the other, and ignores their errors. The second sync is that of the index, which
// can be rebuilt from the segment. The syncer syncs the index once a second, and always before
// the mark says that a record is acknowledged.
//
// Safe for concurrent use. Close it after the broker has stopped.
type syncer struct {
	dir    string
	logger *slog.Logger
	sync   func(*os.File) error

	mu      sync.Mutex
	failed  error                 // the error of the first failed sync; nothing is durable after it
	synced  map[string]syncedFile // by path
	folders map[string]*folder    // by path
}

// A syncedFile is a file as it was when it was last synced.
type syncedFile struct {
	info fs.FileInfo
	open *os.File // kept for the segment that is being written, else nil
}

// A folder holds files that have to be synced.
type folder struct {
	modified time.Time
	fresh    bool   // it changed so recently that another change could have the same time
	segment  string // the newest segment file; empty if there is none
	folders  []string
}

// settled is the time after which the change of a folder certainly differs in its time from
// the next change.
const settled = time.Second

func newSyncer(dir string, logger *slog.Logger) *syncer {
	return &syncer{dir: dir, logger: logger, sync: (*os.File).Sync, synced: map[string]syncedFile{}, folders: map[string]*folder{}}
}

// flush returns once everything is on disk that kfake had written when flush was called:
// records, producers and groups. After an error nothing that was written before is certain,
// however often it is synced again, so each later call returns the same error.
func (s *syncer) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guarded(func() error {
		if err := s.segments(); err != nil {
			return err
		}
		return errors.Join(s.file(filepath.Join(s.dir, "groups.log"), false), s.file(filepath.Join(s.dir, "pids.log"), false))
	})
}

// flushRecords is like flush, but only for records.
func (s *syncer) flushRecords() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guarded(s.segments)
}

// segments syncs the newest segment of each partition.
func (s *syncer) segments() error {
	partitions, err := s.look(filepath.Join(s.dir, "partitions"))
	if err != nil || partitions == nil {
		return err
	}
	for _, path := range partitions.folders {
		partition, err := s.look(path)
		if err != nil {
			return err
		}
		if partition == nil || partition.segment == "" {
			continue
		}
		if err := s.file(partition.segment, true); err != nil {
			return err
		}
	}
	return nil
}

// flushIndexes does for the indexes what flush does for records.
func (s *syncer) flushIndexes() error { return s.flushAll("*.idx") }

// flushFiles syncs everything that kfake writes without a sync. kfake must be closed.
func (s *syncer) flushFiles() error {
	return errors.Join(s.flush(), s.flushAll("*.dat"), s.flushIndexes())
}

func (s *syncer) flushAll(pattern string) error {
	paths, err := filepath.Glob(filepath.Join(s.dir, "partitions", "*", pattern))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guarded(func() error {
		for _, path := range paths {
			if err := s.file(path, false); err != nil {
				return err
			}
		}
		return nil
	})
}

// close closes the files that the syncer keeps open.
func (s *syncer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path := range s.synced {
		s.forget(path)
	}
}

// guarded calls do, which syncs files, unless a sync has failed before.
func (s *syncer) guarded(do func() error) error {
	if s.failed != nil {
		return s.failed
	}
	if err := do(); err != nil {
		s.failed = fmt.Errorf("sync the embedded broker's log in %s: %w", s.dir, err)
		s.logger.Error("the embedded broker could not sync its log and no longer acknowledges writes. Check its disk, then restart the process", "folder", s.dir, "error", err)
	}
	return s.failed
}

// look returns the current contents of a folder, or nil if there is no such folder. It makes
// the names of new files in the folder durable.
func (s *syncer) look(path string) (*folder, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known := s.folders[path]
	if known != nil && !known.fresh && known.modified.Equal(info.ModTime()) {
		return known, nil
	}
	age := time.Since(info.ModTime())
	now := &folder{modified: info.ModTime(), fresh: age < settled}
	if err := now.list(path); err != nil {
		return nil, err
	}
	if known == nil || known.segment != now.segment || len(known.folders) != len(now.folders) {
		if err := atomicfile.SyncDir(path); err != nil {
			return nil, err
		}
	}
	if known != nil && known.segment != now.segment {
		s.forget(known.segment)
	}
	s.folders[path] = now
	return now, nil
}

func (f *folder) list(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	newest := int64(math.MinInt64)
	for _, e := range entries {
		if e.IsDir() {
			f.folders = append(f.folders, filepath.Join(path, e.Name()))
			continue
		}
		name, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if base, err := strconv.ParseInt(name, 10, 64); ok && err == nil && base > newest {
			newest, f.segment = base, filepath.Join(path, e.Name())
		}
	}
	return nil
}

// file syncs a file if it has changed since it was last synced. A file that does not exist was
// deleted or never written. If keep is set, the file stays open for the next sync.
func (s *syncer) file(path string, keep bool) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	was, known := s.synced[path]
	same := known && os.SameFile(was.info, info)
	if same && was.info.Size() == info.Size() && was.info.ModTime().Equal(info.ModTime()) {
		return nil
	}
	f := was.open
	if f == nil || !same {
		s.forget(path)
		if f, err = os.Open(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	err = s.sync(f)
	if err != nil || !keep {
		err = errors.Join(err, f.Close())
		f = nil
	}
	if err != nil {
		delete(s.synced, path)
		return err
	}
	// This is the state before the sync, so that anything written meanwhile is synced later.
	s.synced[path] = syncedFile{info, f}
	return nil
}

// forget closes a file that is kept open. The next call of file syncs it again.
func (s *syncer) forget(path string) {
	if open := s.synced[path].open; open != nil {
		_ = open.Close() // it was only synced
	}
	delete(s.synced, path)
}
