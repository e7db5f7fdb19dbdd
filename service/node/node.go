// Package node assembles a process: the data folder and its lock, the log, the projection
// and its worker, and the listeners. It starts them in the order of their dependencies, and
// stops them in reverse. The programs import it to run, and commands and queryapi to get what
// their handlers need from a [Node].
package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/projections/storagefault"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/connection"
	"github.com/clusterlite/clusterlite/service/httpapi/drain"
	"github.com/clusterlite/clusterlite/service/httpapi/ratelimit"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/node/diagnostics"
	"github.com/clusterlite/clusterlite/service/node/keyring"
	"github.com/clusterlite/clusterlite/service/node/replication"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/sqlmodels"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/logging"
	"github.com/clusterlite/clusterlite/service/process/settings"
	"github.com/clusterlite/clusterlite/service/process/telemetry"
)

// Config says what node to run.
type Config struct {
	// Role is command, query or all.
	Role string
	settings.Node
	settings.Kafka
	settings.HTTP
	// Stderr takes the log lines.
	Stderr io.Writer
	// Dial makes the connections to the brokers; nil means TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Attach connects to a broker in this process; nil means that it runs elsewhere.
	Attach func(ctx context.Context, topic string, s inprocess.Source) (*inprocess.Appender, error)
	// Stores are the kinds of buckets in which the node looks for snapshots.
	Stores snapshots.Providers
	// Before, if not nil, is started after the data folder is locked and before everything
	// else, and stopped after everything else. It may change the config.
	Before func(context.Context, *Config, *slog.Logger) (stop func() error, err error)
	// Mount registers the API's routes.
	Mount func(*echo.Echo, *Node)
	// Feed returns what webhooks have in common with the change feed. A program without one sends
	// none.
	Feed func(*Node) webhooks.Feed
	// Ready, if not nil, is called when the node is ready for the first time.
	Ready func(*Node)
}

// A Node is a running process.
type Node struct {
	Config
	Logger      *slog.Logger
	Collections *collections.Set
	// Access decides who may do what with the collections. Nil allows everything, because clients
	// need no authentication.
	Access *access.Policies
	Log    *eventlog.Log
	Model  *projections.Projection
	// Models are the read models in SQL; nil if the node serves none.
	Models   *modelset.Set
	Registry *prometheus.Registry
	// Tracing makes spans, if the environment asks for traces.
	Tracing trace.TracerProvider
	// API and Admin are the addresses that the listeners are bound to.
	API, Admin net.Addr

	// apiTLS and adminTLS encrypt the listeners; nil means plaintext.
	apiTLS, adminTLS func() *tls.Config
	// operators decide who may use the admin listener. access is how this node reaches the admin
	// listeners of other nodes.
	operators admin.Operators
	access    admin.Access
	// callers identifies who sent a request to the API; nil if clients need no token.
	callers caller.Identify

	// keys are the API keys of clients.
	keys *keyring.Ring
	// hooks are the webhooks; nil if the node sends none.
	hooks *webhooks.Set
	// announced is when the last announcement began that the brokers confirmed.
	announced atomic.Pointer[time.Time]
	// unannounced is how long the node may be ready only if the broker knows it; see [Node.ready].
	unannounced time.Time

	// logged keeps the last log lines.
	logged *diagnostics.Log

	group *process.Group
	// snapshotting holds a token while a snapshot is being created, because each one needs
	// space on the disk.
	snapshotting chan struct{}
	// drain takes the API out of service.
	drain *drain.Drain
	cause error // why the node stops, if the stop was not requested
	began time.Time
	// setAside says why the node set its projection file aside when it started; nil if it
	// did not.
	setAside *storagefault.Error
}

// Source names the node in the records that it appends.
func (n *Node) Source() string { return "/clusterlite/" + n.Role + "/" + n.NodeID }

// Run runs a node until ctx ends, and stops it cleanly. It returns an error if the node can't
// start, if its projection rejects its file, or if a part fails.
func Run(ctx context.Context, config Config) error {
	n := &Node{Config: config, group: process.NewGroup(), snapshotting: make(chan struct{}, 1), drain: drain.New(), began: time.Now(), Registry: admin.NewRegistry()}
	if err := telemetry.CheckVariables(os.Getenv); err != nil {
		return err // before anything is created
	}
	if err := n.lock(); err != nil {
		return err
	}
	n.logged = diagnostics.NewLog(config.Stderr)
	n.Logger = logging.New(n.logged, config.LogFormat, config.LogLevel).With("node", n.NodeID)
	err := n.start(ctx)
	if err == nil {
		err = n.group.Wait(ctx)
	} else if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // the process was asked to stop while it started
	}
	n.cause = err
	if ctx.Err() != nil {
		n.Logger.Info("stopping")
		n.drainBeforeStop()
	}
	err = errors.Join(err, n.group.Stop())
	n.Logger.Info("stopped", "clean", err == nil)
	return err
}

func (n *Node) start(ctx context.Context) (err error) {
	if n.Collections, err = collections.Load(n.Config.Collections); err != nil {
		return err
	}
	if err := n.secure(); err != nil {
		return err
	}
	if err := n.startTracing(ctx); err != nil {
		return err
	}
	if err := n.startBefore(ctx); err != nil {
		return err
	}
	if err := n.openModel(ctx); err != nil {
		return err
	}
	return n.listen()
}

// startTracing comes before everything that creates spans, so that the last spans are sent
// after all of it has stopped.
func (n *Node) startTracing(ctx context.Context) error {
	provider, stop, err := telemetry.StartTracing(ctx, telemetry.Process{Role: n.Role, Node: n.NodeID, Version: process.Version()}, n.Logger)
	if err != nil {
		return err
	}
	n.Tracing = provider
	n.group.Defer("the traces", func() error { stop(); return nil })
	return nil
}

// lock locks the data folder. It comes first, because with slots the folder decides the
// node's name. The lock is released last, after everything that uses the folder has
// stopped.
func (n *Node) lock() (err error) {
	var lock *datafolder.Lock
	if n.DataSlots {
		lock, n.DataDir, n.NodeID, err = datafolder.LockSlot(n.DataDir, n.NodeID)
	} else {
		lock, err = datafolder.LockDir(n.DataDir, n.NodeID)
	}
	if err != nil {
		return err
	}
	n.group.Defer("the lock", lock.Release)
	return nil
}

// startBefore starts what the process needs before its log.
func (n *Node) startBefore(ctx context.Context) error {
	if n.Before == nil {
		return nil
	}
	stop, err := n.Before(ctx, &n.Config, n.Logger)
	if err != nil {
		return err
	}
	n.group.Defer("the broker", stop)
	return nil
}

// maxLinger bounds how long appends wait for each other on brokers in other processes, and
// maxLingerEmbedded on the broker in this one, whose groups are faster.
const (
	maxLinger         = 40 * time.Millisecond
	maxLingerEmbedded = 10 * time.Millisecond
)

// Pauses make nodes fetch and apply fewer, larger batches under load. The writes of a command node
// wait for their verdicts, so the acknowledgement of an append ends its pause.
var (
	queryPause   = eventlog.Pause{Min: 2 * time.Millisecond, Max: 30 * time.Millisecond, OfRecord: 500 * time.Microsecond}
	commandPause = eventlog.Pause{Max: 50 * time.Millisecond, OfRecord: 2 * time.Millisecond, UntilAppended: true}
)

func (n *Node) openModel(ctx context.Context) (err error) {
	security, err := n.Security(n.unusable)
	if err != nil {
		return err
	}
	linger, pause := maxLingerEmbedded, eventlog.Pause{}
	if n.Dial == nil {
		linger, pause = maxLinger, commandPause
	}
	if n.Role == "query" {
		pause = queryPause
	}
	n.Log, err = eventlog.Open(eventlog.Config{
		Brokers: n.Brokers, Topic: n.Kafka.Topic.Topic, ClientID: "clusterlite." + n.NodeID, Source: n.Source(), Logger: n.Logger,
		Dial: n.Dial, Attach: n.Attach, Security: security, Linger: linger, FetchPause: pause, BarrierWaited: barrierWaits(n.Registry),
	})
	if err != nil {
		return err
	}
	n.group.Defer("the log", n.Log.Close)
	if n.Dial == nil {
		n.group.Go("the access to the brokers", n.checkAccess)
	}
	if err := n.bootstrap(ctx); err != nil {
		return err
	}
	if err := n.openProjection(ctx); err != nil {
		return err
	}
	n.group.Defer("the projection's file", n.Model.Close)
	n.group.Defer("the announcement", n.farewell)
	n.group.Go("the projection", n.Model.Run)
	if n.keys.Uses != nil {
		n.group.Go("the uses of API keys", n.keys.Uses.Keep)
	}
	if err := n.openModels(ctx); err != nil {
		return err
	}
	return n.openWebhooks()
}

// openModels opens the read models in SQL, if the node serves any. A mistake in a definition stops
// the start.
func (n *Node) openModels(ctx context.Context) (err error) {
	if n.Role == "command" {
		return nil
	}
	if !n.keepsJournal() {
		if n.ModelsDir == "" {
			n.warnOfSearch()
			return nil
		}
		return errors.New("--models-dir (CLUSTERLITE_MODELS_DIR) needs the journal of events, but --journal (CLUSTERLITE_JOURNAL) is off")
	}
	if n.Models, err = sqlmodels.Open(ctx, n.ModelsDir, filepath.Join(n.DataDir, "models"), n.Collections, n.Model, n.Logger); err != nil || n.Models == nil {
		return err
	}
	n.group.Defer("the files of the models", n.Models.Close)
	n.group.Go("the models", n.Models.Run)
	n.Registry.MustRegister(sqlmodels.Metrics(n.Models))
	return nil
}

// warnOfSearch says that the collections that declare properties to search can't be searched.
func (n *Node) warnOfSearch() {
	for _, c := range n.Collections.All() {
		if len(c.Searched()) > 0 {
			n.Logger.Warn("the full-text search that the collection declares with x-search needs the journal of events, but --journal (CLUSTERLITE_JOURNAL) is off", "collection", c.Name())
		}
	}
}

// applied returns a function that records applied batches in metrics and traces.
func (n *Node) applied() func(projections.Batch) {
	metrics := newBatchMetrics(n.Registry)
	if _, off := n.Tracing.(noop.TracerProvider); off {
		return metrics.applied
	}
	spans := telemetry.Applied(n.Tracing, n.Log.Topic())
	return func(b projections.Batch) {
		metrics.applied(b)
		spans(b)
	}
}

// listen opens both listeners before it serves on either, so that an address in use is
// reported before anything answers.
func (n *Node) listen() error {
	adminListener, err := web.Listen(n.AdminAddr)
	if err != nil {
		return fmt.Errorf("listen on the admin address: %w", err)
	}
	apiListener, err := web.Listen(n.HTTPAddr)
	if err != nil {
		return errors.Join(fmt.Errorf("listen on the API address: %w", err), adminListener.Close())
	}
	n.API, n.Admin = apiListener.Addr(), adminListener.Addr()
	n.operators.Local = admin.Loopback(n.Admin)
	if !n.operators.Local && !n.operators.Identified() {
		n.Logger.Warn("the admin listener can be reached from other hosts, and no credential of operators is set: it serves only /livez, /readyz and /metrics; set CLUSTERLITE_ADMIN_TOKEN_FILE", "admin", n.Admin.String())
	}
	n.registerMetrics()
	n.watchSnapshots()
	n.group.Go("the watch of the topic's replicas", replication.New(n.Log, n.Registry, n.Logger).Run)
	rates, err := ratelimit.New(n.rateLimits(), n.Registry)
	if err != nil {
		return errors.Join(err, adminListener.Close(), apiListener.Close())
	}
	e := web.New(web.Options{Rates: rates, Logger: n.Logger, Registry: n.Registry, Tracing: n.Tracing, MaxBody: int64(n.MaxBody), Uncompressed: !n.Compress, Callers: n.callers,
		CORS:   web.CORS{Origins: n.CORSOrigins, AllowHeaders: n.CORSAllowHeaders, ExposeHeaders: n.CORSExposeHeaders},
		Limits: web.Limits{Requests: n.MaxRequests, Memory: int64(n.RequestMemory)}})
	n.Mount(e, n)
	n.unannounced = time.Now().Add(firstAnnouncement)
	adminHandler := admin.Handler(admin.Source{
		Node:      n.NodeID,
		Operators: n.operators,
		Ready:     n.ready,
		Degraded:  n.Model.Degraded,
		Status:    n.status,
		Registry:  n.Registry,
		Resources: n.resources(),
	})
	n.group.Go("the admin listener", func(ctx context.Context) error {
		return web.Serve(ctx, adminListener, n.adminTLS, admin.Until(ctx, adminHandler), n.Logger)
	})
	n.group.Go("the API", func(ctx context.Context) error {
		return n.drain.Serve(ctx, func(serving context.Context) error {
			return web.Serve(serving, connection.Limit(apiListener, n.MaxConnections), n.apiTLS, n.drain.Handler(e), n.Logger)
		})
	})
	n.Logger.Info("listening", "api", n.API.String(), "admin", n.Admin.String(), "role", n.Role, "position", n.Model.Position(), "version", process.Version())
	n.group.Go("the announcements", n.announce)
	n.group.Go("the watch for readiness", func(stopping context.Context) error {
		n.awaitReady(stopping)
		<-stopping.Done()
		return nil
	})
	return nil
}
