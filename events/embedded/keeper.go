package embedded

import (
	"errors"
	"log/slog"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// markInterval is how far the mark may be behind the acknowledged records.
	markInterval = time.Second
	// settling is the time after which a request that changes topics is certainly complete. The
	// broker handles it right after change returns.
	settling = 2 * time.Second
)

// A keeper keeps the mark up to date while the broker runs. The acknowledgement of a write does
// not wait for it.
type keeper struct {
	dir     string
	cluster *kfake.Cluster
	syncer  *syncer
	logger  *slog.Logger
	stop    chan struct{}
	stopped sync.WaitGroup

	failing atomic.Bool

	mu      sync.Mutex
	topics  []topic // as the broker has them, in memory
	mark    *mark   // as it is on disk
	changed time.Time
	unsure  atomic.Bool // the topics on disk may not be those of the mark
}

// keep starts a keeper. old is the mark that the check found; it may be nil.
func keep(dir string, cluster *kfake.Cluster, old *mark, syncer *syncer, logger *slog.Logger) *keeper {
	if old == nil {
		old = &mark{}
	}
	k := &keeper{dir: dir, cluster: cluster, syncer: syncer, logger: logger, stop: make(chan struct{}), mark: old}
	k.attempt(k.readTopics)
	k.attempt(k.update)
	for key, handle := range map[kmsg.Key]func(kmsg.Request){
		kmsg.CreateTopics: k.change, kmsg.DeleteTopics: k.change, kmsg.CreatePartitions: k.change,
		kmsg.AlterConfigs: k.change, kmsg.IncrementalAlterConfigs: k.change, kmsg.DeleteRecords: k.trim,
	} {
		cluster.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) {
			handle(r)
			return nil, nil, false
		})
	}
	k.stopped.Go(k.run)
	return k
}

func (k *keeper) run() {
	tick := time.NewTicker(markInterval)
	defer tick.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-tick.C:
			k.attempt(k.tick)
		}
	}
}

// attempt logs the first of several failures in a row. Writes continue without an up-to-date mark.
// Meanwhile the check could only not detect the loss of a whole file.
func (k *keeper) attempt(do func() error) {
	err := do()
	if err != nil && !k.failing.Swap(true) {
		k.logger.Error("the embedded broker could not record which part of its log is acknowledged; it retries every second and continues to serve. Check that its disk is writable and has free space", "folder", k.dir, "error", err)
	}
	if err == nil {
		k.failing.Store(false)
	}
}

// tick brings the mark up to date.
func (k *keeper) tick() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.changed) < settling {
		return nil
	}
	if k.mark.Topics == nil {
		if err := k.readTopics(); err != nil {
			return err
		}
	}
	return k.update()
}

// close writes the last mark of a broker that was stopped cleanly.
func (k *keeper) close(stopBroker func()) {
	close(k.stop)
	k.stopped.Wait()
	k.attempt(k.tick)
	stopBroker()
	k.attempt(k.syncer.flushFiles)
	k.syncer.close()
	k.mu.Lock()
	defer k.mu.Unlock()
	next := k.mark.clone()
	next.Stopped = map[string]string{}
	snapshots, _ := filepath.Glob(filepath.Join(k.dir, "partitions", "*", snapshotFile)) // the pattern is valid
	for _, path := range append(snapshots, filepath.Join(k.dir, seqWindowsFile), filepath.Join(k.dir, sessionFile)) {
		if name, err := filepath.Rel(k.dir, path); err == nil {
			if sum := fileSum(path); sum != "" {
				next.Stopped[name] = sum
			}
		}
	}
	k.attempt(func() error { return k.put(next) })
}

// readTopics takes the topics from the broker's file, which the broker has just written.
func (k *keeper) readTopics() error {
	var t topics
	if _, err := readStrictly(filepath.Join(k.dir, "topics.json"), &t); err != nil {
		return err
	}
	k.topics = append([]topic{}, t.Topics...) // not nil
	return nil
}

// update writes the mark if it differs from the broker's state.
func (k *keeper) update() error {
	next := &mark{Version: formatVersion, Topics: k.topics, Stopped: k.mark.Stopped}
	for _, t := range k.topics {
		info := k.cluster.TopicInfo(t.Name)
		if info == nil || string(info.TopicID[:]) != string(t.ID) {
			continue // it is being deleted or created
		}
		for _, p := range k.cluster.PartitionInfos(t.Name) {
			m := markedPartition{Topic: t.ID, Number: p.Partition, Start: p.LogStartOffset, End: p.HighWatermark}
			if was := k.mark.partition(t.ID, p.Partition); was != nil {
				m.Start = max(m.Start, was.Start)
			}
			next.Partitions = append(next.Partitions, m)
		}
	}
	if reflect.DeepEqual(next, k.mark) {
		return nil
	}
	// An acknowledged record needs its entry in the index, and everything in the mark is
	// acknowledged. So both are synced first.
	if err := errors.Join(k.syncer.flush(), k.syncer.flushIndexes()); err != nil {
		return err
	}
	return k.put(next)
}

func (k *keeper) put(next *mark) error {
	if err := next.write(k.dir); err != nil {
		return err
	}
	k.mark = next
	return nil
}

// change is called before the broker handles a request that changes topics. Until the broker has
// handled it, only its own file lists the topics reliably, so the mark then has no topics.
func (k *keeper) change(kmsg.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := k.mark.clone()
	next.Topics = nil
	k.attempt(func() error { return k.put(next) })
	k.changed = time.Now()
	k.unsure.Store(true)
}

// settle is called before the broker handles a Produce request, after it has handled all earlier
// requests. So no record of a new topic is acknowledged before the mark has the topic. settle
// reports whether topics may have changed since the last call.
func (k *keeper) settle() bool {
	if !k.unsure.Swap(false) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attempt(k.readTopics)
	k.attempt(k.update)
	return true
}

// trim is called before the broker removes records from the front of a log.
func (k *keeper) trim(r kmsg.Request) {
	request, ok := r.(*kmsg.DeleteRecordsRequest)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	next := k.mark.clone()
	for _, t := range request.Topics {
		info := k.cluster.TopicInfo(t.Topic)
		if info == nil {
			continue
		}
		for _, p := range t.Partitions {
			now, was := k.cluster.PartitionInfo(t.Topic, p.Partition), next.partition(info.TopicID[:], p.Partition)
			if now == nil || was == nil || p.Offset > now.HighWatermark {
				continue
			}
			was.Start = max(was.Start, p.Offset)
			if p.Offset < 0 {
				was.Start = now.HighWatermark
			}
			was.End = max(was.End, was.Start)
		}
	}
	k.attempt(func() error { return k.put(next) })
}
