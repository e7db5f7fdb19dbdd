package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

// prepare has the log ready and describes it. A missing topic is made for a new file
// alone: to make one for a file that was built from a topic would put an empty log in the
// place of one that was lost, and let the loss look like a fresh start. That is an
// [RefusedError], once the broker has said for some seconds that the topic is not there.
func (p *Projection) prepare(ctx context.Context) (eventlog.Info, error) {
	topic, id := p.origin()
	if id == "" {
		return p.options.Log.Prepare(ctx)
	}
	times := confirmations
	if p.life.hasFitted() {
		times = laterConfirmations
	}
	for i := 1; ; i++ {
		_, err := p.options.Log.Describe(ctx)
		if err == nil {
			return p.options.Log.Prepare(ctx)
		}
		if !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			return eventlog.Info{}, err
		}
		if i == times {
			return eventlog.Info{}, &RefusedError{Reason: RefusedTopic, Detail: fmt.Sprintf("this node's file was built from topic %s with id %s, but the broker has no topic %s", topic, id, p.options.Log.Topic())}
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return eventlog.Info{}, ctx.Err()
		}
	}
}

// origin is the topic that the file was built from, by name and id; empty for a new file.
func (p *Projection) origin() (topic, id string) {
	p.applying.Lock()
	defer p.applying.Unlock()
	meta := p.serving.Load().writer.meta
	return meta[metaTopic], meta[metaTopicID]
}
