package readmodel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/service/process/logging"
)

// stopped rebuilds a stopped node, in its folder.
func (c *Rebuild) stopped(ctx context.Context, out subcommand.Streams) (err error) {
	set, err := collections.Load(c.Collections)
	if err != nil {
		return err
	}
	lock, err := datafolder.LockExisting(c.DataDir, "clusterlite-rebuild")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	// The folder of a command or query node contains no log.
	if _, err := os.Stat(subcommand.BrokerDir(c.DataDir)); err == nil {
		stop, err := subcommand.StartBroker(c.DataDir, &c.Kafka, out)
		if err != nil {
			return err
		}
		defer stop()
	}
	access, err := c.Access.Admin(out)
	if err != nil {
		return err
	}
	log, err := subcommand.OpenLog(c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if _, err := subcommand.DescribeLog(ctx, log); errors.Is(err, subcommand.ErrNoTopic) {
		return fmt.Errorf("%w. Nothing was changed. If the topic was lost, save the folder's read model with `clusterlite snapshot create STORE --data-dir %s`, and recreate the log from it with `clusterlite snapshot append STORE`", err, c.DataDir)
	} else if err != nil {
		return err
	}
	task := progress.Start(out.Stderr, "rebuild "+c.DataDir, 0, "events")
	defer task.Done()
	done, err := projections.RebuildDir(ctx, projections.Options{Dir: c.DataDir, Log: log, Collections: set}, c.options(log, logging.New(out.Stderr, "text", "warn"), access), reportTo(task))
	task.Done()
	if err != nil {
		return err
	}
	r := rebuiltFolder{Folder: c.DataDir, Differs: done.Differs, Kept: done.Kept, Missing: done.Missing, state: stateOf(done.Built)}
	if done.Incomparable != nil {
		r.Incomparable = done.Incomparable.Error()
	}
	return c.Print(out, r)
}

// rebuiltFolder is the result of rebuilding a stopped node.
type rebuiltFolder struct {
	Folder string `json:"folder"`
	// Incomparable is the reason why the old file could not be compared.
	Incomparable string   `json:"incomparable,omitempty"`
	Differs      []string `json:"differs,omitempty"`
	Kept         string   `json:"kept,omitempty"`
	// Missing is the number of entities of each collection that the old file has but the
	// log lacks.
	Missing map[string]int64 `json:"missing,omitempty"`
	state
}

// Text writes the result as text.
func (r rebuiltFolder) Text(w io.Writer) error {
	text := fmt.Sprintf("Rebuilt the read model in %s up to position %d", r.Folder, r.Position)
	if r.Incomparable != "" {
		text += "; the old file could not be compared with the new one: " + r.Incomparable
	}
	for _, name := range slices.Sorted(maps.Keys(r.Missing)) {
		text += fmt.Sprintf("; %d entities of %s are not in the log", r.Missing[name], name)
	}
	if _, err := fmt.Fprintln(w, text+differed(r.Differs)+kept(r.Kept)); err != nil {
		return err
	}
	return r.state.Text(w)
}
