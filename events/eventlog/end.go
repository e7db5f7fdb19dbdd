package eventlog

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/question"
)

// probeInterval is the time between two attempts to reach an unreachable broker.
const probeInterval = 250 * time.Millisecond

// endAsker asks for the end of the log. One question serves all waiting callers.
type endAsker struct {
	log *Log
	question.Callers
	down atomic.Bool

	client      sarama.Client // used by run only, as are its connections
	connections *connections
}

// questionPatience is the maximum time for a question over an existing connection.
// connectPatience is the maximum for one that needs a new client, which takes several steps.
func (c Config) questionPatience() time.Duration { return 2 * c.AskTimeout }
func (c Config) connectPatience() time.Duration  { return 5 * c.AskTimeout }

func newEndAsker(l *Log) *endAsker { return &endAsker{log: l, Callers: question.NewCallers(ErrClosed)} }

func (a *endAsker) ask(ctx context.Context) (events.Position, error) {
	if a.down.Load() {
		return 0, ErrUnreachable
	}
	return a.Wait(ctx, a.log.ctx.Done())
}

// run asks until the log is closed. While the broker is unreachable it keeps asking, so that
// calls fail at once during an outage, and succeed soon after it.
func (a *endAsker) run() {
	defer a.disconnect()
	probe := time.NewTimer(0)
	probe.Stop()
	defer probe.Stop()
	for {
		select {
		case <-a.log.ctx.Done():
			return
		case <-a.Called:
		case <-probe.C:
		}
		answerAll := a.Take()
		end, err := a.question()
		if err != nil {
			err = unreachable(err)
			probe.Reset(probeInterval)
		}
		a.record(err)
		answerAll(end, err)
	}
}

// record stores whether the broker answers, and logs each change.
func (a *endAsker) record(err error) {
	if was := a.down.Swap(err != nil); was == (err != nil) {
		return
	}
	if err != nil {
		a.log.config.Logger.Warn("the broker is unreachable", "error", err)
		return
	}
	a.log.config.Logger.Info("the broker is reachable again")
}

func (a *endAsker) question() (events.Position, error) {
	if a.client == nil {
		config := a.log.askConfig()
		a.connections = a.log.dialWith(a.log.ctx, config)
		defer time.AfterFunc(a.log.config.connectPatience(), a.connections.Cut).Stop()
		client, err := sarama.NewClient(a.log.config.Brokers, config)
		if err != nil {
			a.connections.Cut()
			return 0, a.connections.Explain(err)
		}
		a.client = client
	} else {
		defer time.AfterFunc(a.log.config.questionPatience(), a.connections.Cut).Stop()
	}
	// This is the high watermark of the leader. Every acknowledged append lies below it, even
	// directly after an election: a new leader answers OFFSET_NOT_AVAILABLE until that is the
	// case (KIP-207).
	seen := a.log.tail.Seen()
	end, err := a.client.GetOffset(a.log.config.Topic, partition, sarama.OffsetNewest)
	if err != nil {
		a.disconnect()
		return 0, err
	}
	a.log.tail.Learned(end, seen)
	return events.Position(end), nil
}

// disconnect drops the client. A new one starts from the bootstrap list, so it finds a cluster
// whose brokers have all changed their addresses.
func (a *endAsker) disconnect() {
	if a.client != nil {
		_ = a.client.Close() // there is nothing to lose
		a.connections.Cut()
		a.client = nil
	}
}
