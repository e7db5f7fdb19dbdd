package readmodel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/clusterlite/operator/backup"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/process/logging"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// retention holds the flags that say which snapshots to keep.
type retention struct {
	Keep    *int       `name:"keep" placeholder:"N" help:"Number of the newest snapshots to keep for each topic."`
	KeepFor backup.Age `name:"keep-for" placeholder:"AGE" help:"Also keep all snapshots that are younger, e.g. 30d."`
}

func (r retention) given() bool { return r.Keep != nil || r.KeepFor != 0 }

// limits returns what to keep. verified names a snapshot that has just been verified.
func (r retention) limits(verified string) snapshots.Retention {
	keep := 1
	if r.Keep != nil {
		keep = *r.Keep
	}
	return snapshots.Retention{Keep: keep, KeepFor: time.Duration(r.KeepFor), Verified: verified}
}

func (r retention) validate() error {
	if r.Keep != nil && *r.Keep < 1 {
		return fmt.Errorf("--keep is %d; allowed: at least 1", *r.Keep)
	}
	return nil
}

// scheduled holds the flags of a snapshot create that runs until it is stopped.
type scheduled struct {
	Schedule    backup.Schedule `name:"schedule" placeholder:"WHEN" help:"Run until stopped, and create snapshots on a schedule: a cron expression, or an interval such as 6h."`
	Deadline    time.Duration   `name:"deadline" default:"1h" placeholder:"DURATION" help:"With --schedule: the maximum time for one snapshot (default ${default})."`
	MetricsAddr string          `name:"metrics-addr" placeholder:"HOST:PORT" help:"With --schedule: address that serves /livez, /readyz and /metrics. Default: none."`
	LogFormat   string          `name:"log-format" env:"CLUSTERLITE_LOG_FORMAT" enum:"text,json" default:"text" help:"With --schedule: format of log lines: text or json (default ${default})."`
}

func (s scheduled) on() bool { return s.Schedule.Schedule != nil }

func (s scheduled) validate() error {
	if s.Deadline <= 0 {
		return fmt.Errorf("--deadline is %s; allowed: a duration above zero", s.Deadline)
	}
	if s.MetricsAddr == "" {
		return nil
	}
	if !s.on() {
		return errors.New("--metrics-addr needs --schedule")
	}
	return settings.CheckAddr("metrics-addr", s.MetricsAddr)
}

// keepCreating creates snapshots until ctx ends.
func (c SnapshotCreate) keepCreating(ctx context.Context, out subcommand.Streams) (err error) {
	logger := logging.New(out.Stderr, c.LogFormat, "info")
	out.Stderr = io.Discard // the progress of a task would disturb the log
	registry := admin.NewRegistry()
	j := backup.New(backup.Options{
		Schedule: c.Schedule, Deadline: c.Deadline, Logger: logger,
		Newest: func(ctx context.Context) (newest time.Time, err error) {
			err = c.create(ctx, func(store *snapshots.Store) (err error) {
				newest, err = store.Newest(ctx)
				return err
			})
			return newest, err
		},
		Take: func(ctx context.Context) (taken backup.Taken, err error) {
			result, err := c.one(ctx, out)
			if result.Name == "" {
				return taken, err
			}
			return backup.Taken{Name: result.Name, Position: result.Position, Bytes: result.Bytes, StoredAt: result.StoredAt, Removed: len(result.Removed)}, err
		},
	}, registry)
	if c.MetricsAddr == "" {
		return j.Run(ctx)
	}
	l, err := web.Listen(c.MetricsAddr)
	if err != nil {
		return fmt.Errorf("listen on --metrics-addr: %w", err)
	}
	logger.Info("serving metrics", "address", l.Addr().String())
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() {
		served <- web.Serve(serving, l, nil, handler(j, registry, l.Addr()), logger)
	}()
	err = j.Run(ctx)
	stop()
	return errors.Join(err, <-served)
}

// handler serves the health and the metrics of a job.
func handler(j *backup.Job, registry *prometheus.Registry, bound net.Addr) http.Handler {
	return admin.Handler(admin.Source{
		Node: "snapshots", Operators: admin.Operators{Local: admin.Loopback(bound)}, Registry: registry,
		Ready: func() error {
			if failed := j.Status().Error; failed != "" {
				return errors.New("the last attempt failed: " + failed)
			}
			return nil
		},
		Status: func(context.Context) (any, error) { return j.Status(), nil },
	})
}
