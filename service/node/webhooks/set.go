package webhooks

import (
	"context"
	"log/slog"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/projections/appending"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/service/node/roster"
)

// Options say what webhooks a node delivers, and with what.
type Options struct {
	// Path is the file with the declarations.
	Path string
	// Node is the name of the node, Source names it in records, and Agent in requests.
	Node, Source, Agent string
	Feed                Feed
	Model               Model
	Log                 appending.Log
	// ReadyLag is how long the node may be behind the log.
	ReadyLag time.Duration
	// Lookup finds a node in the roster.
	Lookup func(ctx context.Context, node string) (e roster.Entry, found bool, err error)
	// Announced returns when the last announcement of this node began that the brokers confirmed.
	Announced func() time.Time
	Logger    *slog.Logger
	// Timing is that of [DefaultTiming], except in tests.
	Timing Timing
}

// A Feed is what webhooks have in common with the change feed.
type Feed interface {
	Vocabulary
	// Append appends an event as the change feed shows it.
	Append(b []byte, e *journal.Entry) []byte
}

// Timing has the durations of deliveries.
type Timing struct {
	// Poll is how often a node looks at the file, at the records and at the node that delivers.
	Poll time.Duration
	// Save is the minimum time between two cursors in the log.
	Save time.Duration
	// Silence is how long a node that delivers may be silent before another one takes over. Fence
	// is how long a node delivers after its last announcement. A request that begins within Fence
	// ends, by its timeout, within Silence.
	Silence, Fence time.Duration
	// RetryMin and RetryMax are the shortest and the longest pause between attempts.
	RetryMin, RetryMax time.Duration
}

// DefaultTiming is the timing of nodes.
var DefaultTiming = Timing{
	Poll: time.Second, Save: 5 * time.Second, Silence: 6 * roster.Interval, Fence: 3 * roster.Interval, RetryMin: time.Second, RetryMax: 10 * time.Minute,
}

// A Set is the webhooks of a node. Safe for concurrent use.
type Set struct {
	options Options
	model   Model
	ledger  *ledger
	metrics metrics
	session string // of the process

	mu      sync.Mutex
	loaded  []*Webhook
	mistake string
	runners map[string]running
}

// running is a runner and how to stop it.
type running struct {
	runner *runner
	stop   func()
}

// Open reads the file. An error in it stops the start of a node.
func Open(o Options) (*Set, error) {
	session, err := uuid.NewRandom()
	if err != nil {
		return nil, err
	}
	s := &Set{
		options: o, model: o.Model, ledger: &ledger{model: o.Model, log: o.Log, source: o.Source}, session: session.String(), runners: map[string]running{},
	}
	s.metrics = newMetrics(s)
	if s.loaded, err = Load(o.Path, o.Feed, os.Getenv); err != nil {
		return nil, err
	}
	return s, nil
}

// Run delivers until ctx ends, and follows the file and the files with secrets.
func (s *Set) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		s.apply(ctx, &group)
		select {
		case <-time.After(s.options.Timing.Poll):
		case <-ctx.Done():
			return nil
		}
		s.reload()
	}
}

// reload reads the files again. What can't be used changes nothing.
func (s *Set) reload() {
	loaded, err := Load(s.options.Path, s.options.Feed, os.Getenv)
	mistake := ""
	if err != nil {
		mistake = err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if mistake != "" && mistake != s.mistake {
		s.options.Logger.Warn("the changed file with webhooks can't be used; the previous content stays in effect", "error", err)
	}
	s.mistake = mistake
	if err == nil {
		s.loaded = loaded
	}
}

// apply starts and stops runners as the file says.
func (s *Set) apply(ctx context.Context, group *sync.WaitGroup) {
	s.mu.Lock()
	wanted := map[string]*Webhook{}
	for _, w := range s.loaded {
		wanted[w.Name] = w
	}
	var stop []func()
	for name, r := range s.runners {
		if w := wanted[name]; w == nil || !same(w, r.runner.webhook) {
			stop = append(stop, r.stop)
			delete(s.runners, name)
		}
	}
	s.mu.Unlock()
	for _, f := range stop {
		f()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, w := range wanted {
		if _, runs := s.runners[name]; runs {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		r, ended := newRunner(s, w), make(chan struct{})
		group.Go(func() { defer close(ended); r.run(ctx) })
		s.runners[name] = running{r, func() { cancel(); <-ended }}
	}
}

// same reports whether two declarations are equal. Conditions depend on the rest.
func same(a, b *Webhook) bool {
	x, y := *a, *b
	x.condition, y.condition = nil, nil
	return reflect.DeepEqual(x, y)
}
