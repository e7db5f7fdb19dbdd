package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/events/lines"
	"github.com/clusterlite/clusterlite/events/wire"
)

// maxLine is the maximum length of a line. It has room for a record of the maximum size
// whose document is in base64, and for JSON escapes.
const maxLine = 2 * eventlog.MaxRecordBytes

// A Reader reads an archive. Use it from one goroutine.
type Reader struct {
	// Header is the first line.
	Header Header
	// Trailer is the last line, once Line has returned io.EOF.
	Trailer Trailer

	in     *bufio.Reader
	lines  *lines.Reader
	sum    hash.Hash
	line   []byte
	number int64
	events int64
}

// NewReader reads the header. The errors are those of [Reader.Line].
func NewReader(r io.Reader) (*Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	a := &Reader{in: in, lines: lines.NewReader(in, maxLine), sum: sha256.New()}
	if err := a.read(); err != nil {
		return nil, err
	}
	if err := decode(a.line, &a.Header); err != nil || a.Header.Kind != kindHeader {
		return nil, a.damaged("it does not start like an export")
	}
	if a.Header.Version != Version {
		return nil, fmt.Errorf("the export has version %d, but this version of ClusterLite reads only version %d: install the version that wrote it", a.Header.Version, Version)
	}
	a.sum.Write(a.line)
	return a, nil
}

// Event reads the next event from its line. The errors are those of [Reader.Line].
func (a *Reader) Event() (events.Event, error) {
	line, err := a.Line()
	if err != nil {
		return events.Event{}, err
	}
	e, err := wire.ParseLine(line)
	if err != nil {
		return e, a.damaged(err.Error())
	}
	return e, nil
}

// Line reads the line of the next event, without its line end. The line is valid until the next
// call. After the last event, Line returns io.EOF if the archive is intact up to there. It
// returns a [DamagedError] if the archive is not intact, and otherwise the error of the file.
func (a *Reader) Line() ([]byte, error) {
	if err := a.read(); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(a.line, []byte(kindMember)) {
		if err := a.end(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	a.events++
	a.sum.Write(a.line)
	return bytes.TrimSuffix(a.line, []byte("\n")), nil
}

// read reads one line with its newline.
func (a *Reader) read() (err error) {
	a.number++
	a.line, err = a.lines.Append(a.line[:0])
	switch {
	case errors.Is(err, lines.ErrTooLong):
		return a.damaged("the line is longer than any event can be")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err == nil && !bytes.HasSuffix(a.line, []byte("\n")):
		return a.damaged("the file is truncated")
	case err != nil:
		return a.damaged(err.Error())
	}
	return nil
}

// end compares the trailer with the lines that were read, and checks that nothing follows
// it.
func (a *Reader) end() error {
	if err := decode(a.line, &a.Trailer); err != nil || a.Trailer.Kind != kindTrailer {
		return a.damaged("it is neither an event nor the end of an export")
	}
	switch {
	case a.Trailer.Events != a.events:
		return a.damaged(fmt.Sprintf("the export should have %d events, but the file has %d", a.Trailer.Events, a.events))
	case a.Trailer.TopicID != a.Header.TopicID:
		return a.damaged("the header and the trailer belong to different exports")
	case !bytes.Equal(a.Trailer.line(a.sum), a.line):
		return a.damaged("the checksum does not match the content")
	}
	if _, err := a.in.ReadByte(); !errors.Is(err, io.EOF) {
		return a.damaged("unexpected content after the end of the export")
	}
	return nil
}

func (a *Reader) damaged(reason string) error { return &DamagedError{Line: a.number, Reason: reason} }

// decode reads a line that is not an event, and rejects unknown members.
func decode(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
