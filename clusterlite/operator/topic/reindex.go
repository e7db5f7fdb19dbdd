package topic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/clusterlite/operator/topic/reindex"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/refusal"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Reindex gives existing entities the claims of a field that has become unique. It removes the
// claims of a field that is no longer unique.
type Reindex struct {
	Collection        string `arg:"" help:"The name of the collection."`
	Collections       string `name:"collections" env:"CLUSTERLITE_COLLECTIONS" placeholder:"DIR" help:"The folder of collections, with their current definitions. Default: none, which means users only."`
	settings.Kafka    `embed:""`
	DataDir           string        `name:"data-dir" placeholder:"DIR" help:"Folder for the read model that this command builds from the log, so that the next run can continue from it. Must not be the data folder of a node. Default: a temporary folder."`
	DryRun            bool          `name:"dry-run" help:"Only report missing claims and clashes."`
	SkipClashing      bool          `name:"skip-clashing" help:"Give claims to all other entities even if some values clash. A clashing value stays with the entity that holds it, or else with the oldest."`
	Wait              time.Duration `name:"wait" default:"30s" placeholder:"DURATION" help:"Maximum time to wait for the verdict on appended events (default ${default})."`
	subcommand.Output `embed:""`
}

// Help is the part of --help after the flags.
func (Reindex) Help() string {
	return `Unique values are held by claims, which are part of events. After x-unique is added to a field,
entities written before hold no claim on it. For each entity that needs one, this command appends
an event with the same document and the current claims. If values clash, it changes nothing,
reports each clash with the entities that have the value, and exits with status 1. It can be stopped
and run again at any time, while clients write; a second run changes nothing. All steps
are in docs/how-to/make-a-field-unique.md.

Example:
  clusterlite reindex products --collections ./collections --dry-run
  clusterlite reindex products --collections ./collections`
}

// CheckSettings is called by the parser.
func (r *Reindex) CheckSettings() error {
	if r.Wait <= 0 || r.Wait > 10*time.Minute {
		return fmt.Errorf("--wait is %s; allowed: a duration above zero, up to 10m", r.Wait)
	}
	return nil
}

// Run runs the subcommand.
func (r Reindex) Run(ctx context.Context, out subcommand.Streams) (err error) {
	set, err := collections.Load(r.Collections)
	if err != nil {
		return err
	}
	c, ok := set.Get(r.Collection)
	if !ok {
		return &settings.UsageError{Err: fmt.Errorf("no file declares the collection %q; declared: %s", r.Collection, names(set))}
	}
	dir, leave, err := r.folder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	logger := slog.New(slog.NewTextHandler(out.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	log, err := subcommand.OpenLog(r.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	model, stop, err := follow(ctx, log, dir, logger, out.Stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return r.reindex(ctx, out, c, log, model, dir)
}

func (r Reindex) reindex(ctx context.Context, out subcommand.Streams, c *collections.Collection, log *eventlog.Log, model *projections.Projection, dir string) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("generate the source of the events: %w", err)
	}
	shown := &tasks{w: out.Stderr, unit: c.Name()}
	report, err := (&reindex.Reindex{
		Log: log, Model: model, Collection: c, Dir: dir, Source: "/clusterlite/reindex/" + settings.NodeName(host),
		Wait: r.Wait, DryRun: r.DryRun, SkipClashing: r.SkipClashing, Progress: shown.report,
	}).Run(ctx)
	shown.done()
	if err != nil {
		return err
	}
	if err := r.Print(out, reindexed{report, r.DryRun}); err != nil {
		return err
	}
	if len(report.Clashes) > 0 {
		return process.ErrReported
	}
	return nil
}

// folder returns the working folder, and a function to clean up at the end.
func (r Reindex) folder() (dir string, leave func() error, err error) {
	if r.DataDir == "" {
		dir, err = os.MkdirTemp("", "clusterlite-reindex-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	lock, err := datafolder.LockDir(r.DataDir, "reindex")
	if err != nil {
		return "", nil, err
	}
	return r.DataDir, lock.Release, nil
}

// follow opens a read model that follows the log, and returns once it has caught up. The
// read model has no columns, because no lists are needed.
func follow(ctx context.Context, log *eventlog.Log, dir string, logger *slog.Logger, stderr io.Writer) (_ *projections.Projection, stop func() error, err error) {
	// This does not call Prepare, which would create a topic for a misspelt name.
	if _, err := log.Describe(ctx); err != nil {
		return nil, nil, fmt.Errorf("find the log, topic %s: %w", log.Topic(), err)
	}
	end, err := log.End(ctx)
	if err != nil {
		return nil, nil, err
	}
	model, err := projections.Open(ctx, projections.Options{Dir: dir, Log: log, Collections: &collections.Set{}, Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	running, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- model.Run(running) }()
	stop = func() error { cancel(); return errors.Join(<-ran, model.Close()) }
	if err := catchUp(ctx, model, end, stderr); err != nil {
		var refused *refusal.Error
		if failed := stop(); !errors.As(err, &refused) { // otherwise Run returns the same error
			err = errors.Join(err, failed)
		}
		return nil, nil, err
	}
	return model, stop, nil
}

func catchUp(ctx context.Context, model *projections.Projection, end events.Position, stderr io.Writer) error {
	task := progress.Start(stderr, "reading the log", int64(end), "events")
	defer task.Done()
	for {
		soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		err := model.WaitFor(soon, end)
		cancel()
		task.Set(int64(model.Position()))
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return errors.Join(err, ctx.Err())
		}
	}
}

// tasks shows the progress of a run, one task after another.
type tasks struct {
	w    io.Writer
	unit string
	what string
	task *progress.Task
}

func (t *tasks) report(what string, done, total int64) {
	if t.what != what || done == 1 {
		t.done()
		t.what, t.task = what, progress.Start(t.w, what, total, t.unit)
	}
	t.task.Total(max(done, total))
	t.task.Set(done)
}

func (t *tasks) done() {
	if t.task != nil {
		t.task.Done()
	}
}

func names(set *collections.Set) string {
	var all []string
	for _, c := range set.All() {
		all = append(all, c.Name())
	}
	return strings.Join(all, ", ")
}

// reindexed is the result of a run.
type reindexed struct {
	reindex.Report
	DryRun bool `json:"dry_run"`
}

// Text writes the result as text.
func (r reindexed) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at position %d: %d entities, unique: %s.\n", r.Collection, r.Position, r.Entities, fields(r.Fields))
	for _, c := range r.Clashes {
		fmt.Fprintf(&b, "clash: %s %s is shared by %s\n", c.Field, c.Value, strings.Join(c.IDs, ", "))
	}
	switch clashing := len(r.Clashes) > 0; {
	case r.DryRun:
		fmt.Fprintf(&b, "%d entities lack claims or hold stale ones; %d values clash. Nothing was changed.\n", r.Lacking, len(r.Clashes))
	case clashing && r.Changed == 0:
		fmt.Fprintf(&b, "%d values clash. Nothing was changed. Change or delete all but one of the entities that share a value, then run this again. Use --skip-clashing to give all other entities their claims first.\n", len(r.Clashes))
	case clashing:
		fmt.Fprintf(&b, "%d entities got their claims. %d values still clash: only the first entity listed for each holds it. Change or delete the others, then run this again.\n", r.Changed, len(r.Clashes))
	default:
		fmt.Fprintf(&b, "%d entities got their claims. Every living entity now holds exactly the claims that it should.\n", r.Changed)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func fields(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
