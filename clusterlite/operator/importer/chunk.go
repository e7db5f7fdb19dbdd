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
	lines []line // those of body, in order
	long  []line // those that are too long to be sent
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
	in     *bufio.Reader
	digest hash.Hash
	number int64 // of the next line
	offset int64
}

func newChunkReader(in io.Reader) *chunkReader {
	return &chunkReader{in: bufio.NewReaderSize(in, 256<<10), digest: sha256.New(), number: 1}
}

// skip skips the input that an earlier run got acknowledged, if the input still starts with
// it.
func (r *chunkReader) skip(p checkpoint) error {
	n, err := io.CopyN(r.digest, r.in, p.Bytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the input: %w", err)
	}
	if n < p.Bytes || !bytes.Equal(r.digest.Sum(nil), p.Digest) {
		return ErrInputChanged
	}
	r.number, r.offset = p.Lines+1, p.Bytes
	return nil
}

// next reads a chunk. The error is io.EOF after the last chunk, or an error of the input.
func (r *chunkReader) next() (*chunk, error) {
	c := &chunk{first: r.number}
	for r.number-c.first < chunkLines && len(c.body) < chunkBytes {
		text, err := r.line()
		if errors.Is(err, io.EOF) && c.first < r.number {
			break
		}
		if err != nil {
			return nil, err
		}
		l := line{r.number, r.offset}
		r.number++
		switch text = bytes.TrimSpace(text); {
		case len(text) > maxLine:
			c.long = append(c.long, l)
		case len(text) > 0:
			c.body = append(append(c.body, text...), '\n')
			c.lines = append(c.lines, l)
		}
	}
	c.next, c.end, c.digest = r.number, r.offset, r.digest.Sum(nil)
	return c, nil
}

// line reads a line. Of a line that is too long, it reads only enough to detect that.
func (r *chunkReader) line() ([]byte, error) {
	var text []byte
	for {
		part, err := r.in.ReadSlice('\n')
		r.digest.Write(part) // it never fails
		r.offset += int64(len(part))
		if len(text) <= maxLine {
			text = append(text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(text) > 0, err == nil:
			return text, nil
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		default:
			return nil, fmt.Errorf("read the input: %w", err)
		}
	}
}
