// Package lines reads lines of bounded length, such as those of imports and archives.
package lines

import (
	"bufio"
	"errors"
	"io"
)

// ErrTooLong is returned for a line that is longer than the maximum.
var ErrTooLong = errors.New("the line is too long")

// A Reader reads lines, and holds no more than one of them in memory. Use it from one goroutine.
type Reader struct {
	// Tee, if not nil, gets the bytes of every line that is read, also of lines that are too
	// long. Its errors are ignored.
	Tee io.Writer

	in      *bufio.Reader
	maximum int
	number  int64
	bytes   int64
	rest    bool // the reader is within a line that is too long
}

// NewReader returns a Reader for lines of at most maximum bytes, each with its newline. It takes
// from in only the bytes of the lines that it reads.
func NewReader(in *bufio.Reader, maximum int) *Reader {
	return &Reader{in: in, maximum: maximum}
}

// Number returns the number of lines read so far, including one that is too long.
func (r *Reader) Number() int64 { return r.number }

// Bytes returns the number of bytes read so far.
func (r *Reader) Bytes() int64 { return r.bytes }

// Append appends the next line to buffer, with its newline. Only the last line may have none.
//
// It returns io.EOF if there is no further line, or the error of the input, which may be in the
// middle of a line. For a line that is too long it returns [ErrTooLong] as soon as it has read
// more than the maximum. The next call skips the rest of that line, or [Reader.Skip] does. If
// there is an error, the result is not a line.
func (r *Reader) Append(buffer []byte) ([]byte, error) {
	if err := r.Skip(); err != nil {
		return buffer, err
	}
	start := len(buffer)
	r.number++
	for {
		part, err := r.read()
		buffer = append(buffer, part...)
		full := errors.Is(err, bufio.ErrBufferFull)
		switch length := len(buffer) - start; {
		case err != nil && !full && (!isEnd(err) || length == 0):
			r.number--
			return buffer, err
		case length > r.maximum:
			r.rest = full
			return buffer, ErrTooLong
		case !full:
			return buffer, nil
		}
	}
}

// Skip skips the rest of a line that is too long. It does nothing after any other line. The
// error is that of the input; the end of the input also ends the line.
func (r *Reader) Skip() error {
	for r.rest {
		switch _, err := r.read(); {
		case err == nil, isEnd(err):
			r.rest = false
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
	return nil
}

// isEnd reports whether the input has ended. The error of a broken connection may wrap io.EOF,
// and is not its end.
func isEnd(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}

// read reads a line, or as much of it as fits in the buffer of the input.
func (r *Reader) read() ([]byte, error) {
	part, err := r.in.ReadSlice('\n')
	r.bytes += int64(len(part))
	if r.Tee != nil {
		_, _ = r.Tee.Write(part)
	}
	return part, err
}
