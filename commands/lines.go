package commands

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// errLongLine is returned for a line that is longer than a line may be. The reader
// stands after it.
var errLongLine = errors.New("the line is too long")

// jsonSpace is what JSON may have around a value.
const jsonSpace = " \t\r\n"

// lineReader reads lines. A line that its reader broke off in is none.
type lineReader struct {
	in     *bufio.Reader
	most   int
	number int64 // of the line that was read last, from 1
}

func newLineReader(r io.Reader, most int) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(r, 64<<10), most: most}
}

// await waits for the first byte. An error comes again from next: that of a body stays.
func (l *lineReader) await() { _, _ = l.in.Peek(1) }

// next gives the next line without its end and without spaces around. The error is
// errLongLine, io.EOF after the last line, or the reader's.
func (l *lineReader) next() ([]byte, error) {
	l.number++
	var line []byte
	long := false
	for {
		part, err := l.in.ReadSlice('\n')
		if long = long || len(line)+len(part) > l.most+2; !long { // 2 for the line's end
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			// The last line may have no end.
			if len(line) == 0 && !long {
				return nil, io.EOF
			}
		case err != nil:
			return nil, err
		}
		if line = bytes.Trim(line, jsonSpace); long || len(line) > l.most {
			return nil, errLongLine
		}
		return line, nil
	}
}
