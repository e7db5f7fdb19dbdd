package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/clusterlite/clusterlite/clusterlite/progress"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/process/logging"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// stopped rebuilds a stopped node, in its folder.
func (c *rebuild) stopped(ctx context.Context, out streams) (err error) {
	set, err := collections.Load(c.Collections)
	if err != nil {
		return err
	}
	lock, err := projections.LockExisting(c.DataDir, "clusterlite-rebuild")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	// The folder of a command or query node contains no log.
	if _, err := os.Stat(filepath.Join(c.DataDir, brokerDir)); err == nil {
		stop, err := ownBroker(c.DataDir, &c.Kafka, out)
		if err != nil {
			return err
		}
		defer stop()
	}
	log, err := openLog(c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if _, err := describeLog(ctx, log); errors.Is(err, errNoTopic) {
		return fmt.Errorf("%w. Nothing was changed. If the topic was lost, save the folder's read model with `clusterlite snapshot create STORE --data-dir %s`, and recreate the log from it with `clusterlite snapshot append STORE`", err, c.DataDir)
	} else if err != nil {
		return err
	}
	task := progress.Start(out.stderr, "rebuild "+c.DataDir, 0, "events")
	defer task.Done()
	done, err := projections.RebuildDir(ctx, projections.Options{Dir: c.DataDir, Log: log, Collections: set}, c.options(log, logging.New(out.stderr, "text", "warn")), reportTo(task))
	task.Done()
	if err != nil {
		return err
	}
	r := rebuiltFolder{Folder: c.DataDir, Differs: done.Differs, Kept: done.Kept, Missing: done.Missing, state: stateOf(done.Built)}
	if done.Incomparable != nil {
		r.Incomparable = done.Incomparable.Error()
	}
	return c.print(out, r)
}

// ownBroker starts the broker of a stopped clusterlite serve, whose log is in its data
// folder, and points the settings to it. That log can't be read or written in any other
// way.
func ownBroker(dir string, kafka *settings.Kafka, out streams) (stop func(), err error) {
	b, err := embedded.Start(filepath.Join(dir, brokerDir), "127.0.0.1:0", logging.New(out.stderr, "text", "warn"))
	if err != nil {
		return nil, err
	}
	kafka.Brokers = []string{b.Addr()}
	return b.Close, nil
}

// rebuiltFolder is the result.
type rebuiltFolder struct {
	Folder string `json:"folder"`
	// Incomparable says why the old file could not be compared.
	Incomparable string   `json:"incomparable,omitempty"`
	Differs      []string `json:"differs,omitempty"`
	Kept         string   `json:"kept,omitempty"`
	// Missing is the number of entities of each collection that the old file has but the
	// log lacks.
	Missing map[string]int64 `json:"missing,omitempty"`
	state
}

// Text writes it as text.
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
