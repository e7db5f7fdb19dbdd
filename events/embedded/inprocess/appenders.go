package inprocess

import (
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Appenders are the appenders of a broker. They know whether others write to the log too. Safe for
// concurrent use.
type Appenders struct {
	mu  sync.RWMutex
	all map[string]*Appender // by the topic in their requests
	// unsynced reports that kfake may have written records that are not on disk, besides those of
	// the only appender.
	unsynced bool
	// transactions reports that kfake may write a record without a request, when it ends a
	// transaction that timed out.
	transactions bool
}

// New returns the appenders of a broker that has just opened its log. producers reports that the
// broker knows producers from an earlier run, which may have open transactions.
func New(producers bool) *Appenders {
	return &Appenders{unsynced: true, transactions: producers, all: map[string]*Appender{}}
}

func (a *Appenders) add(one *Appender) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all[one.token] = one
}

func (a *Appenders) remove(one *Appender) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, one.token)
	a.unsynced = true
}

// Of returns the appender that sent a request, or nil. No other client knows the topic.
func (a *Appenders) Of(request *kmsg.ProduceRequest) *Appender {
	if len(request.Topics) != 1 {
		return nil
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.all[request.Topics[0].Topic]
}

// Synced reports whether all records are on disk, because only one appender has written any since
// the last sync. It does not send a request before it has the answer to the previous one, and no
// answer leaves the broker before what it reports is on disk.
func (a *Appenders) Synced() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return !a.unsynced && !a.transactions && len(a.all) < 2
}

// NoteSync records that everything that was written so far is on disk.
func (a *Appenders) NoteSync() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unsynced = false
}

// AwaitReports waits until the sources know the outcome of every batch that was taken before the
// call. The broker calls it before it sends an answer to any other client. So a source knows about
// each of its records before anyone else can read it.
func (a *Appenders) AwaitReports() {
	a.mu.RLock()
	all := slices.Collect(maps.Values(a.all))
	a.mu.RUnlock()
	for _, one := range all {
		one.awaitReport()
	}
}

// Changed is called before another client's request is handled that may change a log.
func (a *Appenders) Changed(request kmsg.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unsynced = true
	a.transactions = a.transactions || transactional(request)
	a.inform(nil)
}

// inform reports a change to all appenders except its author. The caller holds the mutex.
func (a *Appenders) inform(author *Appender) {
	for _, one := range a.all {
		if one != author {
			one.source.Changed()
		}
	}
}

// Appending is called before the request of an appender is filled. To the other appenders, it is
// another client.
func (a *Appenders) Appending(author *Appender) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	a.inform(author)
}

func transactional(request kmsg.Request) bool {
	switch r := request.(type) {
	case *kmsg.ProduceRequest:
		return r.TransactionID != nil
	case *kmsg.InitProducerIDRequest:
		return r.TransactionalID != nil
	}
	return false
}

// Watch reports the requests of other clients that may change a log, except for those that
// produce.
func (a *Appenders) Watch(cluster *kfake.Cluster) {
	for _, key := range []kmsg.Key{
		kmsg.EndTxn, kmsg.WriteTxnMarkers, kmsg.InitProducerID, // which can end a transaction
		kmsg.DeleteRecords, kmsg.CreateTopics, kmsg.DeleteTopics, kmsg.CreatePartitions,
	} {
		cluster.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) {
			a.Changed(r)
			return nil, nil, false
		})
	}
}
