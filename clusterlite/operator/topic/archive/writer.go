package archive

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/wire"
)

// A Writer writes an archive. Use it from one goroutine.
type Writer struct {
	out    *bufio.Writer
	sum    hash.Hash
	line   []byte
	header Header
	events int64
}

// NewWriter starts an archive of the events of a topic.
func NewWriter(w io.Writer, topic, topicID string) (*Writer, error) {
	a := &Writer{out: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
	a.header = Header{Kind: kindHeader, Version: Version, Topic: topic, TopicID: topicID}
	return a, a.write(encode(a.header))
}

// Event adds an event.
func (a *Writer) Event(e events.Event) error {
	a.line = append(wire.AppendLine(a.line[:0], e), '\n')
	a.events++
	return a.write(a.line)
}

func (a *Writer) write(line []byte) error {
	a.sum.Write(line)
	if _, err := a.out.Write(line); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	return nil
}

// Finish writes the trailer. Without it, the written file is not a valid archive.
func (a *Writer) Finish(position events.Position, digests map[string]string) (Trailer, error) {
	t := Trailer{Kind: kindTrailer, Events: a.events, TopicID: a.header.TopicID, Position: position, Digests: digests}
	line := t.line(a.sum)
	if err := json.Unmarshal(line, &t); err != nil { // reads the hash
		return Trailer{}, fmt.Errorf("end the export: %w", err)
	}
	_, err := a.out.Write(line)
	if err == nil {
		err = a.out.Flush()
	}
	if err != nil {
		return Trailer{}, fmt.Errorf("write the export: %w", err)
	}
	return t, nil
}
