package embedded

import (
	"encoding/binary"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
)

// A guard checks every answer to a client. No answer leaves the broker before the data that it
// reports is on disk. kfake reads records from its files for each client and passes them on
// unchecked. The guard holds back records that were damaged while the broker runs: the client gets
// KAFKA_STORAGE_ERROR, and the guard logs the damage.
type guard struct {
	dir    string
	addr   string // where the broker listens
	logger *slog.Logger
	// durable returns once everything that the broker has written is on disk, and durableRecords
	// once all records are.
	durable, durableRecords func() error
	// reported returns once the appenders have reported the outcome of every batch that was taken
	// before the call.
	reported func()

	mu     sync.Mutex
	warned time.Time
}

// wrap returns a connection that checks the answers to fetches.
func (g *guard) wrap(conn net.Conn) net.Conn {
	if own, ok := conn.(*inprocess.Conn); ok {
		return &recorded{own, g}
	}
	return &guarded{Conn: conn, guard: g, fetches: map[int32]int16{}}
}

// guarded is one client's connection. kfake reads from it in one goroutine and writes to it in
// another, one answer at a time.
type guarded struct {
	net.Conn
	guard *guard
	in    frames // used only by Read

	mu      sync.Mutex
	fetches map[int32]int16 // versions of unanswered fetches, by correlation id
}

func (c *guarded) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.take(b[:n], func(key, version int16, id int32) {
		if key != int16(kmsg.Fetch) {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fetches[id] = version
	})
	return n, err
}

// Write gets one whole answer. It delays the answer until everything that it may report is on disk,
// and until the logs that are attached to the broker know about it.
func (c *guarded) Write(b []byte) (int, error) {
	if err := c.guard.durable(); err != nil {
		return 0, err // and the broker closes the connection
	}
	c.guard.reported()
	if len(b) < 8 {
		return c.Conn.Write(b)
	}
	id := int32(binary.BigEndian.Uint32(b[4:]))
	c.mu.Lock()
	version, fetch := c.fetches[id]
	delete(c.fetches, id)
	c.mu.Unlock()
	if !fetch {
		return c.Conn.Write(b)
	}
	sound := c.guard.sound(b, version)
	if _, err := c.Conn.Write(sound); err != nil {
		return 0, err
	}
	return len(b), nil
}

// recorded is the connection of an appender, whose answers report nothing but records.
type recorded struct {
	*inprocess.Conn
	guard *guard
}

// Write delays the answer until the records are on disk.
func (c *recorded) Write(b []byte) (int, error) {
	if err := c.guard.durableRecords(); err != nil {
		return 0, err // and the broker closes the connection
	}
	return c.Conn.Write(b)
}

// sound returns an answer without damaged records.
func (g *guard) sound(answer []byte, version int16) []byte {
	response := kmsg.NewPtrFetchResponse()
	response.SetVersion(version)
	head := 8
	if response.IsFlexible() {
		head++ // no tagged fields
	}
	if len(answer) < head || response.ReadFrom(answer[head:]) != nil {
		return answer
	}
	damaged := false
	for i := range response.Topics {
		t := &response.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			at := firstDamaged(p.RecordBatches)
			if at < 0 {
				continue
			}
			damaged = true
			g.report()
			p.RecordBatches = p.RecordBatches[:at] // what precedes it is sound
			if at == 0 {
				p.ErrorCode = kerr.KafkaStorageError.Code
			}
		}
	}
	if !damaged {
		return answer
	}
	out := response.AppendTo(append([]byte(nil), answer[:head]...))
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out
}

// firstDamaged returns the position of the first damaged batch in a sequence of batches, or -1.
func firstDamaged(batches []byte) int {
	for at := 0; at < len(batches); {
		rest := batches[at:]
		if len(rest) < batchHeader {
			return at
		}
		h := parseHeader(rest)
		if h.magic != 2 || h.length < batchHeader || h.length > int64(len(rest)) || !intact(rest[:h.length]) {
			return at
		}
		at += int(h.length)
	}
	return -1
}

// report logs the damage, at most once a minute.
func (g *guard) report() {
	const pause = time.Minute
	g.mu.Lock()
	again := time.Since(g.warned) >= pause
	if again {
		g.warned = time.Now()
	}
	g.mu.Unlock()
	if !again {
		return
	}
	d, err := g.find()
	if err != nil || d == nil {
		d = &DamagedError{File: filepath.Join(g.dir, "partitions"), Found: "a client requested damaged records", Remedy: restore(g.dir, g.addr)}
	}
	g.logger.Error("the embedded broker's log is damaged. The broker still runs, accepts writes, and serves the undamaged part; readers of the damaged part get an error. It will refuse to start until the log is repaired",
		"file", d.File, "offset", d.Offset, "found", d.Found, "error", err, "do", d.Remedy)
}

// find reads all segments to find the damaged file and byte.
func (g *guard) find() (*DamagedError, error) {
	folders, err := filepath.Glob(filepath.Join(g.dir, "partitions", "*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range folders {
		p := &partition{dir: dir}
		segments, _, err := p.files()
		if err != nil {
			return nil, err
		}
		for _, base := range segments {
			s, err := readSegment(p.file(base, segmentSuffix), base, true)
			if err != nil {
				return nil, err
			}
			writing := base == segments[len(segments)-1] && s.tail != nil && s.tail.torn
			if s.tail != nil && !writing {
				return &DamagedError{File: s.path, Offset: s.size, Found: s.tail.found, Remedy: restore(g.dir, g.addr)}, nil
			}
		}
	}
	return nil, nil
}

// frames finds the header of each request in a stream of bytes.
type frames struct {
	head []byte // the part that was read so far of the length, key, version and correlation id
	skip int64  // how many bytes of the request are still to come
}

// take processes the next bytes, and calls found for each header that ends in them.
func (f *frames) take(b []byte, found func(key, version int16, id int32)) {
	const size = 12
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(f.skip, int64(len(b)))
			f.skip -= n
			b = b[n:]
			continue
		}
		n := min(size-len(f.head), len(b))
		f.head = append(f.head, b[:n]...)
		b = b[n:]
		if len(f.head) < size {
			return
		}
		r := kbin.Reader{Src: f.head}
		length := int64(r.Int32())
		found(r.Int16(), r.Int16(), r.Int32())
		f.skip = max(0, length-(size-4))
		f.head = f.head[:0]
	}
}
