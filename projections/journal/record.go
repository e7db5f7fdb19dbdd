package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
)

// An Entry is an admitted event with its place in the log.
type Entry struct {
	// Position is the position after the event.
	Position events.Position
	// Previous is the position of the entity's previous event. It is zero if there is none, or if
	// the journal does not hold it.
	Previous events.Position
	// Appended is when the broker received the event, and LogTime the latest such time of any
	// record up to it. Clocks may go back, log time does not. Both are in UTC, in milliseconds.
	Appended, LogTime time.Time
	// Event is the event without its claims, idempotency key and hash of the request.
	Event events.Event

	jump        events.Position // an earlier event of the entity, or zero
	jumpVersion int64           // its version
}

// The kinds of records.
const (
	progress byte = iota // no event; the journal is complete up to the position
	created
	updated
	deleted
	restored
)

var kinds = [...]events.Kind{created: events.Created, updated: events.Updated, deleted: events.Deleted, restored: events.Restored}

func kindOf(k events.Kind) byte {
	for i, kind := range kinds {
		if kind == k && i > 0 {
			return byte(i)
		}
	}
	return progress
}

const (
	frameBytes = 8       // length and checksum before each record
	headBytes  = 17      // kind, position and log time
	maxRecord  = 1 << 30 // more is damage
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// errTorn means that the bytes end within a record.
	errTorn = errors.New("the record is incomplete")
	// errBad means that the bytes are not a record.
	errBad = errors.New("the record does not match its checksum")
)

// appendProgress appends a record that says that the journal is complete up to a position.
func appendProgress(b []byte, at events.Position, logTime time.Time) []byte {
	b, start := openFrame(b)
	return closeFrame(appendHead(b, progress, at, logTime), start)
}

// appendEntry appends the record of an event.
func appendEntry(b []byte, e *Entry) ([]byte, error) {
	v := &e.Event
	id, err := packID(v.EntityID)
	if err != nil {
		return b, err
	}
	eventID, err := packID(v.ID)
	if err != nil {
		return b, err
	}
	b, start := openFrame(b)
	b = appendHead(b, kindOf(v.Kind), e.Position, e.LogTime)
	b = append(append(b, id[:]...), eventID[:]...)
	b = binary.AppendUvarint(b, uint64(e.Previous))
	b = binary.AppendUvarint(b, uint64(e.jump))
	b = binary.AppendUvarint(b, uint64(e.jumpVersion))
	b = binary.AppendUvarint(b, uint64(v.Version))
	b = binary.AppendVarint(b, e.Appended.UnixMilli())
	b = binary.AppendVarint(b, v.Time.UnixMilli())
	all := [...]string{v.Collection, v.Source, v.TraceParent, v.Actor}
	texts := all[:]
	if v.Actor == "" {
		texts = texts[:3]
	}
	b = binary.AppendUvarint(b, uint64(len(texts))) // later versions may store more
	for _, text := range texts {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return closeFrame(append(b, v.Document...), start), nil
}

func appendHead(b []byte, kind byte, at events.Position, logTime time.Time) []byte {
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	return binary.LittleEndian.AppendUint64(b, uint64(logTime.UnixMilli()))
}

func openFrame(b []byte) (opened []byte, start int) {
	return append(b, make([]byte, frameBytes)...), len(b)
}

func closeFrame(b []byte, start int) []byte {
	content := b[start+frameBytes:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(content)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(content, castagnoli))
	return b
}

// unframe returns the content of the record at the beginning of b, and the number of bytes that it
// takes. If b ends within the record, need is the number of bytes that b lacks at least.
func unframe(b []byte) (content []byte, size, need int, err error) {
	if len(b) < frameBytes {
		return nil, 0, frameBytes - len(b), errTorn
	}
	n := binary.LittleEndian.Uint32(b)
	if n < headBytes || n > maxRecord {
		return nil, 0, 0, errBad
	}
	size = frameBytes + int(n)
	if len(b) < size {
		return nil, 0, size - len(b), errTorn
	}
	if content = b[frameBytes:size]; crc32.Checksum(content, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, 0, 0, errBad
	}
	return content, size, 0, nil
}

// A decoder turns records into entries. It keeps the texts that most records share.
type decoder struct{ known map[string]string }

// head returns the fields that all records have.
func head(content []byte) (kind byte, at events.Position, logTime time.Time) {
	return content[0], events.Position(binary.LittleEndian.Uint64(content[1:])), time.UnixMilli(int64(binary.LittleEndian.Uint64(content[9:]))).UTC()
}

// entry decodes the record of an event. The document lies in content.
func (d *decoder) entry(content []byte, e *Entry) error {
	kind, at, logTime := head(content)
	if kind == progress || int(kind) >= len(kinds) {
		return fmt.Errorf("%w: kind %d", errBad, kind)
	}
	r := reader{b: content[headBytes:]}
	*e = Entry{Position: at, LogTime: logTime}
	v := &e.Event
	v.Kind = kinds[kind]
	v.EntityID, v.ID = r.id(), r.id()
	e.Previous, e.jump = events.Position(r.uvarint()), events.Position(r.uvarint())
	e.jumpVersion, v.Version = int64(r.uvarint()), int64(r.uvarint())
	e.Appended, v.Time = time.UnixMilli(r.varint()).UTC(), time.UnixMilli(r.varint()).UTC()
	texts := r.uvarint()
	for i := uint64(0); i < texts && r.err == nil; i++ {
		text := r.bytes(r.uvarint())
		switch i {
		case 0:
			v.Collection = d.shared(text)
		case 1:
			v.Source = d.shared(text)
		case 2:
			v.TraceParent = string(text)
		case 3:
			v.Actor = d.shared(text)
		}
	}
	if r.err != nil {
		return r.err
	}
	if v.Kind != events.Deleted {
		v.Document = r.b
	}
	return nil
}

// shared returns a text that many records have in common.
func (d *decoder) shared(text []byte) string {
	if s, ok := d.known[string(text)]; ok {
		return s
	}
	if d.known == nil || len(d.known) > 1000 {
		d.known = map[string]string{}
	}
	s := string(text)
	d.known[s] = s
	return s
}

// A reader reads fields. After an error it returns zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errBad
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > math.MaxInt64 {
		r.b, r.err = nil, errBad
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errBad
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) id() string {
	packed := r.bytes(16)
	if r.err != nil {
		return ""
	}
	return rowformat.FormatID(packed)
}

type packedID [16]byte

func packID(id string) (packedID, error) {
	packed, ok := events.PackID(id)
	if !ok {
		return packed, fmt.Errorf("%q is not an id", id)
	}
	return packed, nil
}
