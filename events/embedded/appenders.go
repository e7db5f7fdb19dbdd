package embedded

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// appenders are the appenders of a broker, by the topic in their requests. Safe for concurrent
// use.
type appenders struct {
	mu  sync.RWMutex
	all map[string]*Appender
}

func (a *appenders) add(one *Appender) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[string]*Appender{}
	}
	a.all[one.token] = one
}

func (a *appenders) remove(one *Appender) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, one.token)
}

// of returns the appender that sent a request, or nil. No other client knows the topic.
func (a *appenders) of(request *kmsg.ProduceRequest) *Appender {
	if len(request.Topics) != 1 {
		return nil
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.all[request.Topics[0].Topic]
}

// changed calls Changed of all sources.
func (a *appenders) changed() {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, one := range a.all {
		one.source.Changed()
	}
}

// watch reports the requests of other clients that may change a log, except for those that
// produce. A transaction that times out also ends with a record, but nobody waits for that one.
func (a *appenders) watch(cluster *kfake.Cluster) {
	for _, key := range []kmsg.Key{
		kmsg.EndTxn, kmsg.WriteTxnMarkers, kmsg.InitProducerID, // which can end a transaction
		kmsg.DeleteRecords, kmsg.CreateTopics, kmsg.DeleteTopics, kmsg.CreatePartitions,
	} {
		cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			a.changed()
			return nil, nil, false
		})
	}
}
