package eventlog

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/clusterlite/clusterlite/events"
)

// probeInterval is how often a broker that is away is asked whether it is back.
const probeInterval = 250 * time.Millisecond

// endAsker asks for the end of the log, one question for all that wait.
type endAsker struct {
	log *Log
	callers
	down atomic.Bool

	client      sarama.Client // used by run alone, as are its connections
	connections *connections
}

// questionPatience bounds one question over a connection that there is, connectPatience
// one that begins with a new client, which takes several steps.
func (c Config) questionPatience() time.Duration { return 2 * c.AskTimeout }
func (c Config) connectPatience() time.Duration  { return 5 * c.AskTimeout }

func newEndAsker(l *Log) *endAsker { return &endAsker{log: l, callers: newCallers()} }

func (a *endAsker) ask(ctx context.Context) (events.Position, error) {
	if a.down.Load() {
		return 0, ErrUnreachable
	}
	return a.wait(ctx, a.log.ctx.Done())
}

// run asks until the log is closed. While the broker is away it probes, so that
// callers can be refused at once and the first after its return finds it there.
func (a *endAsker) run() {
	defer a.disconnect()
	probe := time.NewTimer(0)
	probe.Stop()
	defer probe.Stop()
	for {
		select {
		case <-a.log.ctx.Done():
			return
		case <-a.called:
		case <-probe.C:
		}
		answerAll := a.take()
		end, err := a.question()
		if err != nil {
			err = unreachable(err)
			probe.Reset(probeInterval)
		}
		a.tell(err)
		answerAll(end, err)
	}
}

// tell notes whether the broker answers, and logs when that changes.
func (a *endAsker) tell(err error) {
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
		defer time.AfterFunc(a.log.config.connectPatience(), a.connections.cut).Stop()
		client, err := sarama.NewClient(a.log.config.Brokers, config)
		if err != nil {
			a.connections.cut()
			return 0, a.connections.explain(err)
		}
		a.client = client
	} else {
		defer time.AfterFunc(a.log.config.questionPatience(), a.connections.cut).Stop()
	}
	// The leader's high watermark. An acknowledged append lies below it, also right
	// after an election: a new leader answers OFFSET_NOT_AVAILABLE until that holds
	// (KIP-207).
	end, err := a.client.GetOffset(a.log.config.Topic, partition, sarama.OffsetNewest)
	if err != nil {
		a.disconnect()
		return 0, err
	}
	return events.Position(end), nil
}

// disconnect forgets the client. A new one starts from the bootstrap list, so it finds
// a cluster whose brokers have all changed their addresses.
func (a *endAsker) disconnect() {
	if a.client != nil {
		_ = a.client.Close() // nothing is lost with it
		a.connections.cut()
		a.client = nil
	}
}
