package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/clusterlite/clusterlite/clusterlite/progress"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/logging"
)

// stopped rebuilds a node that doesn't run, in its folder.
func (c *rebuild) stopped(ctx context.Context, out streams) (err error) {
	if info, err := os.Stat(c.DataDir); err != nil || !info.IsDir() {
		return errors.Join(fmt.Errorf("%s is no data folder", c.DataDir), err)
	}
	set, err := collections.Load(c.Collections)
	if err != nil {
		return err
	}
	lock, err := projections.LockDir(c.DataDir, "clusterlite-rebuild")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	stop, err := c.ownBroker(out)
	if err != nil {
		return err
	}
	defer stop()
	log, err := openLog(c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if _, err := describeLog(ctx, log); err != nil {
		return err
	}
	task := progress.Start(out.stderr, "rebuild "+c.DataDir, 0, "events")
	defer task.Done()
	done, err := projections.RebuildDir(ctx, projections.Options{Dir: c.DataDir, Log: log, Collections: set}, c.options(log, logging.New(out.stderr, "text", "warn")), tell(task))
	task.Done()
	if err != nil {
		return err
	}
	r := rebuiltFolder{Folder: c.DataDir, Differs: done.Differs, Kept: done.Kept, state: stateOf(done.Built)}
	if done.Incomparable != nil {
		r.Incomparable = done.Incomparable.Error()
	}
	return c.print(out, r)
}

// ownBroker starts the broker whose log is in the folder, if that is so: the log of a
// clusterlite serve can be read in no other way while that is stopped.
func (c *rebuild) ownBroker(out streams) (stop func(), err error) {
	dir := filepath.Join(c.DataDir, brokerDir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	b, err := embedded.Start(dir, "127.0.0.1:0", logging.New(out.stderr, "text", "warn"))
	if err != nil {
		return nil, err
	}
	c.Brokers = []string{b.Addr()}
	return b.Close, nil
}

// rebuiltFolder is the result.
type rebuiltFolder struct {
	Folder string `json:"folder"`
	// Incomparable says why the old file could not be compared.
	Incomparable string   `json:"incomparable,omitempty"`
	Differs      []string `json:"differs,omitempty"`
	Kept         string   `json:"kept,omitempty"`
	state
}

// Text writes it for people.
func (r rebuiltFolder) Text(w io.Writer) error {
	text := fmt.Sprintf("Rebuilt the read model in %s up to position %d", r.Folder, r.Position)
	if r.Incomparable != "" {
		text += "; the old file could not be compared with it: " + r.Incomparable
	}
	if _, err := fmt.Fprintln(w, text+differed(r.Differs)+kept(r.Kept)); err != nil {
		return err
	}
	return r.state.Text(w)
}
