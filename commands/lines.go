package commands

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/clusterlite/clusterlite/events/lines"
)

// jsonSpace is the white space that JSON allows around a value.
const jsonSpace = " \t\r\n"

// A lineReader reads the lines of an import.
type lineReader struct {
	in      *bufio.Reader
	lines   *lines.Reader
	maximum int
	number  int64 // of the last line, counted from 1
}

// newLineReader returns a reader of lines of at most maximum bytes, without their newlines.
func newLineReader(r io.Reader, maximum int) *lineReader {
	in := bufio.NewReaderSize(r, 64<<10)
	return &lineReader{in: in, lines: lines.NewReader(in, maximum+len("\r\n")), maximum: maximum}
}

// await waits for the first byte. It returns no error, because next returns the same one.
func (l *lineReader) await() { _, _ = l.in.Peek(1) }

// next returns the next line, without the white space around it. The error is
// [lines.ErrTooLong], io.EOF after the last line, or an error of the input. If the input breaks
// off within a line, next returns the error and not the line.
func (l *lineReader) next() ([]byte, error) {
	l.number++
	line, err := l.lines.Append(nil)
	if errors.Is(err, lines.ErrTooLong) {
		if err := l.lines.Skip(); err != nil {
			return nil, err
		}
		return nil, lines.ErrTooLong
	}
	if err != nil {
		return nil, err
	}
	if line = bytes.Trim(line, jsonSpace); len(line) > l.maximum {
		return nil, lines.ErrTooLong
	}
	return line, nil
}
