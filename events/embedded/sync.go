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

// A syncer makes what kfake has written durable before any answer leaves the broker. No
// client, a reader included, learns of a record that a power loss can take away.
//
// kfake can do it itself (SyncWrites), but then it waits in its loop for two syncs of each
// batch, one after the other, and ignores their errors. The second is that of the index, which
// can be made again from the segment. So here the index is synced once a second, and
// before the mark says that a record is acknowledged. Safe for concurrent use.
type syncer struct {
	dir    string
	logger *slog.Logger
	sync   func(*os.File) error

	mu      sync.Mutex
	failed  error                  // of the first sync that failed; nothing is durable after it
	synced  map[string]fs.FileInfo // by path, as each file was when it was last synced
	folders map[string]*folder     // by path
}

// A folder is one with files that are to be synced.
type folder struct {
	modified time.Time
	fresh    bool   // it was changed so recently that another change could have the same time
	segment  string // the newest segment file, if there is one
	folders  []string
}

// settled is how long after the change of a folder another one certainly has another time.
const settled = time.Second

func newSyncer(dir string, logger *slog.Logger) *syncer {
	return &syncer{dir: dir, logger: logger, sync: (*os.File).Sync, synced: map[string]fs.FileInfo{}, folders: map[string]*folder{}}
}

// flush returns once all records that kfake had written when it was called are on disk, and
// what it keeps of producers and groups. Whatever was written before an error may be lost,
// however often it is synced again, so each later call returns that error.
func (s *syncer) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guarded(func() error {
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
			if err := s.file(partition.segment); err != nil {
				return err
			}
		}
		return errors.Join(s.file(filepath.Join(s.dir, "groups.log")), s.file(filepath.Join(s.dir, "pids.log")))
	})
}

// flushIndexes does for the indexes what flush does for records.
func (s *syncer) flushIndexes() error { return s.flushAll("*.idx") }

// flushFiles syncs all that kfake writes without a sync, in a folder that it has closed.
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
			if err := s.file(path); err != nil {
				return err
			}
		}
		return nil
	})
}

// guarded runs what syncs, unless a sync has failed before.
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

// look gives a folder as it is, nil if it is not there. Names of files that are new in it are
// made durable.
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

// file syncs a file if it has changed since it was last synced. A file that is not there was
// deleted, or never written.
func (s *syncer) file(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if was := s.synced[path]; was != nil && was.Size() == info.Size() && was.ModTime().Equal(info.ModTime()) && os.SameFile(was, info) {
		return nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = s.sync(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	s.synced[path] = info // as it was before the sync, so that what came meanwhile is synced again
	return nil
}
