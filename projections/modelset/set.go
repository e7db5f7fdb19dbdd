package modelset

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// Options configure a set.
type Options struct {
	// Folder has the definitions: files named <model>.sql. Empty means that there are none.
	Folder string
	// Builtin are definitions of the program's own. Their names begin with an underscore, which
	// those of files can't.
	Builtin []*sqlmodel.Definition
	// Dir is the folder for the files of the models. It belongs to the set, and the caller holds the
	// lock of the data folder around it.
	Dir string
	// Collections are the names of the declared collections. The events of others never reach a model.
	Collections []string
	// Source has the events.
	Source Source
	// Log identifies the log. Files that were built from another are built again, and all files if
	// it is empty, because then it is not known that they belong to the log.
	Log string
	// Check, if not nil, checks what package sqlmodel does not know of a definition.
	Check func(*sqlmodel.Definition) error
	// Logger receives what an operator has to know. Nil discards it.
	Logger *slog.Logger
	// WatchInterval is the time between two looks at the folder. Zero means [DefaultWatchInterval].
	WatchInterval time.Duration
	// BatchTime is the time after which a transaction takes no further event. Zero means
	// [sqlmodel.BatchTime].
	BatchTime time.Duration
}

// DefaultWatchInterval is the time after which a changed definition is noticed.
const DefaultWatchInterval = 2 * time.Second

// A Set is the models of a folder. Safe for concurrent use.
type Set struct {
	options Options
	skips   *Skips

	ctx        context.Context // ends when the set is closed
	stop       context.CancelFunc
	running    sync.WaitGroup // the goroutines of builds
	background sync.WaitGroup // the removal of replaced files

	mu     sync.Mutex
	models map[string]*Model
	number int               // of the last file
	seen   map[string]string // what the files of the folder were when they were last read
}

// Open reads the definitions and opens the files of the models. It returns a
// [sqlmodel.MistakeError] for each mistake in a definition. The models do not follow the events
// before [Set.Run].
func Open(ctx context.Context, options Options) (_ *Set, err error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.WatchInterval <= 0 {
		options.WatchInterval = DefaultWatchInterval
	}
	s := &Set{options: options, models: map[string]*Model{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	var definitions []*sqlmodel.Definition
	if options.Folder != "" {
		if definitions, err = sqlmodel.LoadFolder(ctx, options.Folder, options.Collections); err != nil {
			return nil, err
		}
	}
	for _, d := range definitions {
		if err := s.check(d); err != nil {
			return nil, err
		}
	}
	definitions = append(definitions, options.Builtin...)
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the folder for the files of the models: %w", err)
	}
	if s.skips, err = openSkips(options.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.forgetOtherLog(); err != nil {
		return nil, err
	}
	if options.Folder != "" {
		s.seen, _ = s.look() // a folder that changes meanwhile is read again
	}
	found, err := s.files(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range definitions {
		m := &Model{name: d.Name, set: s}
		s.models[d.Name] = m
		if err := m.take(d, found[d.Name]); err != nil {
			return nil, err
		}
		delete(found, d.Name)
	}
	for _, files := range found { // of models that no longer exist
		for _, f := range files {
			err = errors.Join(err, f.Close(), sqlmodel.Remove(f.Path()))
		}
	}
	return s, err
}

func (s *Set) check(d *sqlmodel.Definition) error {
	if s.options.Check == nil {
		return nil
	}
	if err := s.options.Check(d); err != nil {
		return &sqlmodel.MistakeError{File: filepath.Join(s.options.Folder, d.Name+".sql"), What: err.Error(), Err: err}
	}
	return nil
}

// forgetOtherLog removes the files of the models if they were built from another log.
func (s *Set) forgetOtherLog() error {
	path := filepath.Join(s.options.Dir, "log")
	known, err := os.ReadFile(path)
	if err == nil && string(known) == s.options.Log && s.options.Log != "" {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read which log the models were built from: %w", err)
	}
	paths, err := filepath.Glob(filepath.Join(s.options.Dir, "*.db"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := sqlmodel.Remove(path); err != nil {
			return err
		}
	}
	return os.WriteFile(path, []byte(s.options.Log), 0o600)
}

type numbered struct {
	*sqlmodel.File
	number int
}

// files opens the files of all models, and removes those that can't be used.
func (s *Set) files(ctx context.Context) (map[string][]numbered, error) {
	paths, err := filepath.Glob(filepath.Join(s.options.Dir, "*.db"))
	if err != nil {
		return nil, err
	}
	found := map[string][]numbered{}
	for _, path := range paths {
		name, digits, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".db"), ".")
		number, err := strconv.Atoi(digits)
		if err != nil {
			continue // not ours
		}
		s.number = max(s.number, number)
		f, err := sqlmodel.Open(ctx, path)
		if err != nil || f.Name != name {
			s.options.Logger.Warn("the file of a model can't be used, and is built again", "file", path, "error", err)
			if f != nil {
				_ = f.Close() // the file goes anyway
			}
			if err := sqlmodel.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		found[name] = append(found[name], numbered{f, number})
	}
	return found, nil
}

// take chooses the file that serves and the one that is being built among those of a model, and
// removes the others.
func (m *Model) take(d *sqlmodel.Definition, files []numbered) error {
	slices.SortFunc(files, func(a, b numbered) int { return b.number - a.number })
	choose := func(fits func(numbered) bool) (*build, error) {
		i := slices.IndexFunc(files, fits)
		if i < 0 {
			return nil, nil
		}
		b, err := newBuild(m.set.ctx, files[i].File, files[i].number, m.set)
		if err != nil {
			return nil, err
		}
		b.caughtUp = m.caughtUp
		files = slices.Delete(files, i, i+1)
		return b, nil
	}
	var err error
	if m.serving, err = choose(func(f numbered) bool { return f.Complete() && f.Hash == d.Hash }); err != nil {
		return err
	}
	if m.serving == nil {
		if m.serving, err = choose(func(f numbered) bool { return f.Complete() }); err != nil {
			return err
		}
		if m.building, err = choose(func(f numbered) bool { return f.Hash == d.Hash }); err != nil {
			return err
		}
	}
	for _, f := range files {
		err = errors.Join(err, f.Close(), sqlmodel.Remove(f.Path()))
	}
	for _, b := range []*build{m.serving, m.building} {
		if b != nil {
			m.set.start(b)
		}
	}
	return errors.Join(err, m.adopt(d))
}

func (s *Set) path(name string, number int) string {
	return filepath.Join(s.options.Dir, name+"."+strconv.Itoa(number)+".db")
}

func (s *Set) nextNumber() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	return s.number
}

// start runs the goroutine of a build.
func (s *Set) start(b *build) {
	ctx, cancel := context.WithCancel(s.ctx)
	b.cancel = cancel
	s.running.Go(func() { b.run(ctx) })
}

// Get returns the model with a name.
func (s *Set) Get(name string) (*Model, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.models[name]
	return m, ok
}

// All returns all models, sorted by name.
func (s *Set) All() []*Model {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Model
	for _, m := range s.models {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *Model) int { return strings.Compare(a.name, b.name) })
	return all
}

// Run notices changes of the folder until ctx ends. The models follow the events with or without it.
func (s *Set) Run(ctx context.Context) error {
	if s.options.Folder == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(s.options.WatchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.refresh(ctx)
		}
	}
}

// look returns size and time of the files of the folder.
func (s *Set) look() (map[string]string, error) {
	entries, err := os.ReadDir(s.options.Folder)
	if err != nil {
		return nil, err
	}
	seen := map[string]string{}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || filepath.Ext(name) != ".sql" {
			continue
		}
		// Stat follows links, which is how Kubernetes replaces files.
		if info, err := os.Stat(filepath.Join(s.options.Folder, name)); err == nil {
			seen[name] = fmt.Sprintf("%d %s", info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
		}
	}
	return seen, nil
}

// refresh takes over the definitions that have changed. A mistake changes nothing but the status.
func (s *Set) refresh(ctx context.Context) {
	now, err := s.look()
	if err != nil {
		s.options.Logger.Warn("the folder of models can't be read", "error", err)
		return
	}
	for name, what := range now {
		if s.seen[name] != what {
			s.reread(ctx, strings.TrimSuffix(name, ".sql"), filepath.Join(s.options.Folder, name))
		}
	}
	for name := range s.seen {
		if _, still := now[name]; !still {
			s.drop(strings.TrimSuffix(name, ".sql"))
		}
	}
	s.seen = now
}

func (s *Set) reread(ctx context.Context, name, path string) {
	d, err := sqlmodel.LoadFile(ctx, path, s.options.Collections)
	if err == nil {
		err = s.check(d)
	}
	s.mu.Lock()
	m, known := s.models[name]
	if !known && err == nil {
		m = &Model{name: name, set: s}
		s.models[name] = m
	}
	s.mu.Unlock()
	if err == nil {
		err = m.adopt(d)
	}
	if err == nil {
		return
	}
	s.options.Logger.Error("a changed model can't be used; what served before goes on", "model", name, "error", err)
	if m != nil {
		m.mu.Lock()
		m.mistake = err
		m.mu.Unlock()
	}
}

// drop ends a model whose definition was removed, and removes its files.
func (s *Set) drop(name string) {
	s.mu.Lock()
	m, ok := s.models[name]
	delete(s.models, name)
	s.mu.Unlock()
	if !ok {
		return
	}
	s.options.Logger.Info("the definition of a model was removed: removing the model", "model", name)
	m.mu.Lock()
	builds := []*build{m.serving, m.building}
	m.serving, m.building = nil, nil
	m.mu.Unlock()
	for _, b := range builds {
		if b == nil {
			continue
		}
		if err := b.retire(true); err != nil {
			b.logger.Warn("removing a model failed", "error", err)
		}
	}
}

// Close ends all goroutines and closes the files. Run must have returned.
func (s *Set) Close() error {
	s.stop()
	s.running.Wait() // they begin what runs in the background
	s.background.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, m := range s.models {
		m.mu.Lock()
		builds := []*build{m.serving, m.building}
		m.mu.Unlock()
		for _, b := range builds {
			if b != nil && b.cancel != nil {
				errs = append(errs, b.retire(false))
			}
		}
	}
	return errors.Join(errs...)
}
