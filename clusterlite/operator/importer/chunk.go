package importer

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"

	"github.com/clusterlite/clusterlite/events/lines"
)

const (
	// chunkLines and chunkBytes bound a chunk. The boundaries of chunks must depend on the
	// input alone, so that a retry sends the same requests.
	chunkLines = 5000
	chunkBytes = 2 << 20
	// maxLine is the maximum length of a line that is sent. It is far above what any server
	// accepts.
	maxLine = 8 << 20
)

// A chunk is the part of the input that one request sends.
type chunk struct {
	first int64  // the number of its first line, from 1
	body  []byte // the lines that are not empty, each with a newline
	lines []line // the lines of body, in order
	long  []line // the lines that are too long to be sent
	// next is the number of the line after the chunk, and end is the position after it in
	// the input, in bytes.
	next, end int64
	digest    []byte // SHA-256 over these bytes
}

type line struct{ number, end int64 }

// key returns the idempotency key of the chunk. It is derived from the lines, their
// position in the input, the name of the import, and the collection, so that every retry
// has the same key.
func (c *chunk) key(name, collection string) string {
	h := sha256.New()
	h.Write([]byte(name + "\x00" + collection + "\x00" + strconv.FormatInt(c.first, 10) + "\x00"))
	h.Write(c.body)
	return "import-" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// A chunkReader reads an input chunk by chunk.
type chunkReader struct {
	in      *bufio.Reader
	lines   *lines.Reader
	skipped checkpoint
	digest  hash.Hash
	buffer  []byte // the last line
}

func newChunkReader(in io.Reader) *chunkReader {
	r := &chunkReader{in: bufio.NewReaderSize(in, 256<<10), digest: sha256.New()}
	r.lines = lines.NewReader(r.in, maxLine+len("\r\n"))
	r.lines.Tee = r.digest
	return r
}

// skip skips the input that an earlier run got acknowledged. It fails if the input no longer
// starts with that part.
func (r *chunkReader) skip(p checkpoint) error {
	n, err := io.CopyN(r.digest, r.in, p.Bytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the input: %w", err)
	}
	if n < p.Bytes || !bytes.Equal(r.digest.Sum(nil), p.Digest) {
		return ErrInputChanged
	}
	r.skipped = p
	return nil
}

// next reads a chunk. The error is io.EOF after the last chunk, or an error of the input.
func (r *chunkReader) next() (*chunk, error) {
	c := &chunk{first: r.number() + 1}
	for r.number() < c.first-1+chunkLines && len(c.body) < chunkBytes {
		text, long, err := r.line()
		if errors.Is(err, io.EOF) && r.number() >= c.first {
			break
		}
		if err != nil {
			return nil, err
		}
		switch l := (line{r.number(), r.offset()}); {
		case long:
			c.long = append(c.long, l)
		case len(text) > 0:
			c.body = append(append(c.body, text...), '\n')
			c.lines = append(c.lines, l)
		}
	}
	c.next, c.end, c.digest = r.number()+1, r.offset(), r.digest.Sum(nil)
	return c, nil
}

// number returns the number of the last line that was read or skipped.
func (r *chunkReader) number() int64 { return r.skipped.Lines + r.lines.Number() }

// offset returns the position in the input, in bytes.
func (r *chunkReader) offset() int64 { return r.skipped.Bytes + r.lines.Bytes() }

// line reads a line, without the white space around it. The text is valid until the next call.
func (r *chunkReader) line() (text []byte, long bool, err error) {
	r.buffer, err = r.lines.Append(r.buffer[:0])
	if long = errors.Is(err, lines.ErrTooLong); long {
		err = r.lines.Skip()
	}
	switch text = bytes.TrimSpace(r.buffer); {
	case errors.Is(err, io.EOF):
		return nil, false, io.EOF
	case err != nil:
		return nil, false, fmt.Errorf("read the input: %w", err)
	}
	return text, long || len(text) > maxLine, nil
}
