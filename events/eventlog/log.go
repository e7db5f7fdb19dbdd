// Package eventlog is the log: one Kafka topic of one partition, reached through
// Watermill. It appends events, reads records from any position, and asks where the
// log ends.
package eventlog

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"

	"github.com/clusterlite/clusterlite/events"
)

// Errors of a log.
var (
	// ErrUnreachable: no broker that leads the log answers. Nothing was done.
	ErrUnreachable = errors.New("the broker is unreachable")
	// ErrOutcomeUnknown: the broker may or may not have appended the events.
	ErrOutcomeUnknown = errors.New("the broker did not confirm the append, which may or may not have happened")
	// ErrTooLarge: the event is larger than the topic takes. Nothing was done.
	ErrTooLarge = errors.New("the event exceeds the maximum record size of the topic")
	// ErrNoTopic: the broker has no topic of this name.
	ErrNoTopic = errors.New("the topic does not exist")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("the log is closed")
)

// Config says which log, and how to speak to it.
type Config struct {
	// Brokers is the bootstrap list, host:port each. At least one.
	Brokers []string
	// Topic is the topic's name.
	Topic string
	// ClientID is how the broker's own log and quotas name this process.
	ClientID string
	// Source names this process in the records that the log appends of its own:
	// barriers. For example /clusterlite/query/query-1.
	Source string
	// Dial makes the connections to brokers; nil means TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Security says how connections are encrypted and authenticated.
	Security Security
	// Logger takes what an operator has to know. Nil discards it.
	Logger *slog.Logger
	// Linger is the maximum time that appends wait for others while several goroutines append,
	// so that they share a request. Zero means that they never wait, which is best for a broker
	// whose requests cost little.
	Linger time.Duration
	// FetchPause is the time between a fetch that brought records and the next one of a
	// subscription that is not behind. Under load each fetch then brings more records. The first
	// record after a quiet time is not delayed, and [Log.End] and [Log.Barrier] end the pause.
	// Zero means no pause.
	FetchPause time.Duration
	// AskTimeout bounds one question to the broker, and half of what a barrier may take.
	// Zero means one second.
	AskTimeout time.Duration
	// BarrierWaited, if not nil, is told of each call of [Log.Barrier] that waited for one
	// for how long, whatever came of it. Called from many goroutines at once; it must not block.
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

// A Log is a handle on the topic. It connects when it is first needed and again
// whenever the connection is lost, so it can be opened while no broker runs. Safe for
// concurrent use.
type Log struct {
	config   Config
	wm       watermill.LoggerAdapter
	end      *endAsker
	barriers *barriers
	// announcer tells the broker how far this process is.
	announcer announcer

	ctx  context.Context // done when the log is closed
	stop context.CancelFunc
	// sending is done some time after ctx, so that what was appended just then can be
	// confirmed.
	sending context.Context
	abandon context.CancelFunc
	work    sync.WaitGroup

	publisher *publisher
	hurry     chan struct{} // gets a token when a caller needs the newest records

	mu   sync.Mutex        // guards that no work begins after the log is closed
	seen map[string]string // of the topic's settings, see changed
}

// closingPatience is how long a log that is closed waits for the broker to confirm what
// was appended.
const closingPatience = 5 * time.Second

// do starts work that Close waits for. It returns false, and starts nothing, once the log
// is closed.
func (l *Log) do(work func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	l.work.Go(work)
	return true
}

// Open gives a handle on the log. It doesn't wait for a broker: see [Log.Prepare].
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
	}
	l.sending, l.abandon = context.WithCancel(context.Background())
	l.end, l.barriers, l.publisher = newEndAsker(l), newBarriers(l), newPublisher(l)
	l.work.Go(l.publisher.run)
	l.work.Go(l.end.run)
	l.work.Go(l.barriers.run)
	return l, nil
}

// Topic is the topic's name.
func (l *Log) Topic() string { return l.config.Topic }

// End asks the broker that leads the log for its end. Every event whose append was
// acknowledged before the call lies before it. One question serves all callers that
// came before it was asked. It returns [ErrUnreachable] at once while the broker is
// known to be away, and ctx.Err() if ctx ends first.
func (l *Log) End(ctx context.Context) (events.Position, error) {
	l.endPause()
	return l.end.ask(ctx)
}

func (l *Log) endPause() {
	select {
	case l.hurry <- struct{}{}:
	default:
	}
}

// Barrier appends a record that only moves the position, and returns the position after
// it. Its success proves that whoever took it still leads the log, so every event whose
// append was acknowledged before the call lies before it, also where [Log.End] is asked
// of a leader that was deposed and doesn't know it. One barrier serves all callers that
// came before it was sent. It returns [ErrUnreachable] if the append was not confirmed
// in twice Config.AskTimeout, at once while the broker is known to be away, and ctx.Err() if ctx
// ends first. A barrier that was not confirmed does no harm if it is appended after all.
func (l *Log) Barrier(ctx context.Context) (events.Position, error) {
	if !l.Reachable() {
		return 0, ErrUnreachable
	}
	l.endPause()
	defer func(asked time.Time) { l.config.BarrierWaited(time.Since(asked)) }(time.Now())
	return l.barriers.wait(ctx, l.ctx.Done())
}

// Barriers tells how many barriers were appended since the log was opened, and how many
// were not confirmed.
func (l *Log) Barriers() (appended, failed int64) {
	return l.barriers.appended.Load(), l.barriers.failed.Load()
}

// Reachable reports whether the broker answered the last question. It starts true.
func (l *Log) Reachable() bool { return !l.end.down.Load() }

// Close stops what the log does and waits for it: some seconds for appends that are under
// way, and no longer than moments for all else, whether or not the broker answers.
// Subscriptions end with [ErrClosed].
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

// sarama's package-wide logger is silent by default and stays so: what matters comes
// back as errors.

// clientConfig holds what all clients share. The newest protocol that sarama speaks
// with every broker since Kafka 2.8: topic ids need 2.8, and Kafka 4 dropped what
// older clients say.
func (l *Log) clientConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.ClientID = l.config.ClientID
	c.Version = sarama.V2_8_0_0
	c.Net.DialTimeout = l.config.AskTimeout
	c.Metadata.Retry.Max = 1
	c.Metadata.Retry.Backoff = 100 * time.Millisecond
	// A leader that moved is found when it refuses; this finds one that is just gone.
	c.Metadata.RefreshFrequency = 10 * time.Second
	// Fewer topics to hear about, and none created by asking.
	c.Metadata.Full = false
	c.Metadata.AllowAutoTopicCreation = false
	l.config.Security.configure(c)
	return c
}

// askConfig is for questions, which must fail fast.
func (l *Log) askConfig() *sarama.Config {
	c := l.clientConfig()
	c.Net.ReadTimeout = l.config.AskTimeout
	c.Net.WriteTimeout = l.config.AskTimeout
	return c
}
