// Package eventlog reads and appends to the log, which is one Kafka topic with one partition. It
// appends events through Watermill, reads records from any position, and asks for the end of the
// log.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/conns"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/demand"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/fetch"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/tail"
)

// Errors of a log.
var (
	// ErrUnreachable: the broker that leads the log does not answer. Nothing was done.
	ErrUnreachable = errors.New("the broker is unreachable")
	// ErrOutcomeUnknown: the broker may or may not have appended the events.
	ErrOutcomeUnknown = errors.New("the broker did not confirm the append, which may or may not have happened")
	// ErrTooLarge: the event exceeds the maximum size of a record. Nothing was done.
	ErrTooLarge = errors.New("the event exceeds the maximum record size of the topic")
	// ErrNoTopic: the broker has no topic of this name.
	ErrNoTopic = errors.New("the topic does not exist")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("the log is closed")
)

// Config says where the log is, and how to access it.
type Config struct {
	// Brokers are the bootstrap addresses, host:port. There must be at least one.
	Brokers []string
	// Topic is the name of the topic.
	Topic string
	// ClientID identifies this process in the log and the quotas of the broker.
	ClientID string
	// Source names this process in its barriers, for example /clusterlite/query/query-1.
	Source string
	// Dial opens connections to brokers. Nil means TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Attach returns an appender for a topic of a broker that runs in the same process. Appends
	// and reads then go to the broker directly. What that can't do still goes through Brokers, which
	// must name the same broker. Nil means that the broker runs elsewhere.
	Attach func(ctx context.Context, topic string, s inprocess.Source) (*inprocess.Appender, error)
	// Security says how connections are encrypted and authenticated.
	Security Security
	// Logger gets messages for operators. Nil discards them.
	Logger *slog.Logger
	// Linger is the maximum time that appends wait for others while several goroutines append,
	// so that they share a request. Zero means that they never wait.
	Linger time.Duration
	// FetchPause says how long a subscription that is not behind waits after a fetch that brought
	// records. Under load each fetch then brings more of them. The first record after a quiet time
	// is not delayed, and [Log.End] and [Log.Barrier] end the pause. The zero value means no pause.
	FetchPause Pause
	// AskTimeout is the maximum time for one question to the broker, and half of the maximum time
	// for a barrier. Zero means one second.
	AskTimeout time.Duration
	// BarrierWaited, if not nil, is called after each call of [Log.Barrier] that waited, regardless
	// of its result, with the time that it waited. It is called from many goroutines at once and
	// must not block.
	BarrierWaited func(time.Duration)
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.AskTimeout == 0 {
		c.AskTimeout = time.Second
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.BarrierWaited == nil {
		c.BarrierWaited = func(time.Duration) {}
	}
	return c
}

// A Log is a handle on the topic. It connects when it is first used, and reconnects whenever a
// connection is lost, so it can be opened while no broker runs. Safe for concurrent use.
type Log struct {
	config   Config
	wm       watermill.LoggerAdapter
	end      *endAsker
	barriers *barriers
	// announcer reports the position of this process to the broker.
	announcer announcer

	ctx  context.Context // ends when the log is closed
	stop context.CancelFunc
	// sending ends some time after ctx, so that pending appends can be confirmed.
	sending context.Context
	abandon context.CancelFunc
	work    sync.WaitGroup

	publisher *publisher
	tail      *tail.Tail
	hurry     chan struct{} // gets a token when a caller needs the newest records
	demand    *demand.Demand

	mu   sync.Mutex        // ensures that no work starts after the log is closed
	seen map[string]string // the last known settings of the topic: see changed
}

// closingPatience is how long Close waits for the broker to confirm pending appends.
const closingPatience = 5 * time.Second

// do starts work for which Close waits. It returns false, and starts nothing, once the log is
// closed.
func (l *Log) do(work func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	l.work.Go(work)
	return true
}

// Open returns a handle on the log. It does not wait for a broker: see [Log.Prepare].
func Open(config Config) (*Log, error) {
	config = config.withDefaults()
	if len(config.Brokers) == 0 || config.Topic == "" {
		return nil, errors.New("a log needs brokers and a topic")
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Log{
		config: config,
		wm:     newWatermillLogger(config.Logger),
		ctx:    ctx,
		stop:   stop,
		hurry:  make(chan struct{}, 1),
		demand: demand.New(),
	}
	l.sending, l.abandon = context.WithCancel(context.Background())
	l.end, l.barriers, l.publisher, l.tail = newEndAsker(l), newBarriers(l), newPublisher(l), tail.New()
	l.attach()
	l.work.Go(l.publisher.run)
	l.work.Go(l.end.run)
	l.work.Go(l.barriers.run)
	return l, nil
}

// Topic returns the name of the topic.
func (l *Log) Topic() string { return l.config.Topic }

// End asks the broker that leads the log for its end. Every event whose append was acknowledged
// before the call lies before it. One question serves all callers that arrived before it was
// asked. End returns [ErrUnreachable] at once while the broker is known to be unreachable, and
// ctx.Err() if ctx ends first.
func (l *Log) End(ctx context.Context) (events.Position, error) {
	if end, known := l.tail.Acknowledged(); known && l.ctx.Err() == nil {
		return events.Position(end), nil
	}
	l.endPause()
	end, err := l.end.ask(ctx)
	l.demand.UpTo(int64(end))
	return end, err
}

// Barrier appends a record that only moves the position, and returns the position after it. Its
// success proves that the broker that accepted it still leads the log. So every event whose append
// was acknowledged before the call lies before the barrier, even if [Log.End] would ask a leader
// that was deposed and does not know it. One barrier serves all callers that arrived before it
// was sent. Barrier returns [ErrUnreachable] if the append was not confirmed within twice
// Config.AskTimeout, and at once while the broker is known to be unreachable. It returns
// ctx.Err() if ctx ends first. A barrier that was not confirmed may still be appended, and does
// no harm.
func (l *Log) Barrier(ctx context.Context) (events.Position, error) {
	if !l.Reachable() {
		return 0, ErrUnreachable
	}
	l.endPause()
	defer func(asked time.Time) { l.config.BarrierWaited(time.Since(asked)) }(time.Now())
	end, err := l.barriers.Wait(ctx, l.ctx.Done())
	l.demand.UpTo(int64(end))
	return end, err
}

// Barriers returns the number of barriers since the log was opened that were appended, and that
// were not confirmed.
func (l *Log) Barriers() (appended, failed int64) {
	return l.barriers.appended.Load(), l.barriers.failed.Load()
}

// Reachable reports whether the broker answered the last question. At first it is true.
func (l *Log) Reachable() bool { return !l.end.down.Load() }

// Close stops all work of the log and waits for it. It waits some seconds for pending appends,
// and only moments for everything else, whether or not the broker answers. Subscriptions end with
// [ErrClosed].
func (l *Log) Close() error {
	l.mu.Lock()
	l.stop()
	l.mu.Unlock()
	defer l.abandon()
	defer time.AfterFunc(closingPatience, l.abandon).Stop()
	l.work.Wait()
	l.announcer.close()
	return nil
}

// Sarama's global logger is silent by default and stays so, because everything relevant is
// returned as an error.

// clientConfig is the configuration that all clients of sarama share. Its version is the newest
// protocol that sarama supports with every broker since Kafka 2.8. Topic ids need 2.8, and Kafka
// 4 no longer supports what older clients use.
func (l *Log) clientConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.ClientID = l.config.ClientID
	c.Version = sarama.V2_8_0_0
	c.Net.DialTimeout = l.config.AskTimeout
	c.Metadata.Retry.Max = 1
	c.Metadata.Retry.Backoff = 100 * time.Millisecond
	// A leader that has moved is found when it rejects a request. The refresh finds a new one if
	// the leader has just disappeared.
	c.Metadata.RefreshFrequency = 10 * time.Second
	// Ask about this topic only, and do not create it by asking.
	c.Metadata.Full = false
	c.Metadata.AllowAutoTopicCreation = false
	l.config.Security.configure(c)
	return c
}

// askConfig is the configuration for questions, which must fail fast.
func (l *Log) askConfig() *sarama.Config {
	c := l.clientConfig()
	c.Net.ReadTimeout = l.config.AskTimeout
	c.Net.WriteTimeout = l.config.AskTimeout
	return c
}

// connections are the connections of one client to the brokers.
type connections = conns.Connections

// newConnections returns connections that are cut when ctx ends. Code that closes the client must
// also cut them, so that they do not stay open until then.
func (c Config) newConnections(ctx context.Context) *connections {
	return conns.Config{Dial: c.Dial, Encrypt: c.Security.encrypt, Timeout: c.AskTimeout, Denied: denied}.Open(ctx)
}

// newFetcher returns a fetcher. Its connections are cut when ctx ends.
func (l *Log) newFetcher(ctx context.Context) (*fetch.Fetcher, error) {
	connections := l.config.newConnections(ctx)
	client, err := kgo.NewClient(append(l.clientOptions(connections),
		kgo.RequestTimeoutOverhead(fetch.Patience),
		kgo.RequestRetries(1),
	)...)
	if err != nil {
		connections.Cut()
		return nil, fmt.Errorf("create a client to read the log: %w", err)
	}
	return fetch.New(client, connections, l.config.Topic, partition), nil
}

// clientOptions are the options that all clients of franz-go share.
func (l *Log) clientOptions(c *connections) []kgo.Opt {
	return append(l.config.Security.clientOptions(),
		kgo.SeedBrokers(l.config.Brokers...),
		kgo.ClientID(l.config.ClientID),
		kgo.MaxVersions(kversion.V2_8_0()), // the version of the other clients: see clientConfig
		kgo.Dialer(c.DialContext),
		kgo.DisableClientMetrics(),
	)
}

// dialWith makes a client of sarama open its connections so that they can be cut.
func (l *Log) dialWith(ctx context.Context, c *sarama.Config) *connections {
	n := l.config.newConnections(ctx)
	c.Net.Proxy.Enable, c.Net.Proxy.Dialer = true, n // the place where sarama accepts a dialer
	return n
}

// denied returns an [AccessError] if that is the cause of err, and otherwise nil.
func denied(err error) error {
	if access := accessError(err); access != nil {
		return access
	}
	return nil
}

// newWatermillLogger passes on the messages of Watermill at a lower level. What matters to a
// library, such as a reconnect, is a detail for an operator. Errors that are retried become
// warnings.
func newWatermillLogger(l *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(l.With("component", "watermill"), map[slog.Level]slog.Level{
		slog.LevelInfo:  slog.LevelDebug,
		slog.LevelError: slog.LevelWarn,
	})
}
